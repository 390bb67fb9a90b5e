"""Which methods votes can rate: those that lost and won against each other, at least by a chain.

Strengths have a finite best fit where every split of the methods in two has a win, or a tie, in each direction
(Ford, American Mathematical Monthly 64, 1957). Where that fails, a program that goes on prints false ties.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storyreel.arena.davidson import Array


def unrated(cells: Array, methods: tuple[str, ...]) -> dict[str, str]:
    """Why a method gets no rating, by its name; empty if all get one. `cells` as in `davidson.fit`."""
    won, played, both_ways, linked = _relations(cells)
    groups = _groups(both_ways)
    large = [group for group in groups if len(group) > 1]
    reasons = {}
    for at, name in enumerate(methods):
        if not played[at]:
            reasons[name] = "no votes"
        elif not won[at].any():
            reasons[name] = "never won"
        elif not won[:, at].any():
            reasons[name] = "never lost"
        elif len(large) != 1 or at not in large[0]:
            reasons[name] = _apart(at, next(group for group in groups if at in group), linked, methods)
    return reasons


def _relations(cells: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """won [i, j]: i beat j or tied; played [i]; reached both ways by chains of these [i, j]; by any chain [i, j]."""
    wins = cells[:, :, 0] + cells[:, :, 1].T + cells[:, :, 2] + cells[:, :, 2].T
    won = wins > 0
    chain, link = won | np.eye(len(won), dtype=bool), won | won.T | np.eye(len(won), dtype=bool)
    for _ in range(len(won).bit_length()):
        chain = (chain.astype(int) @ chain.astype(int)) > 0
        link = (link.astype(int) @ link.astype(int)) > 0
    return won, np.asarray((won | won.T).any(1)), chain & chain.T, link


def _groups(both_ways: NDArray[np.bool_]) -> list[frozenset[int]]:
    return sorted({frozenset(np.flatnonzero(row).tolist()) for row in both_ways}, key=min)


def _apart(at: int, own: frozenset[int], linked: NDArray[np.bool_], methods: tuple[str, ...]) -> str:
    strangers = np.flatnonzero(~linked[at])
    if len(strangers):
        return f"never compared with {methods[strangers[0]]}, not even by way of others"
    names = ", ".join(methods[place] for place in sorted(own - {at}))
    return f"between it{f' (with {names})' if names else ''} and the others, votes go one way only"
