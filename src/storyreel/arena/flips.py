"""How few votes hold up the first place.

Broderick, Giordano and Meager (arXiv 2011.14999) drop the observations that, by one Newton step, move an estimate
most; Huang and others (2025) found so that 2 of 57,477 votes decided Chatbot Arena's first place. Here the number is
confirmed by fitting again, so it is enough; fewer, chosen otherwise, might do.
"""

from __future__ import annotations

import math

import numpy as np

from storyreel.arena.davidson import Array, Fit, fit, vote_residuals

CHALLENGERS = 3
"""How many of the best behind the first are looked at."""
LEVEL = 1e-9
"""Logits within which two methods are level, which is not yet a change of the first place."""
STEPS_LEFT = 8
"""Between two fits this share of the votes that are still needed is left out."""


def votes_to_flip(found: Fit, cells: Array) -> int | None:
    """How many votes, left out, put another method first; None if leaving votes out does not. `cells` as in `fit`."""
    ranked = np.argsort(-found.strengths, kind="stable")
    numbers = [_to_pass(found, cells, int(ranked[0]), int(other)) for other in ranked[1 : 1 + CHALLENGERS]]
    return min((number for number in numbers if number is not None), default=None)


def _to_pass(found: Fit, cells: Array, first: int, other: int) -> int | None:
    """Leaves the most helpful votes out, a few at a time, and fits again, until `other` is above or nothing fits."""
    left_over, dropped, now = cells.copy(), 0, found
    while now.strengths[first] > now.strengths[other] - LEVEL:
        places, lift = _most_helpful(now, left_over, first, other)
        if places is None:
            return None
        gap = float(now.strengths[first] - now.strengths[other])
        share = max(1, math.ceil(gap / lift / STEPS_LEFT))
        number = min(share, math.ceil(left_over[places]))
        left_over[places] = max(left_over[places] - number, 0)
        dropped += number
        again = fit(left_over, side=now.has_side)
        if again is None:
            return dropped
        now = again
    return dropped


def _most_helpful(now: Fit, cells: Array, first: int, other: int) -> tuple[tuple[int, int, int] | None, float]:
    """The cell whose votes hold `first` above `other` most, and by how many logits each; None if no vote does."""
    contrast = np.zeros(len(now.parameters))
    contrast[first], contrast[other] = 1, -1
    lever = np.linalg.solve(now.information, contrast)
    left, right, outcome = np.nonzero(cells)
    chances = now.probabilities(left, right)
    direct, tied = vote_residuals(chances, (np.arange(3)[:, None] == outcome).astype(np.float64))
    lift = direct * (lever[left] - lever[right] + (lever[now.methods] if now.has_side else 0))
    lift = lift + (tied * lever[-1] if now.has_ties else 0)
    best = int(lift.argmax())
    if lift[best] <= 0:
        return None, 0.0
    return (int(left[best]), int(right[best]), int(outcome[best])), float(lift[best])
