"""From votes to ratings with intervals, on each axis and overall.

Ratings are on Elo's scale (400 / ln 10 a logit) around 1000, the mean of the methods that are rated. Overall is the
mean of
the axes, as in the paper; since a rater votes on several, its interval comes from the raters' influence on that mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from storyreel.arena.agreement import Agreement, agreement
from storyreel.arena.ballots import TIE, Ballots
from storyreel.arena.bounded import bounded_fit
from storyreel.arena.clusters import influences, standard_errors, student_quantile
from storyreel.arena.connection import unrated
from storyreel.arena.davidson import Array
from storyreel.arena.elo import ELO_PER_LOGIT, INITIAL, elo_ratings
from storyreel.arena.flips import votes_to_flip
from storyreel.arena.votes import AUTOMATIC

FINAL_RATERS, FINAL_HALF_WIDTH = 24, 20.0
"""Ratings are final from 24 raters (ITU-T P.913 asks for 24 in a laboratory) and half-widths of 20 Elo on."""
CONFIDENCE = 0.95
OVERALL = "overall"
UNBOUNDED = "the votes set no limit to the difference"


@dataclass(frozen=True)
class MethodRating:
    """`rating` with its 95% interval (NaN with fewer than five raters); `elo` is that of `elo.elo_ratings`."""

    method: str
    rating: float
    low: float
    high: float
    votes: int
    elo: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Ratings:
    """Ratings on one axis, or overall. `rated` is sorted, best first; `unrated` says why, by method.

    `win_rates` and `counts` [methods, methods] are in the order of `Report.methods`: how often the row's method
    beat the
    column's (ties half), NaN without a vote, and of how many votes. `side` is what being on the left is worth, in
    Elo, and
    `side_half_width` its interval's. `votes_needed` is how many votes more would bring every half-width to the wanted
    one, raters giving as many each as now; `flips` how many votes, left out, would change the first place.
    `pending` says what is missing for these ratings to be final; empty if they are.
    """

    axis: str
    rated: tuple[MethodRating, ...]
    unrated: dict[str, str]
    votes: int
    raters: int
    ties: int
    side: float
    side_half_width: float
    win_rates: Array
    counts: Array
    agreement: Agreement
    votes_needed: int | None
    flips: int | None
    pending: tuple[str, ...]


@dataclass(frozen=True)
class RaterInfluence:
    """What leaving one rater out would change: `most` Elo overall, of `method`; [methods] in `by_method`.

    `weight`: what each of the rater's votes counts for, on the axis where that is least (see `bounded`).
    """

    rater: str
    votes: int
    most: float
    method: str
    by_method: tuple[float, ...]
    weight: float = 1.0


@dataclass(frozen=True)
class Report:
    """All that is told of a study's votes. `raters` is sorted, those first who would be most influential if all of
    their votes counted in full.

    `automatic` names the judges among them that are no people, and `automatic_votes` counts what they gave.
    """

    methods: tuple[str, ...]
    axes: tuple[Ratings, ...]
    overall: Ratings
    raters: tuple[RaterInfluence, ...]
    wanted_half_width: float
    automatic: tuple[str, ...] = ()
    automatic_votes: int = 0


@dataclass(frozen=True)
class _Part:
    """One axis, or overall, in numbers: NaN where there is none. `influence` is [raters, methods], in Elo.

    `unbounded` is the same with a rater's own votes counted in full, and `weights` [raters] is what they count for.
    """

    votes: Ballots
    reasons: dict[str, str]
    ratings: Array
    influence: Array
    unbounded: Array
    weights: Array
    voted: int
    side: float = math.nan
    side_error: float = math.nan
    flips: int | None = None


def report(votes: Ballots, wanted_half_width: float = FINAL_HALF_WIDTH) -> Report:
    """Ratings on every axis of `votes`, overall, and each rater's influence."""
    parts = [_rate(votes.on(axis)) for axis in votes.axes]
    overall = _mean(parts, votes)
    automatic = _automatic(votes)
    return Report(
        votes.methods,
        tuple(_ratings(axis, part, wanted_half_width) for axis, part in zip(votes.axes, parts, strict=True)),
        _ratings(OVERALL, overall, wanted_half_width),
        _by_influence(overall, votes),
        wanted_half_width,
        tuple(name for name, there in zip(votes.raters, automatic.tolist(), strict=True) if there),
        int(automatic[votes.rater].sum()),
    )


def _automatic(votes: Ballots) -> NDArray[np.bool_]:
    """Which of the raters are no people."""
    return np.array([name.startswith(AUTOMATIC) for name in votes.raters], bool)


