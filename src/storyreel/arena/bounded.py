"""A fit in which no rater moves a method far: who would is counted at less than a vote a vote.

An estimator of bounded influence (Hampel and others, "Robust Statistics", 1986; the weights are those of Krasker and
Welsch, JASA 77, 1982, with raters in place of observations): maximum likelihood in which all votes of a rater have the
weight min(1, limit / influence), the influence being what leaving the rater out would change of a method's rating. Fit,
influences and weights are computed in turn until they agree. Where nobody is above the limit all weights are 1, and the
fit is the plain one.
"""

from __future__ import annotations

import numpy as np

from storyreel.arena.ballots import Ballots
from storyreel.arena.clusters import FEWEST_RATERS, influences
from storyreel.arena.davidson import Array, Fit, fit
from storyreel.arena.elo import ELO_PER_LOGIT

MOST_ELO, AT_VOTES = 4.6, 2000
"""One rater moves a method by this much at most at so many votes on the axis, and in proportion at other numbers.

It is by one Newton step, with the others' weights kept: leaving a rater out in earnest has been up to 0.4 more."""
MOST_SPREADS = 2.0
"""But the limit is never below so many standard deviations of the raters' influence, taken from its median over raters
and methods: where few raters give many votes each, or tastes differ widely, all of them move methods by more."""
NORMAL_MEDIAN = 0.6745
"""Median of the size of a normal number with standard deviation 1."""
LEAST_WEIGHT = 0.01
TURNS, WEIGHTS_AGREE = 50, 1e-9


def bounded_fit(votes: Ballots, *, side: bool = True) -> tuple[Fit, Array] | None:
    """The fit and every rater's weight [raters]; None where there is no fit, as in `davidson.fit`."""
    weights = np.ones(len(votes.raters))
    found = fit(votes.cells(), side=side)
    if found is None or len(np.unique(votes.rater)) < FEWEST_RATERS:
        return None if found is None else (found, weights)
    for _ in range(TURNS):
        wanted = _weights(found, votes, weights)
        if np.abs(wanted - weights).max() <= WEIGHTS_AGREE:
            break
        again = fit(votes.cells(wanted), side=found.has_side)
        if again is None:
            break
        found, weights = again, wanted
    return found, weights


def _weights(found: Fit, votes: Ballots, weights: Array) -> Array:
    """The weights that follow from what each rater would move with a weight of 1."""
    voted = np.bincount(votes.rater, minlength=len(votes.raters)) > 0
    moved = influences(found, votes, weights)[:, : found.methods] * ELO_PER_LOGIT
    alone = np.nan_to_num(np.abs(moved)) / weights[:, None]
    spread = float(np.median(alone[voted] * weights[voted, None])) / NORMAL_MEDIAN
    limit = max(MOST_ELO * AT_VOTES / len(votes), MOST_SPREADS * spread)
    return np.clip(limit / np.maximum(alone, limit), LEAST_WEIGHT, 1).min(1)
