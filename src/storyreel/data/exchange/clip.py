"""A video with its text, as all data-set formats know it, and the errors that their files have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storyreel.errors import DataError

VIDEOS = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v")


@dataclass(frozen=True)
class PairedClip:
    """A video (path in the data set's folder, with forward slashes), its text, and its size where the format says it.

    `starts` and `ends`: whether it is the first and the last of its scene; None where the format cannot tell.
    """

    video: str
    text: str
    frames: int | None = None
    fps: float | None = None
    height: int | None = None
    width: int | None = None
    starts: bool | None = None
    ends: bool | None = None


@dataclass(frozen=True)
class Convention:
    """A way to lay out a data set. `read(folder)` and `write(folder, clips)` know metadata alone, and copy no video.

    `keeps` names the fields of PairedClip that live through writing and reading, besides video and text. DataError
    where a folder is not of this kind, or a clip cannot be said in it.
    """

    name: str
    keeps: tuple[str, ...]
    read: Callable[[Path], list[PairedClip]]
    write: Callable[[Path, Sequence[PairedClip]], None]


def checked(clips: Sequence[PairedClip]) -> Sequence[PairedClip]:
    """DataError for a blank text or a video that is there twice: others' loaders take the next one's, or the last."""
    seen = set()
    for clip in clips:
        if not clip.text.strip():
            raise DataError(f"{clip.video} has no text. Give it one, or leave it out.")
        if clip.video in seen:
            raise DataError(f"{clip.video} is there twice. Keep one of them.")
        seen.add(clip.video)
    return clips


def one_line(clip: PairedClip) -> str:
    """The text of a clip for a format of one line a text: line ends become spaces."""
    return " ".join(clip.text.split())


def sizes_of(clip: PairedClip) -> tuple[int, float, int, int]:
    """(frames, fps, height, width); DataError where one is not known."""
    if clip.frames is None or clip.fps is None or clip.height is None or clip.width is None:
        raise DataError(f"{clip.video}: this format needs frames, fps, height and width. Say them.")
    return clip.frames, clip.fps, clip.height, clip.width


def read_text(path: Path) -> str:
    """A text file in UTF-8; DataError where there is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error


def read_json(path: Path) -> Any:
    """A JSON file; DataError with the line where it is none."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: {error.msg}. Mend it.") from error


def read_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, object) of each line of a JSONL file; blank lines are none. DataError for anything else."""
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            try:
                own = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}, line {number}: {error.msg}. Mend it.") from error
            if not isinstance(own, dict):
                raise DataError(f"{path}, line {number} is no JSON object. Mend it.")
            yield f"{path}, line {number}", own


def value_of(record: dict[str, Any], where: str, *names: str) -> Any:
    """The first of these fields that a record has; DataError where it has none."""
    for name in names:
        if record.get(name) not in (None, ""):
            return record[name]
    raise DataError(f"{where} has no {' or '.join(names)}. Add it.")
