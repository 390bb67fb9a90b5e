"""What the writer and the captions need of a language model: one method that answers a conversation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True)
class Message:
    """What the user or the model said; `images` are JPEG files that the user shows in front of the text."""

    who: Literal["user", "model"]
    text: str
    images: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Request:
    """A conversation to go on with. `most_tokens` bounds the reply; `seed` is honoured where a provider can."""

    instructions: str
    messages: tuple[Message, ...]
    most_tokens: int
    seed: int = 0


@dataclass(frozen=True)
class Reply:
    """What a model said, the tokens that the provider counted, and whether it was cut at `most_tokens`."""

    text: str
    tokens_in: int
    tokens_out: int
    cut: bool = False


class LanguageModel(Protocol):
    """Anything that replies; it may be called from several threads at once."""

    def reply(self, request: Request) -> Reply:
        """The reply to a conversation; ServiceError, one line, where there is none."""
        ...
