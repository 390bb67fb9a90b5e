"""How often a 95% interval holds the truth, in simulated studies, clustered by rater and taking votes as independent.

What an interval is about is the population's rating: what infinitely many raters' votes would be fitted by. With
taste it is a little closer to 1000 than the strengths that were put in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from storyreel.arena.ballots import Ballots
from storyreel.arena.bounded import bounded_fit
from storyreel.arena.clusters import influences, standard_errors, student_quantile
from storyreel.arena.davidson import Array, fit, outcome_probabilities
from storyreel.arena.elo import ELO_PER_LOGIT
from storyreel.arena.pairing import Tally, choose
from storyreel.arena.simulate import draw_outcomes
from storyreel.arena.study import AXES, Study

STRENGTHS = (978.0, 991.0, 999.0, 1016.0, 1033.0)
"""In Elo: the averages of the paper's table at 63 s (arXiv 2504.05298), with sliding window's 999 and one between."""
SIDE, TIE = 0.1, -1.5
STORIES = 40
SCHEDULES = 10
NODES = 40
METHODS = tuple("abcde")


@dataclass(frozen=True)
class Coverage:
    """Share of intervals that held the truth, on one axis, overall (two axes) and with votes taken as independent."""

    taste: float
    studies: int
    raters: int
    axis: float
    overall: float
    independent: float
    half_width: float


def coverage(
    taste: float, studies: int, *, raters: int = 60, votes_per_axis: int = 30, seed: int = 0, bounded: bool = True
) -> Coverage:
    """Simulates `studies` studies of five methods; which pairs are served is drawn by `choose`, ten times.

    If not `bounded`, every vote counts in full, whatever its rater's influence is.
    """
    study = Study(METHODS, tuple(f"story {number}" for number in range(STORIES)), AXES[:2], votes_per_axis)
    schedules = [schedule(study, raters, seed + number) for number in range(min(SCHEDULES, studies))]
    truth = population_ratings(np.array(STRENGTHS), taste)
    random = np.random.default_rng(seed)
    held = [_one_study(schedules[at % len(schedules)], taste, truth, random, bounded) for at in range(studies)]
    return Coverage(taste, studies, raters, *np.mean(held, 0).tolist())


def population_ratings(strengths: Array, taste: float) -> Array:
    """What the votes of infinitely many raters are fitted by, in Elo around 0: Gauss-Hermite over the raters' taste."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    difference = (strengths[:, None, None] - strengths[None, :, None] + nodes * taste * np.sqrt(2)) / ELO_PER_LOGIT
    chances = (outcome_probabilities(difference + SIDE, TIE) * weights).sum(-1) / weights.sum()
    cells = np.moveaxis(chances, 0, -1) * (1 - np.eye(len(strengths)))[:, :, None]
    found = fit(cells)
    assert found is not None
    return found.strengths * ELO_PER_LOGIT


def schedule(study: Study, raters: int, seed: int) -> Ballots:
    """Who sees what, in a study of `raters` raters; outcomes are blank."""
    tally, rows = Tally(study), []
    for turn in range(raters * study.votes_per_axis * len(study.axes)):
        served = choose(study, tally, f"rater {turn % raters}", seed)
        assert served is not None
        tally.add(served)
        places = (study.methods.index(served.left), study.methods.index(served.right))
        rows.append((*places, 0, turn % raters, study.axis_names.index(served.axes[0]), turn))
    names = tuple(f"rater {number}" for number in range(raters))
    return Ballots(study.methods, names, study.axis_names, *np.array(rows).T)


def answer(shown: Ballots, strengths: Array, taste: float, tie: float, random: np.random.Generator) -> None:
    """Draws the outcomes of what honest raters were shown; `strengths` [methods] and `taste` in Elo."""
    liking = (strengths + random.normal(0, taste, (len(shown.raters), len(strengths)))) / ELO_PER_LOGIT
    lead = liking[shown.rater, shown.left] - liking[shown.rater, shown.right] + SIDE
    shown.outcome[:] = draw_outcomes(random, lead, tie)


def _one_study(
    shown: Ballots, taste: float, truth: Array, random: np.random.Generator, bounded: bool
) -> tuple[float, ...]:
    """Shares of the methods whose interval held the truth (axis, overall, independent), and the axes' half-width."""
    raters, count = len(shown.raters), len(STRENGTHS)
    answer(shown, np.array(STRENGTHS), taste, TIE, random)
    quantile = student_quantile(0.975, raters - 1)
    errors, moved, half, independent = [], [], [], []
    for axis in shown.axes:
        votes = shown.on(axis)
        fitted = bounded_fit(votes) if bounded else (fit(votes.cells()), np.ones(raters))
        assert fitted is not None
        found, weights = fitted
        assert found is not None
        moved.append(influences(found, votes, weights)[:, :count] * ELO_PER_LOGIT)
        errors.append(found.strengths * ELO_PER_LOGIT - truth)
        half.append(standard_errors(moved[-1], raters) * quantile)
        variance = np.diag(np.linalg.inv(found.information))[:count] - 1 / count**2
        independent.append(np.sqrt(variance) * ELO_PER_LOGIT * student_quantile(0.975, len(votes) - 1))
    overall = standard_errors(np.mean(moved, 0), raters) * quantile
    return (
        float((np.abs(errors) <= half).mean()),
        float((np.abs(np.mean(errors, 0)) <= overall).mean()),
        float((np.abs(errors) <= independent).mean()),
        float(np.mean(half)),
    )
