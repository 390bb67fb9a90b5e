"""Step 2, `scenes`: shots of each film, grouped into scenes by setting.

    SCENES/rows.jsonl             a ShotRow a shot
    SCENES/lists/ID.csv .edl .otio   the same, to look at and to edit

An edited list is read back instead of looking at the film: a folder of files ID.csv, ID.edl or ID.otio (`edited`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.video.frame import VideoFrame

from storyreel.data.decode import View, all_views
from storyreel.data.files import write_whole
from storyreel.data.film import FilmRow, FrameTimes
from storyreel.data.fingerprint import hash_of, hash_of_file
from storyreel.data.grouping import GroupingConfig, with_scenes
from storyreel.data.looks import LOOK_WIDTH, Looks, look_at
from storyreel.data.manifest import Account, Dropped, Manifest, read_manifest, read_rows, span_id
from storyreel.data.paths import relative
from storyreel.data.shot_lists import FORMATS, read_shots
from storyreel.data.shots import Shot, ShotRow, shots_between
from storyreel.data.step import Each, Job, OnItem, Outcome, Step, nobody, run_step
from storyreel.data.transitions import Border, BorderConfig, find_borders
from storyreel.errors import ConfigError, DataError, refusal

LISTS = "lists"
DETECTORS = ("adaptive", "transnet")


@dataclass(frozen=True)
class ScenesConfig:
    """How borders are found: detector "adaptive" or "transnet" (a neural network, an extra), thresholds, grouping."""

    detector: str = "adaptive"
    borders: BorderConfig = field(default_factory=BorderConfig)
    grouping: GroupingConfig = field(default_factory=GroupingConfig)

    def __post_init__(self) -> None:
        if self.detector not in DETECTORS:
            limit = f"it must be {' or '.join(DETECTORS)}"
            raise ConfigError(refusal("detector", self.detector, limit, "Try adaptive"))


def run(
    probed: Path,
    output: Path,
    config: ScenesConfig,
    *,
    edited: Path | None = None,
    workers: int | None = None,
    run_each: Each | None = None,
    on_item: OnItem = nobody,
) -> Manifest:
    """Finds the shots of every film that `probe` kept (its folder is `probed`); rows are `ShotRow`s.

    Films that `edited` has a list of get the shots of that list. DataError for a list that cannot be read, or is of no
    film.
    """
    manifest = read_manifest(probed, "probe")
    films = read_rows(probed, FilmRow)
    lists = _edited_lists(edited, films)
    detector = {}
    if config.detector == "transnet":
        from storyreel.data import transnet

        detector = {"detector": transnet.digest()}
    jobs = []
    for film in films:
        # The lists name the file, so its name is an ingredient.
        inputs = {"film": film.content, "name": hash_of(film.path), **detector}
        if film.id in lists:
            read_shots(lists[film.id], film)
            inputs["edited"] = hash_of_file(lists[film.id])
        payload = _Payload(film, manifest.source, str(probed), str(lists[film.id]) if film.id in lists else "")
        jobs.append(Job(film.id, inputs, payload))
    source = relative(probed, output)
    return run_step(STEP, jobs, output, config, source=source, workers=workers, run_each=run_each, on_item=on_item)


def _edited_lists(folder: Path | None, films: Sequence[FilmRow]) -> dict[str, Path]:
    """The edited list of each film that has one."""
    if folder is None:
        return {}
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}. Copy lists of the step's folder {LISTS} there and edit them.")
    known = {film.id for film in films}
    lists: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix not in FORMATS:
            continue
        if path.stem not in known:
            raise DataError(f"{path} is of no film here. Name it after the film's id, such as {films[0].id}.csv.")
        if path.stem in lists:
            raise DataError(f"{path} and {lists[path.stem].name} are of the same film. Keep one of them.")
        lists[path.stem] = path
    return lists


@dataclass(frozen=True)
class _Payload:
    film: FilmRow
    root: str
    probed: str
    edited: str


def _work(payload: _Payload, config: ScenesConfig, output: Path) -> Outcome:
    film = payload.film
    times = FrameTimes.load(Path(payload.probed), film)
    if payload.edited:
        shots = read_shots(Path(payload.edited), film)
    else:
        shots = find_shots(Path(payload.root) / film.path, film, config)
    outcome = Outcome(rows=[row.model_dump(mode="json") for row in _rows(shots, film, times)])
    for ending, form in FORMATS.items():
        path = f"{LISTS}/{film.id}{ending}"
        write_whole(output / path, form.write(shots, film, times))
        outcome.artefacts.append(path)
    outcome.dropped = _transitions(shots, film, times)
    lost = sum(own.amount for own in outcome.dropped)
    outcome.accounts = [
        Account(unit="shot", seen=len(shots), kept=len(shots), dropped=0),
        Account(unit="frame", seen=film.frames, kept=film.frames - lost, dropped=lost),
    ]
    return outcome


def find_shots(path: Path, film: FilmRow, config: ScenesConfig) -> list[Shot]:
    """Looks at a film once and returns its shots with their scenes; none where it is blank from end to end."""
    view = View.to_look_at(film, LOOK_WIDTH)
    rate = Fraction(film.rate)
    looks, found = borders_in(all_views(path, film, view), rate, config)
    shots = shots_between(len(looks.thumbs), found)
    return with_scenes(shots, looks.histograms, looks.histogram_step, float(rate), config.grouping)


def borders_in(
    views: Iterator[tuple[int, VideoFrame]], rate: Fraction, config: ScenesConfig
) -> tuple[Looks, list[Border]]:
    """What a film's views look like (all of them, BGR, in order, `rate` a second), and its borders."""
    borders = config.borders
    thresholds: dict[str, Any] = {
        "adaptive_threshold": borders.adaptive_threshold,
        "least_change": borders.least_change,
    }
    if config.detector == "adaptive":
        looks = look_at(views, rate, **thresholds)
        return looks, find_borders(looks.thumbs, looks.candidates, float(rate), borders)
    from storyreel.data.transnet import Watcher

    watcher = Watcher()
    looks = look_at(views, rate, **thresholds, watch=watcher.see)
    cuts, gradual = watcher.borders()
    return looks, find_borders(looks.thumbs, cuts, float(rate), borders, gradual)


def _rows(shots: Sequence[Shot], film: FilmRow, times: FrameTimes) -> list[ShotRow]:
    rows = []
    for number, shot in enumerate(shots):
        start, stop = times.seconds(shot.start), times.seconds(shot.stop)
        rows.append(
            ShotRow(
                id=span_id(film.id, start, stop),
                film=film.id,
                number=number,
                scene=shot.scene,
                start=shot.start,
                stop=shot.stop,
                start_seconds=str(start),
                stop_seconds=str(stop),
                begins=shot.begins,
            )
        )
    return rows


def _transitions(shots: Sequence[Shot], film: FilmRow, times: FrameTimes) -> list[Dropped]:
    """Frames of no shot, as drops of unit "frame"."""
    ends = [0, *(shot.stop for shot in shots)]
    starts = [*(shot.start for shot in shots), film.frames]
    kinds = [*(shot.begins for shot in shots), "end"]
    return [
        Dropped(
            id=span_id(film.id, times.seconds(end), times.seconds(start)),
            unit="frame",
            reason="transition",
            detail=f"frames {end} to {start} of {film.path} ({kind})",
            amount=start - end,
        )
        for end, start, kind in zip(ends, starts, kinds, strict=True)
        if start > end
    ]


STEP = Step("scenes", 1, "shot", (LISTS,), ("av", "numpy", "opencv-python-headless", "scenedetect-headless"), _work)