def _rate(votes: Ballots) -> _Part:
    cells, count = votes.cells(), len(votes.methods)
    voted = len(np.unique(votes.rater))
    reasons = unrated(cells, votes.methods)
    keep = np.array([name not in reasons for name in votes.methods])
    own = _narrowed(votes, keep)
    fitted = bounded_fit(own) if keep.sum() > 1 else None
    if fitted is None:
        reasons |= {name: UNBOUNDED for name in votes.methods if name not in reasons}
        blank = np.full(count, np.nan)
        blanks = np.tile(blank, (len(votes.raters), 1))
        return _Part(votes, reasons, blank, blanks, blanks, np.ones(len(blanks)), voted)
    found, weights = fitted
    moved = influences(found, own, weights) * ELO_PER_LOGIT
    ratings = np.full(count, np.nan)
    influence = np.full((len(votes.raters), count), np.nan)
    ratings[keep] = INITIAL + found.strengths * ELO_PER_LOGIT
    influence[:, keep] = moved[:, : len(found.strengths)]
    flips = votes_to_flip(found, own.cells(weights))
    part = _Part(votes, reasons, ratings, influence, influence / weights[:, None], weights, voted, flips=flips)
    if not found.has_side:
        return part
    side_error = float(standard_errors(moved[:, found.methods, None], voted)[0])
    return replace(part, side=found.side * ELO_PER_LOGIT, side_error=side_error)


def _narrowed(votes: Ballots, keep: np.ndarray) -> Ballots:
    """The votes between methods that are kept, which are numbered anew."""
    if keep.all():
        return votes
    place = np.cumsum(keep) - 1
    own = votes.where(keep[votes.left] & keep[votes.right])
    methods = tuple(name for name, kept in zip(votes.methods, keep, strict=True) if kept)
    columns = (own.outcome, own.rater, own.axis, own.unit)
    return Ballots(methods, own.raters, own.axes, place[own.left], place[own.right], *columns)


def _mean(parts: Sequence[_Part], votes: Ballots) -> _Part:
    reasons: dict[str, str] = {}
    for axis, part in zip(votes.axes, parts, strict=True):
        reasons |= {name: f"{axis}: {why}" for name, why in part.reasons.items() if name not in reasons}
    count = max(len(parts), 1)
    shape = (len(votes.raters), len(votes.methods))
    ratings = sum((part.ratings for part in parts), np.zeros(shape[1])) / count
    influence = sum((part.influence for part in parts), np.zeros(shape)) / count
    unbounded = sum((part.unbounded for part in parts), np.zeros(shape)) / count
    weights = np.min([part.weights for part in parts], axis=0) if parts else np.ones(shape[0])
    return _Part(votes, reasons, ratings, influence, unbounded, weights, len(np.unique(votes.rater)))


def _ratings(axis: str, part: _Part, wanted: float) -> Ratings:
    votes, cells = part.votes, part.votes.cells()
    wins = cells[:, :, 0] + cells[:, :, 1].T + (cells[:, :, 2] + cells[:, :, 2].T) / 2
    counts = wins + wins.T
    errors = standard_errors(part.influence, part.voted)
    quantile = student_quantile((1 + CONFIDENCE) / 2, part.voted - 1) if part.voted > 1 else math.nan
    half = errors * quantile
    elo = elo_ratings(votes)
    rated = [
        MethodRating(name, value, value - width, value + width, int(counts[at].sum()), float(elo[at]))
        for at, (name, value, width) in enumerate(zip(votes.methods, part.ratings.tolist(), half.tolist(), strict=True))
        if name not in part.reasons
    ]
    widest = max((one.half_width for one in rated), default=math.nan)
    needed = None if math.isnan(widest) else max(0, math.ceil(len(votes) * ((widest / wanted) ** 2 - 1)))
    with np.errstate(invalid="ignore"):
        rates = np.where(counts > 0, wins / counts, np.nan)
    return Ratings(
        axis,
        tuple(sorted(rated, key=lambda one: -one.rating)),
        part.reasons,
        len(votes),
        part.voted,
        int((votes.outcome == TIE).sum()),
        part.side,
        part.side_error * quantile,
        rates,
        counts,
        agreement(votes),
        needed,
        part.flips,
        _pending(part, widest, wanted),
    )


def _pending(part: _Part, widest: float, wanted: float) -> tuple[str, ...]:
    limit = min(wanted, FINAL_HALF_WIDTH)
    missing = []
    if _automatic(part.votes)[part.votes.rater].any():
        missing.append("some of the votes are not people's")
    if part.voted < FINAL_RATERS:
        missing.append(f"{part.voted} of {FINAL_RATERS} raters")
    if part.reasons:
        missing.append(f"not rated: {', '.join(part.reasons)}")
    if math.isnan(widest):
        missing.append("no interval")
    elif widest > limit:
        missing.append(f"half-width {widest:.0f} Elo, {limit:g} wanted")
    return tuple(missing)


def _by_influence(overall: _Part, votes: Ballots) -> tuple[RaterInfluence, ...]:
    given = np.bincount(votes.rater, minlength=len(votes.raters)).tolist()
    moved, weights = np.nan_to_num(overall.influence), overall.weights.tolist()
    order = np.argsort(-np.abs(np.nan_to_num(overall.unbounded)).max(1, initial=0), kind="stable").tolist()
    rows = []
    for at in order:
        most, row = int(np.abs(moved[at]).argmax()), moved[at].tolist()
        rows.append(
            RaterInfluence(votes.raters[at], given[at], row[most], votes.methods[most], tuple(row), weights[at])
        )
    return tuple(rows)
