"""Flicker, frozen and duplicate frames, brightness at seams, smoothness of motion, sharpness: no storyboard needed."""

from __future__ import annotations

import numpy as np

from storyreel.evaluation.metrics.definition import Measured, Metric, missing, number, share
from storyreel.evaluation.metrics.signals import Signals

DUPLICATE_CHANGE = 1.5
"""A frame repeats the one before when no block of 16 x 16 pixels changes by more than this, of 255.

A codec goes on refining a picture that stands still: at x264's quality of 18 nine tenths of the repeated frames of a
192 x 128 cartoon stay below it, and drawn frames of characters that stand and breathe above."""
FROZEN_FRAMES = 8

METRICS = (
    Metric(
        "flicker",
        "0 to 1",
        "higher",
        "1 - mean absolute difference of neighbouring frames / 255, without pairs that a cut may part",
        "VBench, temporal_flickering (arXiv 2311.17982), which takes static videos only",
    ),
    Metric(
        "flicker_static",
        "0 to 1",
        "higher",
        "1 - mean absolute change of brightness / 255 of blocks that have a pattern and do not move",
    ),
    Metric(
        "duplicate_frames",
        "share",
        "lower",
        f"frames in which no block of 16 x 16 pixels differs by more than {DUPLICATE_CHANGE} of 255 from that before",
    ),
    Metric("frozen_frames", "share", "lower", f"frames in runs of {FROZEN_FRAMES} or more duplicate frames"),
    Metric(
        "seam_jump",
        "levels of 255",
        "lower",
        "mean absolute jump of the mean brightness where 3 s segments meet without a cut, minus that between all "
        "other neighbouring frames",
    ),
    Metric(
        "motion_smoothness",
        "0 to 1",
        "higher",
        "1 - mean difference / 255 of each block of a frame and the best mean of the blocks as far behind in the frame "
        "before as ahead in the frame after",
        "after VBench, motion_smoothness, with block matching in place of a trained interpolator",
    ),
    Metric("motion_amount", "% of the width a frame", "neither", "mean displacement found by motion_smoothness"),
    Metric(
        "sharpness",
        "levels of 255",
        "higher",
        "standard deviation of the Laplacian of the grey frame, mean over frames; compare videos of one size only",
        "Pertuz et al. 2013, LAPV (its root)",
    ),
)


def measure_picture(signals: Signals, apart: np.ndarray, seams: np.ndarray) -> dict[str, Measured]:
    """The metrics above.

    apart: bool `[N]`, frame k is not compared with k - 1, for a cut may be between them. seams: bool `[N]`, frame k
    begins a segment that goes on from the one before without a cut.
    """
    joined = ~apart
    joined[0] = False
    through = joined.copy()
    through[:-1] &= ~apart[1:]
    through &= ~np.isnan(signals.residual)
    duplicates = signals.most_change[1:] <= DUPLICATE_CHANGE
    one_frame = "it has fewer than two frames without a cut between them"
    return {
        "flicker": number(1 - _mean(signals.change[joined]) / 255, one_frame),
        "flicker_static": number(1 - _mean(signals.still_change[joined]) / 255, "no patterned region is still"),
        "duplicate_frames": share(int(duplicates.sum()), len(duplicates), one_frame),
        "frozen_frames": share(int(in_long_runs(duplicates, FROZEN_FRAMES).sum()), len(duplicates), one_frame),
        "seam_jump": _seam_jump(signals.brightness, joined, seams),
        "motion_smoothness": number(1 - _mean(signals.residual[through]) / 255, one_frame),
        "motion_amount": number(_mean(signals.motion[through]), one_frame),
        "sharpness": number(_mean(signals.sharpness), one_frame),
    }


def _seam_jump(brightness: np.ndarray, joined: np.ndarray, seams: np.ndarray) -> Measured:
    jumps = np.abs(np.diff(brightness, prepend=np.nan))
    if not seams.any():
        return missing("at every border of 3 s there is a cut, or there is none such border")
    return number(_mean(jumps[seams]) - _mean(jumps[joined & ~seams]), "there is nothing to compare with")


def in_long_runs(mask: np.ndarray, least: int) -> np.ndarray:
    """The true elements of a bool array `[N]` that stand in runs of `least` or more."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    found = np.zeros_like(mask)
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        found[start:stop] = stop - start >= least
    return found


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
