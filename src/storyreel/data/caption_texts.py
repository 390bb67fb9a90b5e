"""Texts by segment id from people and other programs: JSON lines, WebVTT a film, and the annotation page's own."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from storyreel.data.files import write_whole
from storyreel.data.segments import SegmentRow
from storyreel.errors import DataError
from storyreel.wording import counted

EDITED = "edited"
"""Folder in a captions folder with what people wrote, a file a segment; no step removes it."""
_TIMES = re.compile(r"^\s*[\d:.]+\s+-->\s+[\d:.]+")
_BY = "NOTE by "


@dataclass(frozen=True)
class GivenText:
    """A text for a segment and who or what wrote it."""

    text: str
    provenance: str


def read_texts(path: Path) -> dict[str, GivenText]:
    """Texts of a file, JSONL (`id`, `text`, maybe `provenance`) or WebVTT (cue identifiers are segment ids).

    DataError, with the line: not such a file, a line without id or text, an id twice.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}. Give a JSONL or WebVTT file in UTF-8.") from None
    vtt = content.startswith("WEBVTT")
    texts: dict[str, GivenText] = {}
    for line, own, given in _vtt(path, content) if vtt else _jsonl(path, content):
        if own in texts:
            raise DataError(f"{path}, line {line}: segment {own} is there twice. Keep one.")
        texts[own] = given
    return texts


def _jsonl(path: Path, content: str) -> Iterable[tuple[int, str, GivenText]]:
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            own, text = row["id"], row["text"]
            by = row.get("provenance", f"import {path.name}")
        except (ValueError, KeyError, TypeError, AttributeError):
            own = text = by = None
        if not (isinstance(own, str) and isinstance(text, str) and isinstance(by, str)):
            raise DataError(f'{path}, line {number} is not of the form {{"id": "...", "text": "..."}}. Mend the line.')
        yield number, own, GivenText(_one_line(text), by)


def _vtt(path: Path, content: str) -> Iterable[tuple[int, str, GivenText]]:
    by = ""
    content = content.replace("\r\n", "\n")
    for block in re.finditer(r"(?:[^\n]+(?:\n|$))+", content):
        lines = block[0].strip("\n").split("\n")
        start = content.count("\n", 0, block.start()) + 1
        if lines[0].startswith(_BY):
            by = lines[0].removeprefix(_BY)
        elif len(lines) > 1 and _TIMES.match(lines[1]):
            text = html.unescape(re.sub(r"<[^>]*>", "", " ".join(lines[2:])))
            yield start, lines[0].strip(), GivenText(_one_line(text), by or f"import {path.name}")
            by = ""
        elif _TIMES.match(lines[0]):
            raise DataError(
                f"{path}, line {start}: the cue has no identifier. Put its segment's id on the line above it."
            )


def to_vtt(rows: Sequence[SegmentRow], texts: Mapping[str, GivenText]) -> str:
    """A film's texts as WebVTT: a cue a segment in order of time, its id in front, who wrote it in a note."""
    parts = ["WEBVTT"]
    for row in sorted(rows, key=lambda row: Fraction(row.start_seconds)):
        given = texts.get(row.id)
        if given is None or not given.text:
            continue
        times = " --> ".join(_time(Fraction(own)) for own in (row.start_seconds, row.stop_seconds))
        escaped = html.escape(_one_line(given.text), quote=False)
        parts.append(f"{_BY}{_one_line(given.provenance).replace('-->', '->')}\n\n{row.id}\n{times}\n{escaped}")
    return "\n\n".join(parts) + "\n"


def read_edited(folder: Path) -> dict[str, GivenText]:
    """What people wrote on the annotation page, by segment; DataError for a damaged file."""
    texts = {}
    for path in sorted((folder / EDITED).glob("[!.]*.json")):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            texts[path.stem] = GivenText(found["text"], found["provenance"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} cannot be read: {error!r}. Mend it, or remove the file.") from None
    return texts


def write_edited(folder: Path, segment: str, given: GivenText, more: Mapping[str, Any] | None = None) -> None:
    """Keeps a person's text for a segment, whole or not at all; `more` is noted beside it."""
    data = {"text": given.text, "provenance": given.provenance, **(more or {})}
    write_whole(folder / EDITED / f"{segment}.json", json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def check_ids(texts: Mapping[str, GivenText], segments: Iterable[str], where: str) -> None:
    """DataError where texts are of segments that are not there."""
    strangers = sorted(set(texts) - set(segments))
    if strangers:
        raise DataError(
            f"{where} has {counted(len(strangers), 'text')} of segments that are not there, {strangers[0]} first. "
            "Texts go by id: take those out, or give the segments that they are of."
        )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _time(seconds: Fraction) -> str:
    """Hours, minutes, seconds and milliseconds, as WebVTT has them."""
    whole = round(seconds * 1000)
    return f"{whole // 3600000:02d}:{whole // 60000 % 60:02d}:{whole // 1000 % 60:02d}.{whole % 1000:03d}"
