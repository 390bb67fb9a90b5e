"""All metrics of one video, in one pass over its frames."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from av.video.frame import VideoFrame
from PIL import Image

from storyreel.assets import ACTION_READER
from storyreel.data.looks import LOOK_WIDTH, look_at
from storyreel.data.transitions import BorderConfig, find_borders
from storyreel.errors import DataError
from storyreel.evaluation.metrics import actions, consistency, cuts, picture, toon_readings
from storyreel.evaluation.metrics.actions import ActionEyes, Seen, ToldAction
from storyreel.evaluation.metrics.definition import Measured, Metric, missing
from storyreel.evaluation.metrics.features import Extractor, ProbeFeatures, open_features
from storyreel.evaluation.metrics.frames import Frames, VideoShape
from storyreel.evaluation.metrics.memory import MemoryProbe, memory_probes
from storyreel.evaluation.metrics.signals import SignalMeter, Signals
from storyreel.evaluation.metrics.stories import Story
from storyreel.evaluation.metrics.toon_readings import ColourReader

METRICS: tuple[Metric, ...] = (
    *cuts.METRICS,
    *picture.METRICS,
    *consistency.METRICS,
    *toon_readings.METRICS,
    *actions.METRICS,
)
VERSION = 2
"""To be raised by whoever changes what a metric makes of the same video."""
PICTURES_AT_ONCE = 8
STRIP_WIDTH = 120
NO_STORYBOARD = "no storyboard is beside the video"


@dataclass(frozen=True)
class Eyes:
    """The networks that look at videos: whose features are compared, the probe and the reader of actions for toons."""

    features: Extractor
    probe: ProbeFeatures
    actions: ActionEyes


def open_eyes(weights: Path | None, probe: Path, device: torch.device) -> Eyes:
    """The networks of two folders (features of the probe without `weights`) and the reader of actions that ships."""
    return Eyes(*open_features(weights, probe, device), ActionEyes(ACTION_READER, device))


@dataclass(frozen=True)
class VideoResult:
    """What was measured of one video. `strip` has a small JPEG of each segment, in base64."""

    shape: VideoShape
    metrics: dict[str, Measured]
    memory: list[MemoryProbe] = field(default_factory=list)
    actions: list[ToldAction] = field(default_factory=list)
    strip: list[str] = field(default_factory=list)


def measure_video(
    path: Path, story: Story | None, eyes: Eyes, on_frame: Callable[[], None] = lambda: None
) -> VideoResult:
    """Looks at a video once. DataError: it cannot be read, or is longer than its storyboard tells."""
    watched = _Watched(path, story, eyes, on_frame)
    config = BorderConfig()
    # The rate matters for flashes alone; it is known from the first frame on.
    looks = look_at(
        watched.small_pictures(),
        watched.frames.grid.rate,
        adaptive_threshold=config.adaptive_threshold,
        least_change=config.least_change,
    )
    shape = watched.frames.shape
    if story is not None and shape.segments > len(story.scenes):
        raise DataError(
            f"{path} has {shape.segments} segments of 3 s, but its storyboard tells {len(story.scenes)}. "
            "Put the right storyboard beside it."
        )
    borders = find_borders(looks.thumbs, looks.candidates, float(shape.rate), config) if shape.frames > 1 else []
    found = [border.start for border in borders if border.kind == "cut"]
    metrics, memory = watched.measured(shape, found)
    done, told = actions.measure_actions(story, watched.seen_doing, eyes.actions.kinds)
    metrics |= done
    order = {metric.name: metrics[metric.name] for metric in METRICS}
    return VideoResult(shape, order, memory, told, watched.strip)


class _Watched:
    """A video while it is looked at."""

    def __init__(self, path: Path, story: Story | None, eyes: Eyes, on_frame: Callable[[], None]) -> None:
        self.frames = Frames(path)
        self.strip: list[str] = []
        self.seen_doing: list[Seen] = []
        self._story, self._eyes, self._on_frame = story, eyes, on_frame
        self._meter = SignalMeter()
        self._colours = ColourReader(story) if story and story.toon else None
        self._waiting: list[np.ndarray] = []
        self._segments: list[int] = []
        self._histograms: list[np.ndarray] = []
        self._features: list[np.ndarray] = []
        self._probed: list[np.ndarray] = []
        self._moving: list[np.ndarray] = []

    def small_pictures(self) -> Iterator[tuple[int, VideoFrame]]:
        """The frames, numbered and small, for whoever looks for cuts; everything else is measured on the way."""
        for number, frame in enumerate(self.frames):
            self._meter.add(frame)
            grid = self.frames.grid
            segment = grid.segment_of(number)
            sampled = grid.sampled(segment)
            if number in sampled:
                self._sample(number, segment, frame)
            if self._colours:
                self._follow(number, grid.followed(segment), frame)
            if number == sampled[len(sampled) // 2]:
                self.strip.append(_thumbnail(frame))
            self._on_frame()
            yield number, small_frame(frame)
        self._look()

    def _sample(self, number: int, segment: int, frame: np.ndarray) -> None:
        self._waiting.append(frame)
        self._histograms.append(consistency.colour_histogram(frame))
        self._segments.append(segment)
        if self._colours:
            self._colours.add(number, segment, frame)
        if len(self._waiting) == PICTURES_AT_ONCE:
            self._look()

    def _follow(self, number: int, moments: list[int], frame: np.ndarray) -> None:
        if number in moments:
            # A video of fewer frames a second shows some of them at two moments.
            self._moving += [actions.shrunk(frame)] * moments.count(number)
        if len(self._moving) == len(moments):
            self.seen_doing.append(self._eyes.actions.see(self._moving))
            self._moving = []

    def _look(self) -> None:
        if not self._waiting:
            return
        self._probed.append(self._eyes.probe(self._waiting))
        own = self._eyes.features
        self._features.append(self._probed[-1] if own is self._eyes.probe else own(self._waiting))
        self._waiting = []

    def measured(self, shape: VideoShape, found: list[int]) -> tuple[dict[str, Measured], list[MemoryProbe]]:
        """Metrics and memory probes; `found` are the cuts."""
        signals, story = self._meter.signals(), self._story
        starts = shape.starts()
        metrics = picture.measure_picture(signals, *_borders(signals, starts, found, story))
        if story is None:
            metrics |= dict.fromkeys((metric.name for metric in cuts.METRICS), missing(NO_STORYBOARD))
        else:
            scenes = [start for segment, start in enumerate(starts, 1) if story.storyboard.starts_scene(segment)]
            metrics |= cuts.measure_cuts(found, scenes, starts, float(shape.rate), shape.seconds)
        metrics |= self._consistency(shape, found)
        if not self._probed:
            none = missing("it is shorter than what the probe looks at")
            return metrics | dict.fromkeys((metric.name for metric in toon_readings.METRICS), none), []
        seen = self._seen(shape)
        readings = self._colours.readings() if self._colours else None
        told = self._colours.told() if self._colours else {}
        metrics |= toon_readings.measure_toon(story, seen, readings, told)
        return metrics, memory_probes(story, readings, seen) if story and readings else []

    def _seen(self, shape: VideoShape) -> list[tuple[str, frozenset[str]]]:
        """(place, species) that the probe reads, for each segment that it saw some of."""
        features, segments = np.concatenate(self._probed), np.array(self._segments)
        return [
            self._eyes.probe.read(features[segments == segment])
            for segment in range(shape.segments)
            if (segments == segment).any()
        ]

    def _consistency(self, shape: VideoShape, found: list[int]) -> dict[str, Measured]:
        if not self._features:
            none = missing("it is shorter than what the probe looks at")
            return dict.fromkeys((metric.name for metric in consistency.METRICS), none)
        looks = (np.concatenate(self._features), np.array(self._histograms), np.array(self._segments))
        if self._story is not None:
            return consistency.measure_story(*looks, self._story)
        frames = np.array([number for s in range(shape.segments) for number in self.frames.grid.sampled(s)])
        shots = np.searchsorted(np.array(found), frames[: len(looks[2])], side="right")
        unknown = missing(NO_STORYBOARD)
        return {
            "scene_consistency": consistency.measure_scenes(looks[0], shots),
            "place_colours": unknown,
            "place_visits": unknown,
            "character_visits": unknown,
        }


def _borders(
    signals: Signals, starts: list[int], found: list[int], story: Story | None
) -> tuple[np.ndarray, np.ndarray]:
    """(frames not compared with the one before, frames at a seam without a cut), bool `[N]` each.

    A storyboard says where cuts may be; without one, cuts are where they were found.
    """
    count = len(signals.change)
    apart, seams = np.zeros(count, bool), np.zeros(count, bool)
    apart[starts if story else found] = True
    inside = [
        start
        for segment, start in enumerate(starts, 1)
        if start not in found and not (story and story.storyboard.starts_scene(segment))
    ]
    seams[inside] = True
    return apart, seams


def small_frame(frame: np.ndarray) -> VideoFrame:
    """A frame as the search for cuts wants it: BGR, at most LOOK_WIDTH wide."""
    width = min(LOOK_WIDTH, frame.shape[1])
    height = max(2, round(frame.shape[0] * width / frame.shape[1] / 2) * 2)
    # A reformat of PyAV would set up its scaler anew for each frame.
    small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(small[..., ::-1], np.uint8), format="bgr24")


def _thumbnail(frame: np.ndarray) -> str:
    size = (STRIP_WIDTH, max(1, round(STRIP_WIDTH * frame.shape[0] / frame.shape[1])))
    packed = io.BytesIO()
    Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC).save(packed, "JPEG", quality=80)
    return base64.b64encode(packed.getvalue()).decode("ascii")
