"""Shots grouped into scenes by their setting.

The rule: two shots are alike when their mean colour histograms (192 bins of hue, saturation and brightness) overlap by
`likeness` or more. A shot like the one before goes on with its scene. One that is like an earlier shot takes those
between them into that scene, if they last less than `interlude_seconds`: a look at someone's face, too short for a
segment, is no scene. A fade through a blank screen always begins a scene. The idea of links over several shots is that
of logical story units (Hanjalic, Lagendijk, Biemond, IEEE Transactions on Circuits and Systems for Video Technology
9(4), 1999).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from storyreel.data.shots import Shot


@dataclass(frozen=True)
class GroupingConfig:
    """`likeness`: overlap of two histograms, 0 to 1, that makes shots alike; see the module for both."""

    likeness: float = 0.6
    interlude_seconds: float = 3.0


def with_scenes(
    shots: Sequence[Shot], histograms: np.ndarray, histogram_step: int, rate: float, config: GroupingConfig
) -> list[Shot]:
    """The shots with their scenes; `histograms` float32 `[M, bins]` are of frames 0, step, 2 step, ...

    `rate` is in frames a second.
    """
    means = [shot_histogram(shot, histograms, histogram_step) for shot in shots]
    begins = [True] * len(shots)
    for late, shot in enumerate(shots):
        for early in range(late - 1, -1, -1):
            between_seconds = (shot.start - shots[early].stop) / rate
            is_next = early == late - 1
            if shots[early + 1].begins == "fade" or not (is_next or between_seconds < config.interlude_seconds):
                break
            if overlap(means[early], means[late]) >= config.likeness:
                begins[early + 1 : late + 1] = [False] * (late - early)
    scenes = np.cumsum(begins) - 1
    return [shot.model_copy(update={"scene": int(scene)}) for shot, scene in zip(shots, scenes, strict=True)]


def shot_histogram(shot: Shot, histograms: np.ndarray, step: int) -> np.ndarray:
    """Mean histogram of a shot, float32 `[bins]`; a shot between two measured frames has that of the earlier one."""
    first, last = -(-shot.start // step), (shot.stop - 1) // step
    return histograms[min(first, last) : last + 1].mean(axis=0)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """What two histograms have in common, 0 to 1."""
    return float(np.minimum(a, b).sum())
