"""The fixed fields of a caption, and how they become one paragraph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
FIELDS = ("setting", "characters", "actions", "camera")


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Seen(_Fields):
    """Somebody who is seen: a name, or a kind and a colour; and the look, which begins with its article."""

    name: Words
    look: Words


class CaptionFields(_Fields):
    """What a model tells of a segment."""

    setting: Words
    characters: tuple[Seen, ...] = Field(strict=False)
    actions: tuple[Words, ...] = Field(min_length=1, strict=False)
    camera: Words

    def paragraph(self) -> str:
        """Place, who is there, what they do, camera: sentences in this order, one paragraph."""
        who = (f"{own.name} is {own.look}" for own in self.characters)
        return " ".join(map(sentence, (self.setting, *who, *self.actions, self.camera)))


class Verdict(_Fields):
    """Which fields agree with the frames, and what is wrong with the others."""

    setting: bool
    characters: bool
    actions: bool
    camera: bool
    wrong: str = ""

    @property
    def doubts(self) -> tuple[str, ...]:
        """The fields that do not agree."""
        return tuple(name for name in FIELDS if not getattr(self, name))


def sentence(text: str) -> str:
    """A text on one line with a capital letter in front and an end mark behind.

    >>> sentence(" the cat  runs")
    'The cat runs.'
    """
    line = " ".join(text.split())
    line = line[:1].upper() + line[1:]
    return line if line.endswith((".", "!", "?")) else line + "."


def listed(characters: Sequence[Seen]) -> str:
    """Characters as lines of a prompt."""
    return "\n".join(f"{own.name}: {own.look}" for own in characters) or "(nobody)"
