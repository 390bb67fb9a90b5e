"""What each rater did to a fit, and from that its covariance: raters, not votes, are what was sampled.

influence of a rater = fit of all votes - fit without the rater's, by one Newton step with the information that is left,
(H - H_g)^-1 u_g. The sum of their outer products times (G - 1) / G is the jackknife over raters, the "CR3" of
Bell and McCaffrey (Survey Methodology 28, 2002): a sandwich corrected for few clusters.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from storyreel.arena.ballots import TIE, Ballots
from storyreel.arena.davidson import Array, Fit, vote_residuals, vote_variances

FEWEST_RATERS = 5
"""With fewer raters no interval is given."""
_NUMBERS_AT_ONCE = 1 << 22


def influences(found: Fit, votes: Ballots, weights: Array | None = None) -> Array:
    """Influence of every rater on the fit's parameters: [raters, parameters], in logits; 0 for one without a vote.

    `votes` are those that were fitted, with `weights` [raters] if any. NaN for a rater without whom there would be no
    fit.
    """
    width, count = len(found.parameters), len(votes.raters)
    order = np.argsort(votes.rater, kind="stable")
    borders = np.searchsorted(votes.rater[order], np.arange(count + 1))
    result = np.empty((count, width))
    at_once = max(1, _NUMBERS_AT_ONCE // width**2)
    for begin in range(0, count, at_once):
        end = min(begin + at_once, count)
        own = order[borders[begin] : borders[end]]
        scores, informations = _by_rater(found, votes, own, begin, end - begin)
        if weights is not None:
            scores = scores * weights[begin:end, None]
            informations = informations * weights[begin:end, None, None]
        result[begin:end] = _solve(found.information - informations, scores)
    return result


def _by_rater(found: Fit, votes: Ballots, own: NDArray[np.int64], begin: int, raters: int) -> tuple[Array, Array]:
    """Sums over each rater's votes: scores [raters, parameters] and information [raters, parameters, parameters]."""
    width = len(found.parameters)
    left, right = votes.left[own], votes.right[own]
    rater, outcome = votes.rater[own] - begin, votes.outcome[own]
    chances = found.probabilities(left, right)
    direct, tied = vote_residuals(chances, np.stack([outcome == kind for kind in range(TIE + 1)]).astype(np.float64))
    varied, crossed, tie_varied = vote_variances(chances)
    places = [(left, 1.0), (right, -1.0)]
    if found.has_side:
        places.append((np.full_like(left, found.methods), 1.0))
    scores = np.zeros(raters * width)
    information = np.zeros(raters * width * width)

    def add(row: NDArray[np.int64], column: NDArray[np.int64], values: Array) -> None:
        information[:] += np.bincount((rater * width + row) * width + column, values, len(information))

    for row, sign in places:
        scores += np.bincount(rater * width + row, sign * direct, len(scores))
        for column, other in places:
            add(row, column, sign * other * varied)
    if found.has_ties:
        last = np.full_like(left, width - 1)
        scores += np.bincount(rater * width + last, tied, len(scores))
        add(last, last, tie_varied)
        for row, sign in places:
            add(row, last, sign * crossed)
            add(last, row, sign * crossed)
    return scores.reshape(raters, width), information.reshape(raters, width, width)


def _solve(informations: Array, scores: Array) -> Array:
    try:
        return np.asarray(np.linalg.solve(informations, scores[..., None])[..., 0], np.float64)
    except np.linalg.LinAlgError:
        return np.stack([_solve_one(*one) for one in zip(informations, scores, strict=True)])


def _solve_one(information: Array, score: Array) -> Array:
    try:
        return np.asarray(np.linalg.solve(information, score), np.float64)
    except np.linalg.LinAlgError:
        return np.full_like(score, np.nan)


def standard_errors(influence: Array, raters: int) -> Array:
    """Standard errors [k] of k numbers on which raters had `influence` [any, k]; `raters` of them voted."""
    if raters < FEWEST_RATERS:
        return np.full(influence.shape[1], np.nan)
    return np.sqrt((influence**2).sum(0) * (raters - 1) / raters)


def student_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t, by expansion in 1 / freedom (Abramowitz and Stegun 26.7.5); to 0.003 from 4 on.

    >>> round(student_quantile(0.975, 10), 3), round(student_quantile(0.975, 59), 3)
    (2.228, 2.001)
    """
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / freedom ** (power + 1) for power, term in enumerate(terms))
