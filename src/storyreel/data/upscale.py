"""Step `upscale`: the takes of shots that are smaller than the segments, enlarged by a super-resolution model.

UPSCALE/rows.jsonl                an EnlargedRow for every shot that was enlarged
UPSCALE/takes/FILM/SHOT.mp4       its take at the segments' size, without loss

Only the frames that segments show are enlarged. Shots that are large enough, or too short for a segment, are listed as
dropped; `segments` takes those from the film, as it does without this step, and scales with Lanczos.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Unpack

import numpy as np
from av.video.frame import VideoFrame

from storyreel.data.decode import View, some_views
from storyreel.data.estimate import AtWork, Estimate, free_bytes, run_estimated
from storyreel.data.film import FilmRow, FrameTimes, existing
from storyreel.data.fingerprint import hash_of_file
from storyreel.data.manifest import Account, Dropped, Manifest, Row, read_manifest, read_rows
from storyreel.data.model_file import check_file
from storyreel.data.models_at_work import check_dtype, one_thread
from storyreel.data.paths import relative
from storyreel.data.shots import ShotRow, inputs_of
from storyreel.data.step import Job, Outcome, Step
from storyreel.data.super_resolution import Enlarger, enlarge, model_at_work
from storyreel.data.takes import SEGMENT_FRAMES, plan_take, write_take
from storyreel.errors import ConfigError, refusal
from storyreel.geometry import FRAMES_PER_SECOND, SEGMENT_SECONDS

LOSSLESS = 0
BYTES_A_PIXEL = 0.5
"""Of a take without loss, about: a third of the 1.5 bytes of a plain one."""


@dataclass(frozen=True)
class UpscaleConfig:
    """How takes are enlarged.

    width, height: pixels of the segments to come. tile: side of the squares that the model is given at a time, in
    pixels of the film. margin: pixels around them that it sees besides. dtype: in which it computes.
    """

    width: int = 720
    height: int = 480
    tile: int = 256
    margin: int = 32
    dtype: str = "float32"

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        for name, value, least in (("tile", self.tile, 16), ("margin", self.margin, 0)):
            if value < least:
                raise ConfigError(refusal(name, f"{value} pixels", f"it must be {least} or more", "Try 256 and 32"))


class EnlargedRow(Row):
    """The take of a shot (`id`), `frames` frames at the segments' size in the file `take`, from pictures of `size`."""

    film: str
    take: str
    frames: int
    size: tuple[int, int]
    scale: int


def run(
    scenes: Path,
    output: Path,
    config: UpscaleConfig,
    *,
    model: Path,
    device: str = "cpu",
    **at_work: Unpack[AtWork],
) -> Manifest:
    """Enlarges the shots of the step `scenes` (its folder) with a model file; rows are `EnlargedRow`s.

    A GPU's last bits are not those of a CPU, so hashes agree on one kind of device only; with a GPU `workers` should be
    1. WeightsError for a model that cannot be used, DataError where the disk is too small.
    """
    manifest = read_manifest(scenes, "scenes")
    probed = (scenes / manifest.source).resolve()
    root = read_manifest(probed, "probe").source
    films = {film.id: film for film in read_rows(probed, FilmRow)}
    check_file(model)
    digest = hash_of_file(model)
    jobs = [
        Job(
            shot.id,
            inputs_of(shot, films[shot.film]) | {"model": digest},
            _Payload(films[shot.film], shot, root, str(probed), str(model.resolve()), digest, device),
        )
        for shot in read_rows(scenes, ShotRow)
    ]
    return run_estimated(
        STEP,
        jobs,
        output,
        config,
        source=relative(scenes, output),
        guess=lambda todo, processes: _estimate(todo, output, config, processes),
        at_work=at_work,
    )


@dataclass(frozen=True)
class _Payload:
    film: FilmRow
    shot: ShotRow
    root: str
    probed: str
    model: str
    digest: str
    device: str

    @property
    def seconds(self) -> Fraction:
        return Fraction(self.shot.stop_seconds) - Fraction(self.shot.start_seconds)

    def loaded(self, config: UpscaleConfig) -> Enlarger:
        return model_at_work(self.model, self.digest, self.device, config.dtype)


