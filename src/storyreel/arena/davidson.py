"""Bradley-Terry with ties (Davidson 1970) and a side term (Davidson and Beaver 1977), by Newton's method.

With d = strength of the left method - strength of the right one + side,

    P(left) : P(right) : P(tie) = exp(d / 2) : exp(-d / 2) : exp(tie)

so that without ties P(left) = 1 / (1 + exp(-d)). The log-likelihood is that of an exponential family: concave, and its
Hessian is the covariance of (s / 2, t), s = +1 left, -1 right, 0 tie; t = 1 for a tie.
Parameters, in this order: the strengths [methods], summing to 0; the side term, if asked for; the tie term, if any vote
is a tie. All in logits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STEPS = 60
GRADIENT_LEFT = 1e-11
BOUND = 14.0
"""Strengths this far apart (a vote in a million goes the other way) are a likelihood without a maximum."""


@dataclass(frozen=True)
class Fit:
    """`parameters` as above; `information` is the Hessian, with ones added that hold the strengths' sum at 0."""

    methods: int
    has_side: bool
    has_ties: bool
    parameters: Array
    information: Array

    @property
    def strengths(self) -> Array:
        return self.parameters[: self.methods]

    @property
    def side(self) -> float:
        """How much being on the left helps; 0 if it was not asked for."""
        return float(self.parameters[self.methods]) if self.has_side else 0.0

    @property
    def tie(self) -> float:
        return float(self.parameters[-1]) if self.has_ties else -np.inf

    def probabilities(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> Array:
        """P(left won), P(right won), P(tie) of pairs: [3, ...]."""
        return outcome_probabilities(self.strengths[left] - self.strengths[right] + self.side, self.tie)


def outcome_probabilities(difference: Array, tie: float) -> Array:
    """P(left won), P(right won), P(tie) for d = `difference`: [3, ...]."""
    scores = np.stack([difference / 2, -difference / 2, np.full_like(difference, tie)])
    weights = np.exp(scores - np.abs(difference / 2).clip(min=tie))
    return weights / weights.sum(0)


def fit(cells: Array, *, side: bool = True) -> Fit | None:
    """The fit of counts `cells` [left method, right method, (left won, right won, tie)], which may be fractions.

    Without the side term where the votes set it no limit, as when the left side always won. None where the
    likelihood has no maximum even so, as with a method that never lost.
    """
    return _fit(cells, side) or (_fit(cells, False) if side else None)


def _fit(cells: Array, side: bool) -> Fit | None:
    methods = len(cells)
    left, right = np.nonzero(cells.sum(2))
    counts = cells[left, right].T
    has_ties = bool(counts[2].sum())
    if not counts[:2].sum():
        return None
    start = np.zeros(methods + side + has_ties)
    found = Fit(methods, side, has_ties, start, np.eye(len(start)))
    loss = _loss(found, left, right, counts)
    for _ in range(STEPS):
        gradient, information = _slopes(found, left, right, counts)
        if np.abs(gradient).max() <= GRADIENT_LEFT * counts.sum():
            spread = np.ptp(found.strengths) + abs(found.side) + (abs(found.tie) if has_ties else 0)
            return Fit(methods, side, has_ties, found.parameters, information) if spread < BOUND else None
        try:
            step = np.asarray(np.linalg.solve(information, gradient), np.float64)
        except np.linalg.LinAlgError:
            return None
        found, loss = _stepped(found, step, loss, left, right, counts)
    return None


def _stepped(
    found: Fit, step: Array, loss: float, left: NDArray[np.int64], right: NDArray[np.int64], counts: Array
) -> tuple[Fit, float]:
    """The fit after `step`, halved until the loss does not grow, and its loss."""
    for _ in range(STEPS):
        tried = replace(found, parameters=found.parameters + step)
        new_loss = _loss(tried, left, right, counts)
        if new_loss <= loss + 1e-12 * abs(loss):
            return tried, new_loss
        step = step / 2
    return found, loss


def _loss(found: Fit, left: NDArray[np.int64], right: NDArray[np.int64], counts: Array) -> float:
    chances = found.probabilities(left, right)
    with np.errstate(divide="ignore"):
        logs = np.where(counts > 0, np.log(chances), 0.0)
    return float(-(counts * logs).sum())


def _slopes(found: Fit, left: NDArray[np.int64], right: NDArray[np.int64], counts: Array) -> tuple[Array, Array]:
    chances, total = found.probabilities(left, right), counts.sum(0)
    design = _design(found, left, right)
    direct, tied = vote_residuals(chances, counts)
    varied, crossed, tie_varied = (weight * total for weight in vote_variances(chances))
    gradient = design.T @ direct
    information = (design.T * varied) @ design
    if found.has_ties:
        gradient[-1] += tied.sum()
        information[-1] += crossed @ design
        information[:, -1] += design.T @ crossed
        information[-1, -1] += tie_varied.sum()
    information[: found.methods, : found.methods] += 1.0
    return gradient, information


def _design(found: Fit, left: NDArray[np.int64], right: NDArray[np.int64]) -> Array:
    rows = np.arange(len(left))
    design = np.zeros((len(left), len(found.parameters)))
    design[rows, left] += 1
    design[rows, right] -= 1
    if found.has_side:
        design[:, found.methods] = 1
    return design


def vote_residuals(chances: Array, counts: Array) -> tuple[Array, Array]:
    """What was observed less what was expected, of s / 2 and of t, for outcome counts [3, ...]."""
    left_over = counts - chances * counts.sum(0)
    return (left_over[0] - left_over[1]) / 2, left_over[2]


def vote_variances(chances: Array) -> tuple[Array, Array, Array]:
    """Variance of s / 2, covariance of s / 2 and t, variance of t, of one vote with `chances` [3, ...]."""
    lead = chances[0] - chances[1]
    return (chances[0] + chances[1] - lead**2) / 4, -chances[2] * lead / 2, chances[2] * (1 - chances[2])
