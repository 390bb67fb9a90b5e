"""Elo ratings in the order of the votes, as Chatbot Arena began.

Their notebook (lmsys.org, "Chatbot Arena Leaderboard", 2023; FastChat's elo_analysis.py) has K 4, scale 400, base
10, first
rating 1000, ties as half a win. The order of the votes matters; Bradley-Terry's does not, so it is what ratings show.
"""

from __future__ import annotations

import math

import numpy as np

from storyreel.arena.ballots import LEFT, TIE, Ballots
from storyreel.arena.davidson import Array

K_FACTOR = 4.0
SCALE, BASE, INITIAL = 400.0, 10.0, 1000.0
ELO_PER_LOGIT = SCALE / math.log(BASE)


def elo_ratings(votes: Ballots, k_factor: float = K_FACTOR) -> Array:
    """Ratings [methods] after the votes in their order; they sum to 1000 a method."""
    ratings = [INITIAL] * len(votes.methods)
    rows = zip(votes.left.tolist(), votes.right.tolist(), votes.outcome.tolist(), strict=True)
    for left, right, outcome in rows:
        expected = 1 / (1 + BASE ** ((ratings[right] - ratings[left]) / SCALE))
        moved = k_factor * ((0.5 if outcome == TIE else float(outcome == LEFT)) - expected)
        ratings[left] += moved
        ratings[right] -= moved
    return np.array(ratings)
