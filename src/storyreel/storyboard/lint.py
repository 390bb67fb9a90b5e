"""What a model can make of a storyboard, told before anything is computed: lengths, unknown words, stray marks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from storyreel.errors import StoryboardError
from storyreel.models.text import count_tokens, prepare_text, too_long
from storyreel.models.words import END_SCENE, START_SCENE, Replacement
from storyreel.storyboard.schema import Storyboard, StoryboardSegment

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Note:
    """Something that the writer of a storyboard should know. `segment` counts from 1, `line` is that of the file."""

    segment: int
    line: int | None
    message: str

    def __str__(self) -> str:
        return f"{_where(self.segment, self.line)}: {self.message}"


@dataclass(frozen=True)
class Linted:
    """A storyboard in words that the model knows, and what was changed for that."""

    storyboard: Storyboard
    notes: tuple[Note, ...]


def lint_storyboard(storyboard: Storyboard, tokenizer: PreTrainedTokenizerBase, length: int) -> Linted:
    """The storyboard as a model with this tokenizer reads it; `length` is the most tokens that a text may have.

    StoryboardError, one line with segment and line: a text that is too long (after words were replaced, scene marks and
    end mark counted), or one that holds a scene mark of its own.
    """
    segments, notes = [], []
    for number, segment in enumerate(storyboard.segments, start=1):
        _refuse_marks(segment, number)
        text, replaced = prepare_text(tokenizer, segment.text)
        negative, replaced_negative = prepare_text(tokenizer, segment.negative_text)
        segments.append(segment.model_copy(update={"text": text, "negative_text": negative}))
        if words := list(dict.fromkeys(replaced + replaced_negative)):
            notes.append(Note(number, segment.line, f"this model does not know {_told(words)}."))
    prepared = storyboard.model_copy(update={"segments": segments})
    _refuse_long(prepared, tokenizer, length)
    return Linted(prepared, tuple(notes))


def _refuse_marks(segment: StoryboardSegment, number: int) -> None:
    for mark in (START_SCENE, END_SCENE):
        if mark in segment.text or mark in segment.negative_text:
            where = _where(number, segment.line)
            raise StoryboardError(f'{where} holds the mark {mark}. Take it out and set "scene_start" instead.')


def _refuse_long(storyboard: Storyboard, tokenizer: PreTrainedTokenizerBase, length: int) -> None:
    kinds = (("", storyboard.marked_texts()), ("'s negative text", storyboard.negative_texts()))
    for kind, texts in kinds:
        for number, (segment, text) in enumerate(zip(storyboard.segments, texts, strict=True), start=1):
            tokens = count_tokens(tokenizer, text)
            if tokens > length:
                raise StoryboardError(too_long(_where(number, segment.line) + kind, tokens, length))


def _where(number: int, line: int | None) -> str:
    return f"segment {number}" if line is None else f"segment {number} (line {line})"


def _told(words: list[Replacement]) -> str:
    return ", ".join(f'"{word.word}" ({_reading(word)})' for word in words)


def _reading(word: Replacement) -> str:
    nearest = ", ".join(word.nearest)
    if word.how == "unknown":
        return f"read as an unknown word; nearest known: {nearest}" if nearest else "read as an unknown word"
    if word.how == "guess":
        return f"read as {word.replacement}, a guess; nearest known: {nearest}"
    return f"read as {word.replacement}"
