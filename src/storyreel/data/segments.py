"""Step 3, `segments`: takes of the shots, in segments of 3 s at one size, each looked over once more.

SEGMENTS/rows.jsonl               a SegmentRow for every 3 s
SEGMENTS/takes/FILM/SHOT.mp4      a shot's segments, 48 n + 1 frames
SEGMENTS/thumbs/FILM/ID.jpg       the middle of each segment
SEGMENTS/sheets/FILM.html         contact sheet of a film
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from storyreel.data.decode import Decoder, View, some_views
from storyreel.data.files import write_whole
from storyreel.data.film import FilmRow, FrameTimes, existing
from storyreel.data.film_sheet import write_sheets
from storyreel.data.looks import LOOK_WIDTH, look_at
from storyreel.data.manifest import (
    Account,
    Artefact,
    Dropped,
    Manifest,
    Row,
    read_manifest,
    read_record,
    read_rows,
    span_id,
)
from storyreel.data.paths import relative
from storyreel.data.shots import ShotRow, inputs_of
from storyreel.data.step import Each, Job, OnItem, Outcome, Step, nobody, run_step
from storyreel.data.takes import SEGMENT_FRAMES, Take, plan_take, read_take, segments_with_gaps, take_frames, write_take
from storyreel.data.transitions import BorderConfig, real_cuts
from storyreel.errors import ConfigError, DataError, refusal
from storyreel.geometry import FRAMES_PER_SECOND, SEGMENT_SECONDS

THUMB_WIDTH = 160
THUMB_QUALITY = 80


@dataclass(frozen=True)
class SegmentsConfig:
    """How segments are made.

    width, height: pixels of every segment. crf: x264's quality, 0 lossless, 18 hardly to be told from the source.
    least_seconds: shorter shots are no scenes. most_gap_seconds: a frame that is shown for longer is a gap in the film.
    borders: thresholds of the second look, as in `scenes`.
    """

    width: int = 720
    height: int = 480
    crf: int = 14
    least_seconds: float = 2.0
    most_gap_seconds: float = 1.0
    borders: BorderConfig = field(default_factory=BorderConfig)

    def __post_init__(self) -> None:
        for name, pixels in (("width", self.width), ("height", self.height)):
            if pixels < 32 or pixels % 2:
                limit = "H.264 needs an even number of at least 32"
                raise ConfigError(refusal(name, f"{pixels} pixels", limit, "Try 720x480"))
        if not 0 <= self.crf <= 51:
            raise ConfigError(refusal("crf", self.crf, "x264 knows 0 to 51", "Try 14"))


class SegmentRow(Row):
    """A segment: frames `first_frame` to `first_frame` + 48 of `take`, a path relative to the step's folder.

    Its scene is that of its shot, by id. `follows` is the id of the segment of the same take whose last frame is this
    one's first; None where there is none. `picks` are the film's frames that its first and last frame show. Seconds are
    exact, in the film's time.
    """

    film: str
    shot: str
    number: int
    take: str
    first_frame: int
    frames: int
    start_seconds: str
    stop_seconds: str
    picks: tuple[int, int]
    follows: str | None
    thumb: str


def run(
    scenes: Path,
    output: Path,
    config: SegmentsConfig,
    *,
    upscaled: Path | None = None,
    workers: int | None = None,
    run_each: Each | None = None,
    on_item: OnItem = nobody,
) -> Manifest:
    """Cuts every shot of the step `scenes` (its folder) into segments; rows are `SegmentRow`s.

    Shots that the step `upscale` (its folder) enlarged are taken from there. DataError where that is of other shots or
    another size.
    """
    manifest = read_manifest(scenes, "scenes")
    probed = (scenes / manifest.source).resolve()
    root = read_manifest(probed, "probe").source
    films = {film.id: film for film in read_rows(probed, FilmRow)}
    shots = read_rows(scenes, ShotRow)
    strangers = [shot.film for shot in shots if shot.film not in films]
    if strangers:
        raise DataError(f"{scenes} has shots of film {strangers[0]}, but {probed} has no such film. Run scenes again.")
    enlarged = _enlarged_takes(upscaled, shots, films, config) if upscaled else {}
    jobs = []
    for shot in shots:
        inputs = inputs_of(shot, films[shot.film])
        own = enlarged.get(shot.id)
        if own:
            inputs["upscaled"] = own.sha256
        take = str((upscaled / own.path).resolve()) if upscaled and own else ""
        jobs.append(Job(shot.id, inputs, _Payload(films[shot.film], shot, root, str(probed), take)))
    return run_step(
        STEP,
        jobs,
        output,
        config,
        source=relative(scenes, output),
        workers=workers,
        on_item=on_item,
        run_each=run_each,
        extra=lambda records: write_sheets(output, list(films.values()), shots, records),
    )


def _enlarged_takes(
    folder: Path, shots: Sequence[ShotRow], films: Mapping[str, FilmRow], config: SegmentsConfig
) -> dict[str, Artefact]:
    """The take of each shot that `upscale` enlarged, by the shot's id."""
    size = read_manifest(folder, "upscale").config
    if (size["width"], size["height"]) != (config.width, config.height):
        raise DataError(
            f"{folder} has pictures of {size['width']}x{size['height']}, but the segments are to be "
            f"{config.width}x{config.height}. Run storyreel data upscale with that --size."
        )
    takes = {}
    for shot in shots:
        record = read_record(folder, shot.id)
        if record is None or not inputs_of(shot, films[shot.film]).items() <= record.made_from["inputs"].items():
            raise DataError(f"{folder} is of other shots than these. Run storyreel data upscale again.")
        if record.artefacts:
            (takes[shot.id],) = record.artefacts
    return takes


