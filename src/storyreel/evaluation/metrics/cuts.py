"""Cuts against the storyboard: a scene must begin with a cut, to the frame.

Within a scene the camera may cut where a segment begins; the storyboard does not say whether it does, so such cuts
count neither for nor against. Cuts are found as in `storyreel data scenes`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from storyreel.evaluation.metrics.definition import Measured, Metric, missing, number, share

NEAR_SECONDS = 0.5

METRICS = (
    Metric("cut_precision", "share", "higher", "cuts found at the first frame of a scene, of all that are not where "
           "a segment within a scene begins"),
    Metric("cut_recall", "share", "higher", "scenes after the first that begin with a cut at their first frame"),
    Metric("cut_f1", "share", "higher", "harmonic mean of cut_precision and cut_recall"),
    Metric("cut_offset", "frames", "lower", "mean distance of each scene's first frame to the nearest cut, of those "
           f"that have one within {NEAR_SECONDS} s"),
    Metric("cuts_astray", "cuts a minute", "lower", "cuts where no segment begins"),
)  # fmt: skip


def measure_cuts(cuts: Sequence[int], scenes: Sequence[int], segments: Sequence[int], rate: float,
                 seconds: float) -> dict[str, Measured]:  # fmt: skip
    """The metrics above.

    cuts: first frames of shots as found. scenes, segments: first frames of scenes and of segments, the first of all
    left out, in a video of `rate` frames a second and so many seconds.
    """
    found, wanted = set(cuts), set(scenes)
    free = set(segments) - wanted
    right = len(found & wanted)
    counted = len(found - free)
    astray = number(60 * len(found - set(segments)) / seconds)
    if not wanted:
        one = missing("the storyboard has one scene")
        return {**dict.fromkeys(("cut_precision", "cut_recall", "cut_f1", "cut_offset"), one), "cuts_astray": astray}
    distances = [min((abs(cut - own) for cut in found), default=np.inf) for own in wanted]
    near = [value for value in distances if value <= NEAR_SECONDS * rate]
    return {
        "cut_precision": share(right, counted, "no cut was found"),
        "cut_recall": share(right, len(wanted), ""),
        "cut_f1": number(2 * right / (counted + len(wanted))),
        "cut_offset": number(float(np.mean(near)), "") if near else missing("no scene begins near a cut"),
        "cuts_astray": astray,
    }
