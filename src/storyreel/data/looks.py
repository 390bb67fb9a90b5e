"""What a film looks like over time, small enough to hold whole: the material that borders are found in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from av.video.frame import VideoFrame
from scenedetect.common import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

LOOK_WIDTH = 256
"""Frames are looked at no wider than this."""
THUMB_ROWS, THUMB_COLUMNS = 9, 16
HUES, SATURATIONS, VALUES = 12, 4, 4
HISTOGRAM_BINS = HUES * SATURATIONS * VALUES


@dataclass(frozen=True)
class Looks:
    """A film's frames in small: `thumbs` uint8 `[N, 9, 16, 3]` BGR; `histograms` float32 `[M, 192]` of every
    `histogram_step`-th frame, each of sum 1; `candidates` are frames that the detector takes for the first of a shot.
    """

    thumbs: np.ndarray
    histograms: np.ndarray
    histogram_step: int
    candidates: list[int]


def look_at(
    views: Iterator[tuple[int, VideoFrame]],
    rate: Fraction,
    *,
    adaptive_threshold: float,
    least_change: float,
    histogram_step: int = 4,
    watch: Callable[[np.ndarray], None] = lambda picture: None,
) -> Looks:
    """Looks at all frames of a film (views in BGR, in order) once, `rate` a second.

    `adaptive_threshold` and `least_change` are AdaptiveDetector's adaptive_threshold and min_content_val (how much more
    a frame differs from the one before than its neighbours do, and how much at least, of 255). `watch` is shown every
    picture, uint8 `[H, W, 3]` BGR.
    """
    detector = AdaptiveDetector(adaptive_threshold=adaptive_threshold, min_content_val=least_change, min_scene_len=1)
    thumbs, histograms, candidates = [], [], []
    for number, view in views:
        picture = view.to_ndarray(format="bgr24")
        watch(picture)
        found = detector.process_frame(FrameTimecode(number, rate), picture)
        candidates += [own.frame_num for own in found]
        thumbs.append(cv2.resize(picture, (THUMB_COLUMNS, THUMB_ROWS), interpolation=cv2.INTER_AREA))
        if number % histogram_step == 0:
            histograms.append(histogram_of(picture))
    return Looks(np.array(thumbs, np.uint8), np.array(histograms, np.float32), histogram_step, candidates)


def histogram_of(picture: np.ndarray) -> np.ndarray:
    """Share of the pixels of a picture (uint8 `[H, W, 3]` BGR) in each of 12 hues x 4 saturations x 4 brightnesses."""
    hsv = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], None, [HUES, SATURATIONS, VALUES], [0, 180, 0, 256, 0, 256])
    return (counts / counts.sum()).astype(np.float32).ravel()