@dataclass(frozen=True)
class _Payload:
    """`enlarged` is the take that `upscale` made of the shot, if it did."""

    film: FilmRow
    shot: ShotRow
    root: str
    probed: str
    enlarged: str


def _work(payload: _Payload, config: SegmentsConfig, output: Path) -> Outcome:
    film, shot = payload.film, payload.shot
    times = FrameTimes.load(Path(payload.probed), film)
    seconds = Fraction(shot.stop_seconds) - Fraction(shot.start_seconds)
    if seconds < SEGMENT_SECONDS:
        limit = "under 2 s" if seconds < Fraction(config.least_seconds) else "under 3 s"
        return _no_take(shot, "short", f"the shot lasts {float(seconds):.2f} s, {limit}")
    take = plan_take(times, shot.start, shot.stop)
    name = f"takes/{film.id}/{shot.id}.mp4"
    if payload.enlarged:
        views = enumerate(take_frames(Path(payload.enlarged), 0, len(take.picks) - 1))
        picks: Sequence[int] = range(len(take.picks))
    else:
        path = existing(payload.root, film)
        view = View.to_fill(film, config.width, config.height)
        views = some_views(path, film, view, times.ticks[:-1], take.picks[0], take.picks[-1])
        picks = take.picks
    written = write_take(output / name, views, picks, config.width, config.height, config.crf)
    if written < len(take.picks):
        return _no_take(shot, "undecodable", f"only {written} of {len(take.picks)} frames can be decoded")
    troubles = dict.fromkeys(segments_with_gaps(take, times, _gap(config)), "it shows a gap in the film")
    for frame in second_look(output / name, config):
        troubles.setdefault((frame - 1) // SEGMENT_FRAMES, f"a cut at its frame {(frame - 1) % SEGMENT_FRAMES + 1}")
    return _outcome(output, shot, take, name, troubles)


def _gap(config: SegmentsConfig) -> Fraction:
    return Fraction(config.most_gap_seconds).limit_denominator(1000)


def _no_take(shot: ShotRow, reason: str, detail: str) -> Outcome:
    dropped = Dropped(id=shot.id, unit="shot", reason=reason, detail=detail)
    return Outcome(dropped=[dropped], accounts=[Account(unit="shot", seen=1, kept=0, dropped=1)])


def second_look(path: Path, config: SegmentsConfig) -> list[int]:
    """Frames of a written take at which a detector still finds a cut."""
    with Decoder(path) as decoder:
        height = max(2, round(config.height * min(1, LOOK_WIDTH / config.width) / 2) * 2)
        view = View((0, 0, config.width, config.height), min(LOOK_WIDTH, config.width), height, format="bgr24")
        numbered: Iterator[tuple[int, VideoFrame]] = enumerate(decoder.frames())
        looks = look_at(
            view.of(numbered, decoder.stream.time_base or Fraction(1, FRAMES_PER_SECOND)),
            Fraction(FRAMES_PER_SECOND),
            adaptive_threshold=config.borders.adaptive_threshold,
            least_change=config.borders.least_change,
        )
    flat = looks.thumbs.reshape(len(looks.thumbs), -1).astype(np.float32)
    return real_cuts(flat, looks.candidates, FRAMES_PER_SECOND, config.borders)


def _outcome(output: Path, shot: ShotRow, take: Take, name: str, troubles: dict[int, str]) -> Outcome:
    outcome = Outcome()
    previous: str | None = None
    for number in range(take.segments):
        start, stop = take.span(number)
        own = span_id(shot.film, start, stop)
        if number in troubles:
            detail = f"segment {number} of {name}: {troubles[number]}"
            reason = "gap" if "gap" in troubles[number] else "cut inside"
            outcome.dropped.append(Dropped(id=own, unit="segment", reason=reason, detail=detail))
            previous = None
            continue
        first = number * SEGMENT_FRAMES
        row = SegmentRow(
            id=own,
            film=shot.film,
            shot=shot.id,
            number=number,
            take=name,
            first_frame=first,
            frames=SEGMENT_FRAMES + 1,
            start_seconds=str(start),
            stop_seconds=str(stop),
            picks=(take.picks[first], take.picks[first + SEGMENT_FRAMES]),
            follows=previous,
            thumb=f"thumbs/{shot.film}/{own}.jpg",
        )
        previous = own
        _write_thumb(output, row)
        outcome.rows.append(row.model_dump(mode="json"))
        outcome.artefacts.append(row.thumb)
    kept = len(outcome.rows)
    if kept:
        outcome.artefacts.append(name)
    else:
        (output / name).unlink()
        outcome.dropped.append(Dropped(id=shot.id, unit="shot", reason="no segment", detail="all were dropped"))
    outcome.accounts = [
        Account(unit="segment", seen=take.segments, kept=kept, dropped=take.segments - kept),
        Account(unit="shot", seen=1, kept=min(1, kept), dropped=1 - min(1, kept)),
    ]
    return outcome


def _write_thumb(output: Path, row: SegmentRow) -> None:
    middle = row.first_frame + SEGMENT_FRAMES // 2
    picture = Image.fromarray(next(read_take(output / row.take, middle, middle)))
    size = (THUMB_WIDTH, max(1, round(THUMB_WIDTH * picture.height / picture.width)))
    data = io.BytesIO()
    picture.resize(size, Image.Resampling.BOX).save(data, "JPEG", quality=THUMB_QUALITY)
    write_whole(output / row.thumb, data.getvalue())


def window_frames(folder: Path, rows: Sequence[SegmentRow]) -> Iterator[np.ndarray]:
    """Frames of segments one after the other, uint8 `[H, W, 3]`: exactly 48 for each and one more in front.

    Where a segment follows the one before in its take, they share a frame, decoded once; where it does not, its first
    frame is left out, for the layout gives frame 48 i to segment i - 1 (`TokenLayout`).
    """
    for place, row in enumerate(rows):
        first = row.first_frame if place == 0 else row.first_frame + 1
        yield from read_take(folder / row.take, first, row.first_frame + SEGMENT_FRAMES)


STEP = Step(
    "segments",
    2,
    "segment",
    ("takes", "thumbs", "sheets"),
    ("av", "numpy", "opencv-python-headless", "pillow", "scenedetect-headless"),
    _work,
)
