"""From videos to methods: means with intervals over videos, shares over everything that was counted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from storyreel.evaluation.metrics.video import METRICS, VideoResult
from storyreel.evaluation.share import Share

FEWEST_VIDEOS = 5
"""With fewer videos no interval is given."""
RESAMPLES = 2000


@dataclass(frozen=True)
class Summary:
    """One metric of one method: mean over `videos` videos with its 95% bootstrap interval (NaN with fewer than five).

    `pooled` is the share of all that was counted, whose own interval takes every count as one of its own.
    """

    mean: float
    low: float
    high: float
    videos: int
    pooled: Share | None = None


def summarise(results: Mapping[str, VideoResult]) -> dict[str, Summary]:
    """Every metric that at least one of the videos has."""
    found = {}
    for metric in METRICS:
        known = [own.metrics[metric.name] for own in results.values()]
        known = [own for own in known if own.value is not None]
        if not known:
            continue
        values = np.array([own.value for own in known], np.float64)
        low, high = bootstrap(values)
        count = sum(own.count or 0 for own in known)
        pooled = Share(sum(own.right or 0 for own in known), count) if count else None
        found[metric.name] = Summary(float(values.mean()), low, high, len(values), pooled)
    return found


def bootstrap(values: np.ndarray) -> tuple[float, float]:
    """95% percentile interval of the mean of `[n]` values, n resampled with a fixed seed; NaN below FEWEST_VIDEOS."""
    if len(values) < FEWEST_VIDEOS:
        return math.nan, math.nan
    drawn = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)
