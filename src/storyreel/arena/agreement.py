"""How much raters agree on the same pair of clips: Krippendorff's alpha for names, with an interval.

Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011): 1 - observed / expected disagreement, over units that
two raters or more have judged. The interval draws units with replacement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storyreel.arena.ballots import LEFT, TIE, Ballots
from storyreel.arena.davidson import Array

DRAWS = 1000
FEWEST_UNITS = 10
"""With fewer units no interval is given."""


@dataclass(frozen=True)
class Agreement:
    """`alpha` is 1 where all agree, 0 as by chance, NaN where there is none; `units` that two raters or more judged."""

    alpha: float
    low: float
    high: float
    units: int


def agreement(votes: Ballots, seed: int = 0) -> Agreement:
    """Agreement on (axis, story, pair of methods): the first method, the second, or a tie."""
    first_won = (votes.outcome == LEFT) == (votes.left < votes.right)
    values = np.where(votes.outcome == TIE, 2, np.where(first_won, 0, 1))
    return krippendorff(votes.unit, values, seed)


def krippendorff(unit: NDArray[np.int64], value: NDArray[np.int64], seed: int = 0) -> Agreement:
    """Alpha of judgements `value` [n], small integers, of the units `unit` [n], with its 95% bootstrap interval."""
    if not len(unit):
        return Agreement(np.nan, np.nan, np.nan, 0)
    kinds = int(value.max()) + 1
    _, unit = np.unique(unit, return_inverse=True)
    counts = np.bincount(unit * kinds + value, minlength=(int(unit.max()) + 1) * kinds).reshape(-1, kinds)
    counts = counts[counts.sum(1) > 1].astype(np.float64)
    if not len(counts):
        return Agreement(np.nan, np.nan, np.nan, 0)
    judged = counts.sum(1, keepdims=True)
    disagreed = ((judged**2).ravel() - (counts**2).sum(1)) / (judged.ravel() - 1)
    table = np.column_stack([disagreed, counts])
    alpha = float(_alpha(table.sum(0)[None])[0])
    if len(counts) < FEWEST_UNITS or np.isnan(alpha):
        return Agreement(alpha, np.nan, np.nan, len(counts))
    random = np.random.default_rng(seed)
    drawn = random.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), DRAWS) @ table
    low, high = np.nanquantile(_alpha(drawn), [0.025, 0.975])
    return Agreement(alpha, float(low), float(high), len(counts))


def _alpha(sums: Array) -> Array:
    """Alpha of [draws, 1 + kinds]: observed disagreement, then how often each value occurs."""
    occurs = sums[:, 1:]
    total = occurs.sum(1)
    expected = (total**2 - (occurs**2).sum(1)) / (total - 1)
    return 1 - sums[:, 0] / np.where(expected > 0, expected, np.nan)
