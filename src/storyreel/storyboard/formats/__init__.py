"""Storyboards in other programs' formats: recognised by what is in the file, written by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storyreel.errors import StoryboardError
from storyreel.storyboard.formats import fountain, json_formats
from storyreel.storyboard.formats.shots import Format, Script, Shot, to_segments
from storyreel.storyboard.reader import read_storyboard
from storyreel.storyboard.schema import Storyboard

FORMATS: dict[str, Format] = {
    own.name: own
    for own in (
        Format("storyreel", ".json", json_formats.write_storyreel),
        Format("reference", ".json", json_formats.write_reference),
        Format("reference-jsonl", ".jsonl", json_formats.write_reference_lines),
        Format(
            "storymem", ".json", json_formats.write_storymem, json_formats.is_storymem, json_formats.read_storymem
        ),
        Format(
            "longlive", ".jsonl", json_formats.write_longlive, json_formats.is_longlive, json_formats.read_longlive
        ),
        Format(
            "holocine", ".json", json_formats.write_holocine, json_formats.is_holocine, json_formats.read_holocine
        ),
        Format(
            "vistorybench", ".json", json_formats.write_vistorybench, json_formats.is_vistorybench,
            json_formats.read_vistorybench,
        ),
        Format("fountain", ".fountain", fountain.write_fountain, fountain.is_fountain, fountain.read_fountain),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Read:
    """A storyboard and the name of the format that it was read from.

    `lost` is what that says and a storyboard cannot, `told` what else happened on the way.
    """

    storyboard: Storyboard
    name: str
    lost: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


def read_any(path: Path, seconds: int | None = None, story: int = 0) -> Read:
    """A storyboard from a file in any of the formats, made as long as `seconds` (None: as its shots are).

    StoryboardError or ConfigError, one line, for whatever is wrong.
    """
    content = _content(path)
    found = next((own for own in FORMATS.values() if own.recognises and own.recognises(content)), None)
    if found is None or found.read is None:
        board = read_storyboard(path, story)
        if seconds in (None, board.seconds):
            return Read(board, "a storyboard")
        shots = tuple(Shot(own.text, own.scene_start, negative_text=own.negative_text) for own in board.segments)
        board, told = to_segments(Script(board.title, shots), seconds)
        return Read(board, "a storyboard", (), told)
    try:
        script = found.read(content, story)
        board, told = to_segments(script, seconds)
    except StoryboardError as error:
        raise StoryboardError(f"{path}, read as {found.name}: {error}") from None
    return Read(board, found.name, script.lost, told)


def _content(path: Path) -> Any:
    """Parsed JSON, a list for JSON lines, or the text where it is neither; None where reader.py knows what is wrong."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    if text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return None
