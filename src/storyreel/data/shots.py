"""Shots of a film and their scenes."""

from __future__ import annotations

from collections.abc import Sequence

from storyreel.data.film import FilmRow
from storyreel.data.manifest import Record, Row
from storyreel.data.transitions import Border, Kind
from storyreel.errors import DataError


class Shot(Record):
    """Frames `start` to `stop` (excluded) without a cut. `scene` counts from 0; `begins` says how the shot begins."""

    start: int
    stop: int
    scene: int
    begins: Kind


class ShotRow(Row):
    """A shot in the manifest of `scenes`. Seconds are exact fractions of the film's time, as text."""

    film: str
    number: int
    scene: int
    start: int
    stop: int
    start_seconds: str
    stop_seconds: str
    begins: Kind


def inputs_of(shot: ShotRow, film: FilmRow) -> dict[str, str]:
    """What of a film and a shot its pictures depend on."""
    return {"film": film.content, "frames": f"{shot.start} {shot.stop}"}


def shots_between(frames: int, borders: Sequence[Border]) -> list[Shot]:
    """The shots that borders leave of a film, all of scene 0; borders at its ends make it shorter."""
    shots: list[Shot] = []
    start, begins = 0, "start"
    for border in borders:
        if border.start > start:
            shots.append(Shot(start=start, stop=border.start, scene=0, begins=begins))
        start, begins = max(start, border.stop), border.kind
    if start < frames:
        shots.append(Shot(start=start, stop=frames, scene=0, begins=begins))
    return shots


def check_shots(shots: Sequence[Shot], frames: int, where: str) -> None:
    """DataError unless shots are in order, apart, within the film, and scenes count up from 0 without gaps."""
    stop, scene = 0, 0
    for number, shot in enumerate(shots):
        if not stop <= shot.start < shot.stop <= frames:
            raise DataError(
                f"{where}: shot {number + 1} has frames {shot.start} to {shot.stop}, but it must begin at {stop} or "
                f"later, end after its beginning, and the film has {frames} frames. Mend the list."
            )
        if shot.scene not in (scene, scene + 1) or (number == 0 and shot.scene != 0):
            raise DataError(
                f"{where}: shot {number + 1} is of scene {shot.scene}, but the shot before is of scene {scene}. "
                "Scenes count from 0, each the same or one more than that before."
            )
        stop, scene = shot.stop, shot.scene
    if not shots:
        raise DataError(f"{where} has no shot. Give at least one.")
