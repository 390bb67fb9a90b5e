"""How many pairs of methods a study still has in the wrong order after so many votes, even or adaptive."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from storyreel.arena.adaptive import PRIOR_WINS, REFIT_EVERY, pair_weights
from storyreel.arena.davidson import Array, fit, outcome_probabilities
from storyreel.arena.elo import ELO_PER_LOGIT


def misordered(strengths: Array, votes: int, studies: int, *, adaptive: bool, seed: int = 0) -> Array:
    """Mean, over simulated studies, of the pairs that the fit has in the wrong order after 50, 100, ... `votes` votes.

    `strengths` [methods] are in Elo; the raters have no taste, no side and no ties. Returns [votes / 50].
    """
    pairs = tuple(combinations(range(len(strengths)), 2))
    first, second = np.array(pairs).T
    lead = (strengths[first] - strengths[second]) / ELO_PER_LOGIT
    chance = outcome_probabilities(lead, -np.inf)[0]
    random = np.random.default_rng(seed)
    wrong = np.zeros(votes // REFIT_EVERY)
    for _ in range(studies):
        cells = np.zeros((len(strengths), len(strengths), 3))
        cells[first, second, :2] = PRIOR_WINS
        weights = np.full(len(pairs), 1 / len(pairs))
        for step in range(len(wrong)):
            drawn = random.multinomial(REFIT_EVERY, weights) if adaptive else _even(len(pairs), step)
            wins = random.binomial(drawn, chance)
            cells[first, second, 0] += wins
            cells[first, second, 1] += drawn - wins
            found = fit(cells, side=False)
            assert found is not None
            wrong[step] += (np.sign(found.strengths[first] - found.strengths[second]) != np.sign(lead)).sum()
            if adaptive:
                weights = np.array(pair_weights(cells, pairs))
    return wrong / studies


def _even(pairs: int, step: int) -> NDArray[np.int64]:
    """REFIT_EVERY votes spread over the pairs in turn."""
    return np.bincount((np.arange(REFIT_EVERY) + step * REFIT_EVERY) % pairs, minlength=pairs)
