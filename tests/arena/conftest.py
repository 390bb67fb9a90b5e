"""Votes to test on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from storyreel.arena.ballots import Ballots
from storyreel.arena.votes import Vote


@pytest.fixture
def make_vote() -> Callable[..., Vote]:
    """A vote, with whatever is given changed; each has a pair of its own."""
    made = 0

    def make(model_a: str = "a", model_b: str = "b", winner: str = "model_a", **change) -> Vote:
        nonlocal made
        made += 1
        fields = {"judge": "rater", "tstamp": 10.0 + made, "axis": "aesthetics", "story": "one", "pair_id": f"p{made}"}
        return Vote.model_validate({"model_a": model_a, "model_b": model_b, "winner": winner} | fields | change)

    return make


def ballots_of(rows: list[tuple[int, int, int, int]], methods: int, raters: int) -> Ballots:
    """One axis; rows are (left, right, outcome, rater)."""
    left, right, outcome, rater = np.array(rows).T
    names = tuple(f"method {at}" for at in range(methods))
    raters_names = tuple(f"rater {at}" for at in range(raters))
    blank = np.zeros(len(rows), np.int64)
    return Ballots(names, raters_names, ("axis",), left, right, outcome, rater, blank, np.arange(len(rows)))


@pytest.fixture
def make_ballots() -> Callable[..., Ballots]:
    return ballots_of
