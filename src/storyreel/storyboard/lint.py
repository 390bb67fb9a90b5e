"""What a model can make of a storyboard, told before anything is computed: lengths, unknown words, stray marks.

`lint_storyboard` is what `generate` does with every storyboard; `inspect_storyboard` looks for all that is
doubtful, and `mend_storyboard` mends what is safe.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from storyreel.errors import StoryboardError
from storyreel.models.text import count_tokens, prepare_text, too_long
from storyreel.models.words import END_SCENE, START_SCENE, Replacement
from storyreel.storyboard.checks import check_storyboard
from storyreel.storyboard.findings import LEVELS, Finding
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


def inspect_storyboard(storyboard: Storyboard, tokenizer: PreTrainedTokenizerBase, length: int) -> list[Finding]:
    """Everything that is wrong or doubtful for a model with this tokenizer, by segment, errors first in each.

    `length`: the most tokens of a text, marks included. `mended` are those that `mend_storyboard` mends; of a locked
    segment it mends nothing.
    """
    found = list(check_storyboard(storyboard))
    for number, segment in enumerate(storyboard.segments, start=1):
        for mark in (START_SCENE, END_SCENE):
            if mark in segment.text or mark in segment.negative_text:
                message = f"it holds the mark {mark}, which scene_start stands for."
                remedy = 'Take it out and set "scene_start".'
                found.append(Finding("error", "mark", message, remedy, number, segment.line, mended=True))
        for word in prepare_text(tokenizer, f"{segment.text} {segment.negative_text}")[1]:
            safe = word.how in ("form", "synonym")
            level = "note" if safe else "warning"
            remedy = f'Write "{word.replacement}".' if safe else "Choose a word that it knows."
            message = f'this model does not know "{word.word}" ({_reading(word)}).'
            found.append(Finding(level, "unknown word", message, remedy, number, segment.line, mended=safe))
    read = lint_words(storyboard, tokenizer)
    for kind, texts in (("it", read.marked_texts()), ("its negative text", read.negative_texts())):
        for number, (segment, text) in enumerate(zip(storyboard.segments, texts, strict=True), start=1):
            tokens = count_tokens(tokenizer, text)
            if tokens > length:
                message, _, remedy = too_long(kind, tokens, length).partition(". ")
                found.append(Finding("error", "length", f"{message}.", remedy, number, segment.line))
    locked = {number for number, segment in enumerate(storyboard.segments, start=1) if segment.locked}
    found = [replace(own, mended=False) if own.segment in locked else own for own in found]
    return sorted(found, key=lambda own: (own.segment or 0, LEVELS.index(own.level)))


def mend_storyboard(storyboard: Storyboard, tokenizer: PreTrainedTokenizerBase) -> Storyboard:
    """The storyboard with white space tidied, marks moved to `scene_start`, and known forms of unknown words.

    Words are changed where another form or a near synonym is known, never for a guess. Locked segments stay.
    """
    segments = list(storyboard.segments)
    for i, segment in enumerate(storyboard.segments):
        if segment.locked:
            continue
        starts = i == 0 or segments[i].scene_start or START_SCENE in segment.text
        text, negative = (_mended(tokenizer, own) for own in (segment.text, segment.negative_text))
        segments[i] = segment.model_copy(update={"text": text, "negative_text": negative, "scene_start": starts})
        if END_SCENE in segment.text and i + 1 < len(segments) and not segments[i + 1].locked:
            segments[i + 1] = segments[i + 1].model_copy(update={"scene_start": True})
    return storyboard.model_copy(update={"segments": segments})


def lint_words(storyboard: Storyboard, tokenizer: PreTrainedTokenizerBase) -> Storyboard:
    """The storyboard in the words that the model reads."""
    segments = [
        own.model_copy(
            update={
                "text": prepare_text(tokenizer, own.text)[0],
                "negative_text": prepare_text(tokenizer, own.negative_text)[0],
            }
        )
        for own in storyboard.segments
    ]
    return storyboard.model_copy(update={"segments": segments})


def _mended(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """A text without marks and stray white space, safe replacements made; the case of a first letter is kept."""
    for mark in (START_SCENE, END_SCENE):
        text = text.replace(mark, " ")
    for word in prepare_text(tokenizer, text)[1]:
        if word.how in ("form", "synonym"):
            new = word.replacement
            new = new[0].upper() + new[1:] if word.word[0].isupper() else new
            text = re.sub(rf"(?<!\w){re.escape(word.word)}(?!\w)", lambda _, new=new: new, text)
    return " ".join(text.split())


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
