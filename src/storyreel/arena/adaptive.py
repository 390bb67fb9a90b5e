"""Adaptive sampling: pairs of methods whose order the votes leave in doubt are shown more often.

A pair's weight is exp(-z^2 / 2), z the difference of the two strengths over its standard error: how well the votes
would go with the two being equal. A share of the draws is kept even, so that every pair keeps being seen and its
propensity stays above a known floor. `bench/arena_adaptive.py` measures the votes that it saves.
"""

from __future__ import annotations

import numpy as np

from storyreel.arena.ballots import LEFT, RIGHT, TIE
from storyreel.arena.davidson import Array, fit
from storyreel.arena.study import Study
from storyreel.arena.votes import Vote

REFIT_EVERY = 50
EVEN_SHARE = 0.2
PRIOR_WINS = 0.5
"""Wins of each method that every pair begins with, so that there is a fit from the first vote on."""
_PLACES = {"model_a": LEFT, "model_b": RIGHT, "tie": TIE, "tie (bothbad)": TIE}


def pair_weights(cells: Array, pairs: tuple[tuple[int, int], ...]) -> list[float]:
    """Weights of `pairs` for the next draws, summing to 1; `cells` as in `davidson.fit`."""
    found = fit(cells, side=False)
    if found is None:
        return [1 / len(pairs)] * len(pairs)
    first, second = np.array(pairs).T
    covariance = np.linalg.inv(found.information)[: found.methods, : found.methods]
    spread = np.diag(covariance)
    variance = spread[first] + spread[second] - 2 * covariance[first, second]
    doubt = np.exp(-((found.strengths[first] - found.strengths[second]) ** 2) / (2 * variance))
    return (EVEN_SHARE / len(pairs) + (1 - EVEN_SHARE) * doubt / doubt.sum()).tolist()


class PairWeights:
    """Weights [axes, pairs] for `pairing.choose`, brought up to date by `refit`."""

    def __init__(self, study: Study) -> None:
        methods = len(study.methods)
        self._study = study
        self._axes = {name: place for place, name in enumerate(study.axis_names)}
        self._methods = {name: place for place, name in enumerate(study.methods)}
        self._cells = np.zeros((len(study.axes), methods, methods, 3))
        self._cells += PRIOR_WINS / 2 * (1 - np.eye(methods))[:, :, None] * [1, 1, 0]
        self.now = [[1 / len(study.method_pairs)] * len(study.method_pairs) for _ in study.axes]

    def add(self, vote: Vote) -> None:
        """Counts a vote; checks are not counted."""
        if vote.kind == "pair":
            place = self._methods[vote.model_a], self._methods[vote.model_b], _PLACES[vote.winner]
            self._cells[self._axes[vote.axis]][place] += 1

    def refit(self) -> None:
        """Computes `now` from the votes so far."""
        self.now = [pair_weights(cells, self._study.method_pairs) for cells in self._cells]