def _estimate(todo: Sequence[Job], output: Path, config: UpscaleConfig, processes: int) -> Estimate | None:
    """By the time of one picture of the first shot that will be enlarged; None where there is none."""
    payloads: list[_Payload] = [job.payload for job in todo]
    views = [(own, View.to_enlarge(own.film, config.width, config.height)) for own in payloads]
    small = [(own, view) for own, view in views if view and own.seconds >= SEGMENT_SECONDS]
    if not small:
        return None
    pixels = sum(_frames(own) * view.width * view.height for own, view in small)
    frames = sum(_frames(own) for own, _ in small)
    first, view = small[0]
    with one_thread():
        model = first.loaded(config)
        picture = np.zeros((min(view.height, config.tile), min(view.width, config.tile), 3), np.uint8)
        start = time.monotonic()
        enlarge(model, picture, config.tile, config.margin)
        seconds = (time.monotonic() - start) * pixels / (picture.shape[0] * picture.shape[1])
    size = int(frames * config.width * config.height * BYTES_A_PIXEL)
    seconds /= min(processes, len(small))
    return Estimate("upscale", frames, "frames", size, free_bytes(output), seconds)


def _frames(payload: _Payload) -> int:
    return int(payload.seconds / SEGMENT_SECONDS) * SEGMENT_FRAMES + 1


def _work(payload: _Payload, config: UpscaleConfig, output: Path) -> Outcome:
    film, shot = payload.film, payload.shot
    if payload.seconds < SEGMENT_SECONDS:
        return _left(shot, "short", f"the shot lasts {float(payload.seconds):.2f} s, under 3 s")
    view = View.to_enlarge(film, config.width, config.height)
    if view is None:
        return _left(shot, "large enough", f"its picture needs no enlarging to {config.width}x{config.height}")
    path = existing(payload.root, film)
    times = FrameTimes.load(Path(payload.probed), film)
    take = plan_take(times, shot.start, shot.stop)
    name = f"takes/{film.id}/{shot.id}.mp4"
    views = some_views(path, film, view, times.ticks[:-1], take.picks[0], take.picks[-1])
    with one_thread():
        model = payload.loaded(config)
        enlarged = _enlarged(model, views, set(take.picks), config)
        resized = View((0, 0, view.width * model.scale, view.height * model.scale), config.width, config.height)
        numbered = resized.of(enlarged, Fraction(1, FRAMES_PER_SECOND))
        written = write_take(output / name, numbered, take.picks, config.width, config.height, LOSSLESS)
    if written < len(take.picks):
        return _left(shot, "undecodable", f"only {written} of {len(take.picks)} frames can be decoded")
    row = EnlargedRow(
        id=shot.id, film=film.id, take=name, frames=written, size=(view.width, view.height), scale=model.scale
    )
    return Outcome(
        rows=[row.model_dump(mode="json")],
        artefacts=[name],
        accounts=[Account(unit="shot", seen=1, kept=1, dropped=0)],
    )


def _left(shot: ShotRow, reason: str, detail: str) -> Outcome:
    dropped = Dropped(id=shot.id, unit="shot", reason=reason, detail=detail)
    return Outcome(dropped=[dropped], accounts=[Account(unit="shot", seen=1, kept=0, dropped=1)])


def _enlarged(
    model: Enlarger, views: Iterator[tuple[int, VideoFrame]], picks: set[int], config: UpscaleConfig
) -> Iterator[tuple[int, VideoFrame]]:
    """The picked ones of numbered RGB views, enlarged by the model, with their numbers."""
    for number, view in views:
        if number in picks:
            picture = enlarge(model, view.to_ndarray(format="rgb24"), config.tile, config.margin)
            frame = VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_SECOND)
            yield number, frame


STEP = Step("upscale", 1, "shot", ("takes",), ("av", "numpy", "spandrel", "torch"), _work)
