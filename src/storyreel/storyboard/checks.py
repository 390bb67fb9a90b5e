"""The rules of `storyreel write --lint`: each looks at a storyboard and yields findings; none changes anything.

What is a question of words, length and marks is in lint.py, beside what `generate` refuses.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from storyreel.geometry import SEGMENT_SECONDS, STAGE_SECONDS
from storyreel.models.words import GROUPS
from storyreel.storyboard.findings import Finding, Level
from storyreel.storyboard.schema import Storyboard
from storyreel.wording import counted

LONGEST_SCENE_SECONDS = 30
ALIKE = 0.9
"""Share of 3-word groups in common from which two paragraphs are told as nearly the same."""
SETTINGS = ("kitchen", "living_room", "bedroom", "bathroom", "garden", "street", "beach", "forest")
KINDS = ("cat", "mouse", "dog", "rabbit", "duck")
COLOURS = ("red", "blue", "green", "yellow", "orange", "purple", "pink", "brown", "grey", "white", "black")
_SENTENCE_END = re.compile(r"[.!?]+(?:\s|$)")
_CAMERA = re.compile(r"\b(camera|view)\b[^.!?]*\b(pan|zoom|move|follow|glide|slide|track|tilt|grow|go|come)", re.I)
_SPEECH = re.compile(r"[\"“”]|\b(?:says?|asks?|shouts?|whispers?|yells?)\b(?! hello)", re.IGNORECASE)
_UNSEEN = re.compile(
    r"\b(caption|subtitle|voice-?over|narrator|soundtrack|sound of|music plays|hard cut|cut to)\b", re.I
)
_PRONOUN = re.compile(
    r"\s*(He|She|It|They|His|Her|Their)\b(?! is (?:day|night|dark|light|late|still|a|the)| (?:all )?hap)"
)
_WORDS = re.compile(r"[a-z]+")


def check_storyboard(board: Storyboard) -> Iterator[Finding]:
    """Every finding of the rules below, rule by rule."""
    for rule in (count, borders, paragraphs, repeats, looks, pictures, negatives):
        yield from rule(board)


def count(board: Storyboard) -> Iterator[Finding]:
    """A length that no training stage has."""
    if board.seconds in STAGE_SECONDS:
        return
    near = min(STAGE_SECONDS, key=lambda stage: abs(stage - board.seconds))
    change = (near - board.seconds) // SEGMENT_SECONDS
    stages = ", ".join(map(str, STAGE_SECONDS))
    message = (
        f"it has {counted(len(board.segments), 'segment')}, {board.seconds} s, and models are trained at {stages} s."
    )
    how = "Add" if change > 0 else "Take out"
    yield Finding("warning", "count", message, f"{how} {counted(abs(change), 'segment')} for {near} s.")


def borders(board: Storyboard) -> Iterator[Finding]:
    """Scene marks that are missing, or stand where nothing changes; scenes that last too long."""
    if not board.segments[0].scene_start:
        yield _at(board, 0, "note", "borders", "the first segment starts a scene and does not say so.",
            'Set "scene_start": true.', mended=True)  # fmt: skip
    length = 0
    for i, segment in enumerate(board.segments):
        length = 1 if board.starts_scene(i) else length + 1
        if SEGMENT_SECONDS * length == LONGEST_SCENE_SECONDS + SEGMENT_SECONDS:
            message = f"its scene lasts longer than {LONGEST_SCENE_SECONDS} s."
            yield _at(board, i, "warning", "borders", message, "Start a new scene somewhere.")
        if i == 0:
            continue
        here, before = settings(segment.text), settings(board.segments[i - 1].text)
        if here and before and not here & before and not segment.scene_start:
            message = f"the place changes from {_either(before)} to {_either(here)} inside a scene."
            yield _at(board, i, "warning", "borders", message, 'Set "scene_start": true, or keep the place.')
        elif not here and segment.scene_start:
            message = "a scene starts here, but its paragraph names no place that is known."
            yield _at(board, i, "note", "borders", message, "Say where it is; attention sees one segment's text.")


def paragraphs(board: Storyboard) -> Iterator[Finding]:
    """Paragraphs of other than 3 to 5 sentences, ones without words, and white space to tidy."""
    for i, segment in enumerate(board.segments):
        sentences = len(_SENTENCE_END.findall(segment.text.strip() + " "))
        if not _WORDS.search(segment.text.lower()):
            yield _at(board, i, "error", "paragraph", "it has no words.", "Write 3 to 5 sentences.")
        elif not 3 <= sentences <= 5:
            message = f"it has {counted(sentences, 'sentence')}; models are trained on 3 to 5."
            yield _at(board, i, "note", "paragraph", message, "Tell place, who does what, and the camera.")
        if segment.text != " ".join(segment.text.split()):
            yield _at(board, i, "note", "white space", "it has stray white space.", "Tidy it.", mended=True)
        if opening := _PRONOUN.match(segment.text):
            message = f'it opens with "{opening[1]}", and the model cannot look up who that is.'
            yield _at(board, i, "warning", "pronoun", message, "Name who it is in every paragraph.")


def repeats(board: Storyboard) -> Iterator[Finding]:
    """Paragraphs that say what an earlier one says."""
    groups = [_groups_of_words(segment.text) for segment in board.segments]
    for i, own in enumerate(groups):
        for j in range(i):
            shared = len(own & groups[j]) / max(1, len(own | groups[j]))
            if shared >= ALIKE:
                same = "is the same as" if shared == 1 else "is nearly the same as"
                message = f"its paragraph {same} that of segment {j + 1}."
                yield _at(board, i, "warning", "repeat", message, "Tell what is new in these 3 seconds.")
                break


def looks(board: Storyboard) -> Iterator[Finding]:
    """Names whose species or colour changes from one paragraph to another."""
    known: dict[tuple[str, str], tuple[str, int]] = {}
    for i, segment in enumerate(board.segments):
        for name, what, value in described(segment.text):
            first, where = known.setdefault((name, what), (value, i))
            if value != first:
                message = f"{name} is {value}, but was {first} in segment {where + 1}."
                yield _at(board, i, "warning", "looks", message, f"Keep {name} {first}.")


def pictures(board: Storyboard) -> Iterator[Finding]:
    """What no picture shows: speech, sound, cuts; and more than one camera move."""
    for i, segment in enumerate(board.segments):
        if _SPEECH.search(segment.text):
            yield _at(board, i, "warning", "speech", "it has speech, which no picture shows.", "Tell what is seen.")
        if unseen := _UNSEEN.search(segment.text):
            yield _at(board, i, "warning", "unseen", f'"{unseen[1]}" is nothing that is seen.', "Take it out.")
        moves = len(_CAMERA.findall(segment.text))
        if moves > 1:
            message = f"the camera makes {counted(moves, 'move')} in 3 seconds."
            yield _at(board, i, "warning", "camera", message, "Keep one.")


def negatives(board: Storyboard) -> Iterator[Finding]:
    """Negative texts that only some segments have."""
    texts = {segment.negative_text for segment in board.segments}
    if len(texts) > 1:
        message = f"its segments have {len(texts)} different negative texts."
        yield Finding("note", "negative", message, "Most stories have one for all.")


def settings(text: str) -> set[str]:
    """The places that a text names, each by its first synonym."""
    low = " ".join(_WORDS.findall(text.lower())).replace("living room", "living_room")
    table = _setting_words()
    return {table[word] for word in low.split() if word in table}


def described(text: str) -> Iterator[tuple[str, str, str]]:
    """(name, "species" or "colour", value) of each name that a text describes: "Pip the grey mouse"."""
    kinds, colours = "|".join(KINDS), "|".join(COLOURS)
    forms = (
        rf"\b([A-Z][a-z]+),? the (?:[a-z]+ )*?(?:({colours}) )?(?:[a-z]+ )?({kinds})\b",
        rf"\b(?:the|a|an|The|A|An) (?:[a-z]+ )?(?:({colours}) )?({kinds}) (?:named |called )?([A-Z][a-z]+)\b",
    )
    for number, form in enumerate(forms):
        for found in re.finditer(form, text):
            name, colour, species = found.groups() if number == 0 else (found[3], found[1], found[2])
            yield name, "species", species
            if colour:
                yield name, "colour", colour


def _at(board: Storyboard, i: int, level: Level, rule: str, message: str, remedy: str, mended: bool = False) -> Finding:
    return Finding(level, rule, message, remedy, segment=i + 1, line=board.segments[i].line, mended=mended)


def _either(places: set[str]) -> str:
    return " or ".join(sorted(place.replace("_", " ") for place in places))


def _groups_of_words(text: str) -> frozenset[tuple[str, ...]]:
    words = _WORDS.findall(text.lower())
    return frozenset(tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2)))


@functools.cache
def _setting_words() -> dict[str, str]:
    groups = [line.split() for line in GROUPS.strip().splitlines()]
    found = {word: group[0] for group in groups if group[0] in SETTINGS for word in group}
    return {**found, "woods": "forest"}
