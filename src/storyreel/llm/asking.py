"""Typed answers: what a model replies is read, checked, and sent back with what is wrong, three tries in all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from storyreel.errors import ServiceError
from storyreel.llm.cache import AnswerCache, key_of
from storyreel.llm.prices import Budget
from storyreel.llm.prompts import Prompt
from storyreel.llm.protocol import LanguageModel, Message, Reply, Request

TRIES = 3
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
Kind = TypeVar("Kind", bound=BaseModel)


@dataclass(frozen=True)
class Complaint:
    """What is wrong with an answer. `must`: it cannot be taken; else it is, when the tries are used up."""

    text: str
    must: bool = True


@dataclass(frozen=True)
class Question(Generic[Kind]):
    """What is asked. `about` names it in messages; `check` tells what is wrong with an answer of the right shape."""

    prompt: Prompt
    text: str
    kind: type[Kind]
    about: str
    most_tokens: int
    images: tuple[bytes, ...] = ()
    seed: int = 0
    check: Callable[[Kind], Sequence[Complaint]] = field(default=lambda answer: ())


@dataclass(frozen=True)
class Answer(Generic[Kind]):
    """An answer and what is still to complain of; `tries` is 0 for one that was kept from an earlier run."""

    value: Kind
    complaints: tuple[Complaint, ...]
    tries: int


class Asker:
    """Asks one model. `name` is what the user called it, server included: answers are kept by it."""

    def __init__(
        self,
        model: LanguageModel,
        name: str,
        budget: Budget,
        cache: AnswerCache | None = None,
        stop: Callable[[], None] = lambda: None,
    ) -> None:
        """`stop` ends every call that waits for its reply, and lets none begin."""
        self.model, self.name, self.budget, self.cache, self.stop = model, name, budget, cache, stop

    def key(self, question: Question[Any]) -> str:
        """Under which the answer to a question is kept."""
        prompt = question.prompt
        parts = (self.name, prompt.key, prompt.instructions, question.text, question.seed, question.kind.__name__)
        return key_of(*parts, images=question.images)

    def ask(self, question: Question[Kind]) -> Answer[Kind]:
        """The answer to a question. ServiceError, one line: no reply, none usable in three tries, no money left."""
        key = self.key(question)
        kept = self.cache.find(key) if self.cache else None
        if kept is not None:
            value, complaints = _read(Reply(kept, 0, 0), question)
            if value is not None and not any(own.must for own in complaints):
                return Answer(value, tuple(complaints), 0)
        answer = self._ask(question)
        if self.cache:
            about = {"model": self.name, "prompt": question.prompt.key, "about": question.about}
            self.cache.keep(key, answer.value.model_dump_json(), about)
        return answer

    def _ask(self, question: Question[Kind]) -> Answer[Kind]:
        messages = [Message("user", question.text, question.images)]
        best: Answer[Kind] | None = None
        complaints: list[Complaint] = []
        for number in range(1, TRIES + 1):
            request = Request(question.prompt.instructions, tuple(messages), question.most_tokens, question.seed)
            with self.budget.reserved(request):
                reply = self.model.reply(request)
                self.budget.add(reply)
            value, complaints = _read(reply, question)
            if value is not None and not any(own.must for own in complaints):
                if best is None or len(complaints) < len(best.complaints):
                    best = Answer(value, tuple(complaints), number)
                if not complaints:
                    break
            wrong = "\n".join(f"- {own.text}" for own in complaints)
            again = f"That answer cannot be used:\n{wrong}\nAnswer again, mended, with the whole JSON object alone."
            messages += [Message("model", reply.text or "(nothing)"), Message("user", again)]
        if best is None:
            worst = next(own.text for own in complaints if own.must)
            raise ServiceError(
                f"{self.name} gave no usable answer about {question.about} in {TRIES} tries; the last: {worst} "
                "What is done is kept; run the same line again, or choose a stronger model."
            )
        return best


def _read(reply: Reply, question: Question[Kind]) -> tuple[Kind | None, list[Complaint]]:
    if reply.cut:
        return None, [Complaint(f"it was longer than {question.most_tokens} tokens and was cut; be brief.")]
    try:
        value = question.kind.model_validate(json_in(reply.text))
    except ValueError as error:
        return None, [Complaint(_told(error))]
    return value, list(question.check(value))


def json_in(text: str) -> Any:
    """The JSON object of a reply: alone, in a code fence, or with words around it; ValueError where there is none."""
    text = _THOUGHT.sub("", text)
    fenced = _FENCE.search(text)
    for candidate in (text, fenced[1] if fenced else "", text[text.find("{") : text.rfind("}") + 1]):
        try:
            found = json.loads(candidate)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    start = " ".join(text.split())[:60]
    raise ValueError(f'it is not one JSON object, but begins with "{start}".')


def _told(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    parts = []
    for one in error.errors()[:5]:
        where = ".".join(str(part + 1) if isinstance(part, int) else part for part in one["loc"])
        parts.append(f"{where or 'the object'}: {one['msg']}")
    return "; ".join(parts) + "."
