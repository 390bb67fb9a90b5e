"""Votes as columns of numbers, which is what ratings are computed from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storyreel.arena.votes import Vote, rated

LEFT, RIGHT, TIE = 0, 1, 2
_OUTCOMES = {"model_a": LEFT, "model_b": RIGHT, "tie": TIE, "tie (bothbad)": TIE}


@dataclass(frozen=True)
class Ballots:
    """n votes. `left` and `right` are places in `methods`, `rater` in `raters`, `unit` of the (axis, story, pair)."""

    methods: tuple[str, ...]
    raters: tuple[str, ...]
    axes: tuple[str, ...]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    outcome: NDArray[np.int64]
    rater: NDArray[np.int64]
    axis: NDArray[np.int64]
    unit: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.outcome)

    def where(self, keep: NDArray[np.bool_]) -> Ballots:
        """The votes for which `keep` [n] is true."""
        columns = (self.left, self.right, self.outcome, self.rater, self.axis, self.unit)
        return Ballots(self.methods, self.raters, self.axes, *(column[keep] for column in columns))

    def on(self, axis: str) -> Ballots:
        """The votes on one axis."""
        return self.where(self.axis == self.axes.index(axis))

    def cells(self, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Counts [left method, right method, outcome], outcomes in the order left won, right won, tie.

        With `weights` [raters], a vote counts as much as its rater's says.
        """
        count = len(self.methods)
        flat = (self.left * count + self.right) * 3 + self.outcome
        counted = np.bincount(flat, None if weights is None else weights[self.rater], count * count * 3)
        return counted.reshape(count, count, 3).astype(np.float64)


def ballots(votes: Iterable[Vote], methods: Sequence[str] = (), axes: Sequence[str] = ()) -> Ballots:
    """The columns of votes without the checks. Methods and axes that are not given come last, by name."""
    rows = list(rated(votes))
    known_methods = _names(methods, (name for vote in rows for name in (vote.model_a, vote.model_b)))
    known_axes = _names(axes, (vote.axis for vote in rows))
    raters = _names((), (vote.judge for vote in rows))
    units: dict[tuple[str, str, str, str], int] = {}

    def unit(vote: Vote) -> int:
        first, second = sorted((vote.model_a, vote.model_b))
        return units.setdefault((vote.axis, vote.story, first, second), len(units))

    def column(values: Iterable[int]) -> NDArray[np.int64]:
        return np.fromiter(values, np.int64, len(rows))

    return Ballots(
        tuple(known_methods),
        tuple(raters),
        tuple(known_axes),
        column(known_methods[vote.model_a] for vote in rows),
        column(known_methods[vote.model_b] for vote in rows),
        column(_OUTCOMES[vote.winner] for vote in rows),
        column(raters[vote.judge] for vote in rows),
        column(known_axes[vote.axis] for vote in rows),
        column(unit(vote) for vote in rows),
    )


def _names(first: Sequence[str], found: Iterable[str]) -> dict[str, int]:
    given = dict.fromkeys(first)
    return {name: place for place, name in enumerate([*given, *sorted(set(found) - set(given))])}
