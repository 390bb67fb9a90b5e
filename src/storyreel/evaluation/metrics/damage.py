"""Damage done to videos on purpose, to see which metric reacts to which. docs/metrics.md has the table."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from storyreel.evaluation.metrics.frames import Frames
from storyreel.evaluation.metrics.stories import files_of, story_of
from storyreel.sampling.video import VideoWriter

SEGMENT_FRAMES = 48
CRF = 12


@dataclass(frozen=True)
class Reel:
    """uint8 `[48 S + 1, H, W, 3]` RGB frames at 16 a second, and the first frames of scenes after the first."""

    frames: np.ndarray
    scenes: tuple[int, ...]

    @property
    def segments(self) -> int:
        return (len(self.frames) - 1) // SEGMENT_FRAMES

    def span(self, segment: int) -> slice:
        """The frames of a segment without frame 0."""
        return slice(SEGMENT_FRAMES * segment + 1, SEGMENT_FRAMES * (segment + 1) + 1)


def shuffled(reel: Reel) -> np.ndarray:
    """Segments in another order: every one moves on by half of the video."""
    order = np.roll(np.arange(reel.segments), reel.segments // 2).tolist()
    return np.concatenate([reel.frames[:1], *(reel.frames[reel.span(own)] for own in order)])


def swapped_colours(reel: Reel) -> np.ndarray:
    """Red and blue exchanged."""
    return reel.frames[..., ::-1]


def drifting_colours(reel: Reel) -> np.ndarray:
    """Red and blue exchanged in every second segment."""
    frames = reel.frames.copy()
    for segment in range(1, reel.segments, 2):
        frames[reel.span(segment)] = frames[reel.span(segment)][..., ::-1]
    return frames


def frozen(reel: Reel) -> np.ndarray:
    """Each segment stands still after its first second."""
    frames = reel.frames.copy()
    for segment in range(reel.segments):
        own = frames[reel.span(segment)]
        own[16:] = own[15]
    return frames


def stuttering(reel: Reel) -> np.ndarray:
    """Every second frame shows what the one before showed."""
    frames = reel.frames.copy()
    frames[2::2] = frames[1:-1:2]
    return frames


def blurred(reel: Reel) -> np.ndarray:
    """A Gaussian blur, its standard deviation a sixtieth of the height."""
    return np.stack([cv2.GaussianBlur(frame, (0, 0), len(frame) / 60) for frame in reel.frames])


def flickering(reel: Reel) -> np.ndarray:
    """Every second frame 8 levels darker."""
    frames = reel.frames.astype(np.int16)
    frames[1::2] -= 8
    return frames.clip(0, 255).astype(np.uint8)


def jumping_seams(reel: Reel) -> np.ndarray:
    """Every second segment 8 levels darker."""
    frames = reel.frames.astype(np.int16)
    for segment in range(1, reel.segments, 2):
        frames[reel.span(segment)] -= 8
    return frames.clip(0, 255).astype(np.uint8)


def late_cuts(reel: Reel) -> np.ndarray:
    """Every scene begins 5 frames late: the one before goes on, backwards."""
    frames = reel.frames.copy()
    for start in reel.scenes:
        frames[start : start + 5] = reel.frames[start - 5 : start][::-1]
    return frames


DAMAGES: dict[str, Callable[[Reel], np.ndarray]] = {
    own.__name__: own
    for own in (shuffled, swapped_colours, drifting_colours, frozen, stuttering, blurred, flickering, jumping_seams,
                late_cuts)
}  # fmt: skip

FOR: dict[str, tuple[str, ...]] = {
    "cut_precision": ("late_cuts",),
    "cut_recall": ("late_cuts",),
    "cut_f1": ("late_cuts",),
    "cut_offset": ("late_cuts",),
    "cuts_astray": ("late_cuts",),
    "flicker": ("flickering",),
    "flicker_static": ("flickering",),
    "duplicate_frames": ("frozen", "stuttering"),
    "frozen_frames": ("frozen",),
    "seam_jump": ("jumping_seams",),
    "motion_smoothness": ("stuttering", "flickering"),
    "sharpness": ("blurred",),
    "scene_consistency": ("shuffled", "drifting_colours"),
    "place_colours": ("shuffled", "drifting_colours"),
    "place_visits": ("shuffled", "drifting_colours"),
    "character_visits": ("shuffled",),
    "place_right": ("shuffled",),
    "characters_right": ("shuffled",),
    "character_right": ("shuffled",),
    "colours_right": ("swapped_colours", "drifting_colours"),
    "actions_right": ("shuffled",),
}
"""The damage that each metric is there for: it must be worse than on the drawing."""


def write_damaged(video: Path, folder: Path, name: str) -> Path:
    """A damaged copy of a video of 16 frames a second, of the same name, with its story beside it; held whole."""
    story = story_of(video)
    frames = np.stack(list(Frames(video)))
    starts = range(1, (len(frames) - 1) // SEGMENT_FRAMES)
    scenes = [SEGMENT_FRAMES * own + 1 for own in starts if story and story.storyboard.starts_scene(own)]
    folder.mkdir(parents=True, exist_ok=True)
    for path in files_of(video):
        shutil.copyfile(path, folder / path.name)
    made = DAMAGES[name](Reel(frames, tuple(scenes)))
    with VideoWriter(folder / video.name, *frames.shape[1:3], crf=CRF) as writer:
        writer.write(made)
    return folder / video.name
