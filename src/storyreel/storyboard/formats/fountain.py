"""Fountain screenplays: a heading starts a scene, a paragraph of action is a segment. Dialogue has no picture."""

from __future__ import annotations

import re
from typing import Any

from storyreel.storyboard.checks import settings
from storyreel.storyboard.formats.shots import Script, Shot, not_told
from storyreel.storyboard.schema import Storyboard
from storyreel.wording import counted

INDOORS = ("kitchen", "living_room", "bedroom", "bathroom")
HEADING = re.compile(r"^(?:(?:INT|EXT|EST|INT\.?/EXT|I/E)[. ]+(?P<place>.+)|\.(?!\.)(?P<forced>.+))$", re.IGNORECASE)
_NEGATIVE = re.compile(r"\[\[not: (.*?)\]\]", re.DOTALL)
_NOTE = re.compile(r"\[\[.*?\]\]|/\*.*?\*/", re.DOTALL)
_CUE = re.compile(r"^@.+|^[A-Z][A-Z0-9 .'()^-]+$")
_TRANSITION = re.compile(r"^(?:>.*|[A-Z ]+TO:|FADE (?:IN|OUT)[.:]?)$")
_TITLE = re.compile(r"^([A-Za-z ]+):\s*(.*)$")


def write_fountain(board: Storyboard) -> tuple[str, tuple[str, ...]]:
    """A heading a scene, a paragraph a segment; a negative text is a note, [[not: ...]]."""
    lines = [f"Title: {board.title}", ""] if board.title else []
    for i, own in enumerate(board.segments):
        if board.starts_scene(i):
            lines += [_heading(own.text, i), ""]
        note = f" [[not: {own.negative_text}]]" if own.negative_text else ""
        # An exclamation mark forces action, where a paragraph could be taken for something else.
        forced = "!" if _CUE.match(own.text) or HEADING.match(own.text) or own.text[0] in "!>=#.@~" else ""
        lines += [f"{forced}{' '.join(own.text.split())}{note}", ""]
    return "\n".join(lines), tuple(not_told(board, negative=False))


def is_fountain(text: Any) -> bool:
    """A text with a scene heading."""
    return isinstance(text, str) and any(HEADING.match(line.strip()) for line in text.splitlines())


def read_fountain(text: Any, story: int) -> Script:
    """Paragraphs of action under headings; dialogue, notes and transitions are lost, and counted."""
    title, body = _title_page(text)
    lost: dict[str, int] = {}
    shots: list[Shot] = []
    heading, starts = "", False
    for block in re.split(r"\n\s*\n", body):
        negative = " ".join(_NEGATIVE.findall(block))
        block = _NEGATIVE.sub("", block)
        lost["note"] = lost.get("note", 0) + len(_NOTE.findall(block))
        lines = [line.strip() for line in _NOTE.sub("", block).splitlines() if line.strip()]
        if lines and (found := HEADING.match(lines[0])):
            heading, starts = (found["place"] or "").lower(), True
            lines = lines[1:]
        if not lines:
            continue
        kind = _kind(lines)
        if kind != "action":
            lost[kind] = lost.get(kind, 0) + 1
            continue
        told = " ".join(lines).removeprefix("!")
        shots.append(Shot(_placed(told, heading), starts, negative_text=negative))
        starts = False
    many = {"dialogue": "speeches", "synopsis": "synopses"}
    one = {"dialogue": "speech"}
    said = [counted(number, one.get(kind, kind), many.get(kind, "")) for kind, number in lost.items() if number]
    return Script(title, tuple(shots), tuple(said))


def _title_page(text: str) -> tuple[str, str]:
    """(title, the rest) where the text begins with keys such as "Title: Pie"."""
    head, gap, rest = text.lstrip("\ufeff\n").partition("\n\n")
    found = _TITLE.match(head.splitlines()[0]) if head else None
    if not gap or found is None or HEADING.match(head.splitlines()[0]):
        return "", text
    pairs = [_TITLE.match(line) for line in head.splitlines()]
    return next((pair[2] for pair in pairs if pair and pair[1].lower() == "title"), ""), rest


def _kind(lines: list[str]) -> str:
    if lines[0].startswith("!"):
        return "action"
    if _TRANSITION.match(lines[0]) and len(lines) == 1:
        return "transition"
    if lines[0].startswith("="):
        return "synopsis"
    if lines[0].startswith("#"):
        return "section"
    return "dialogue" if len(lines) > 1 and _CUE.match(lines[0]) else "action"


def _heading(text: str, number: int) -> str:
    places = sorted(settings(text))
    if not places:
        return f".SCENE {number + 1}"
    side = "INT" if places[0] in INDOORS else "EXT"
    time = "NIGHT" if re.search(r"\bnight|\bdark\b|\bmoon\b", text) else "DAY"
    return f"{side}. {places[0].replace('_', ' ').upper()} - {time}"


def _placed(text: str, heading: str) -> str:
    """The text, with the heading's place in front where it names none: attention sees one paragraph at a time."""
    place, _, time = heading.partition(" - ")
    if not place or settings(text):
        return text
    where = place.replace("living_room", "living room").strip()
    when = " at night" if "night" in time else ""
    return f"The scene is {'on' if where in ('beach', 'street') else 'in'} the {where}{when}. {text}"
