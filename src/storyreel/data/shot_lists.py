"""Lists of shots that people and editing programs can change, and back without loss: CSV, EDL and OTIO.

All three count decoded frames, the only exact measure in a film of variable rate. In an EDL (CMX 3600, non-drop) a time
code is a frame number at the film's rate rounded to a whole one; OTIO is written as plain JSON in OpenTimelineIO's
schemas (Timeline.1, Stack.1, Track.1, Clip.1), for which its library is not needed.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from storyreel.data.film import FilmRow, FrameTimes
from storyreel.data.shots import Shot, check_shots
from storyreel.errors import DataError, refusal

CSV_FIELDS = ("shot", "scene", "start_frame", "stop_frame", "begins", "start_seconds", "stop_seconds")
_EVENT = re.compile(r"(\d+)\s+\S+\s+\S+\s+\S+(?:\s+\d+)?\s+([\d:]{11,})\s+([\d:]{11,})\s+([\d:]{11,})\s+([\d:]{11,})")
_NOTE = re.compile(r"\* STORYREEL SCENE (\d+) BEGINS (\w+)")


def to_csv(shots: Sequence[Shot], film: FilmRow, times: FrameTimes) -> str:
    """One line a shot. Seconds are for the reader's eye; frames are what is read back."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(CSV_FIELDS)
    for number, shot in enumerate(shots, start=1):
        seconds = [f"{float(times.seconds(frame)):.3f}" for frame in (shot.start, shot.stop)]
        lines.writerow([number, shot.scene, shot.start, shot.stop, shot.begins, *seconds])
    return text.getvalue()


def from_csv(text: str, film: FilmRow) -> list[Shot]:
    """Shots of a CSV with at least the columns scene, start_frame, stop_frame and begins."""
    return [
        Shot.model_validate(
            {"start": row["start_frame"], "stop": row["stop_frame"], "scene": row["scene"], "begins": row["begins"]}
        )
        for row in csv.DictReader(io.StringIO(text))
    ]


def to_edl(shots: Sequence[Shot], film: FilmRow, times: FrameTimes) -> str:
    """A CMX 3600 list: source and record time codes are the same, so that gaps stay where they are."""
    rate = _whole_rate(film)
    lines = [f"TITLE: {film.path}", "FCM: NON-DROP FRAME", ""]
    for number, shot in enumerate(shots, start=1):
        start, stop = _timecode(shot.start, rate), _timecode(shot.stop, rate)
        lines.append(f"{number:03d}  AX       V     C        {start} {stop} {start} {stop}")
        lines.append(f"* FROM CLIP NAME: {film.path}")
        lines.append(f"* STORYREEL SCENE {shot.scene} BEGINS {shot.begins}")
    return "\n".join(lines) + "\n"


def from_edl(text: str, film: FilmRow) -> list[Shot]:
    """Shots of an EDL's source time codes. An event without our note goes on with the scene before it, by a cut."""
    rate = _whole_rate(film)
    shots: list[dict[str, Any]] = []
    for line in text.splitlines():
        if event := _EVENT.match(line):
            scene = shots[-1]["scene"] if shots else 0
            start, stop = _frame(event[2], rate), _frame(event[3], rate)
            shots.append({"start": start, "stop": stop, "scene": scene, "begins": "edit"})
        elif (note := _NOTE.match(line)) and shots:
            shots[-1] |= {"scene": int(note[1]), "begins": note[2]}
    return [Shot.model_validate(shot) for shot in shots]


def to_otio(shots: Sequence[Shot], film: FilmRow, times: FrameTimes) -> str:
    """A timeline with one video track: a clip a shot, a gap for each transition."""
    rate = float(Fraction(film.rate))
    children, at = [], 0
    for number, shot in enumerate(shots, start=1):
        if shot.start > at:
            children.append({"OTIO_SCHEMA": "Gap.1", "name": "", "source_range": _range(0, shot.start - at, rate)})
        children.append(_clip(f"shot {number}", shot, film, rate))
        at = shot.stop
    track = {"OTIO_SCHEMA": "Track.1", "name": "shots", "kind": "Video", "children": children}
    timeline = {
        "OTIO_SCHEMA": "Timeline.1",
        "name": film.path,
        "global_start_time": None,
        "metadata": {"storyreel": {"film": film.id}},
        "tracks": {"OTIO_SCHEMA": "Stack.1", "name": "tracks", "children": [track]},
    }
    return json.dumps(timeline, indent=1, ensure_ascii=False) + "\n"


def from_otio(text: str, film: FilmRow) -> list[Shot]:
    """Shots of the clips of a timeline's first track, by their source ranges."""
    timeline = json.loads(text)
    shots: list[Shot] = []
    for child in timeline["tracks"]["children"][0]["children"]:
        if not child["OTIO_SCHEMA"].startswith("Clip."):
            continue
        span = child["source_range"]
        start, length = round(span["start_time"]["value"]), round(span["duration"]["value"])
        own = child.get("metadata", {}).get("storyreel", {})
        scene = own.get("scene", shots[-1].scene if shots else 0)
        shot = {"start": start, "stop": start + length, "scene": scene, "begins": own.get("begins", "edit")}
        shots.append(Shot.model_validate(shot))
    return shots


@dataclass(frozen=True)
class Format:
    """How a list of one ending is written and read."""

    write: Callable[[Sequence[Shot], FilmRow, FrameTimes], str]
    read: Callable[[str, FilmRow], list[Shot]]


FORMATS = {".csv": Format(to_csv, from_csv), ".edl": Format(to_edl, from_edl), ".otio": Format(to_otio, from_otio)}


def read_shots(path: Path, film: FilmRow) -> list[Shot]:
    """Shots of a list, by its ending; DataError where it cannot be read or has no such shots."""
    if path.suffix not in FORMATS:
        raise DataError(refusal("list of shots", path, f"it must be one of {', '.join(FORMATS)}", "Rename it"))
    try:
        shots = FORMATS[path.suffix].read(path.read_text(encoding="utf-8"), film)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{path}: {first['loc'][0]} is {first['input']!r}: {first['msg']}. Mend the list.") from error
    except (OSError, KeyError, TypeError, IndexError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {type(error).__name__} {error}. Mend the list.") from error
    check_shots(shots, film.frames, str(path))
    return shots


def _whole_rate(film: FilmRow) -> int:
    return max(1, round(Fraction(film.rate)))


def _timecode(frame: int, rate: int) -> str:
    seconds, frames = divmod(frame, rate)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frames:02d}"


def _frame(timecode: str, rate: int) -> int:
    hours, minutes, seconds, frames = map(int, timecode.split(":"))
    return ((hours * 60 + minutes) * 60 + seconds) * rate + frames


def _range(start: int, length: int, rate: float) -> dict[str, Any]:
    def time(value: int) -> dict[str, Any]:
        return {"OTIO_SCHEMA": "RationalTime.1", "value": float(value), "rate": rate}

    return {"OTIO_SCHEMA": "TimeRange.1", "start_time": time(start), "duration": time(length)}


def _clip(name: str, shot: Shot, film: FilmRow, rate: float) -> dict[str, Any]:
    return {
        "OTIO_SCHEMA": "Clip.1",
        "name": name,
        "source_range": _range(shot.start, shot.stop - shot.start, rate),
        "media_reference": {
            "OTIO_SCHEMA": "ExternalReference.1",
            "target_url": film.path,
            "available_range": _range(0, film.frames, rate),
        },
        "metadata": {"storyreel": {"scene": shot.scene, "begins": shot.begins}},
    }
