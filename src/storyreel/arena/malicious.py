"""How far one rater who cheats moves a method, in simulated studies, by what the rater does.

The move is what leaving the rater's votes out changes, the others' weights found anew: the largest over the methods.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from storyreel.arena.ballots import LEFT, RIGHT, Ballots
from storyreel.arena.bounded import bounded_fit
from storyreel.arena.coverage import METHODS, STORIES, STRENGTHS, answer, schedule
from storyreel.arena.davidson import Array, fit
from storyreel.arena.elo import ELO_PER_LOGIT
from storyreel.arena.study import AXES, Study

Strategy = Callable[[Ballots, int, np.random.Generator], Ballots]
RATERS = 67
"""With 30 votes each that is 2,010 votes on the axis."""
CHEAT = 0


@dataclass(frozen=True)
class Electorate:
    """The honest raters: strengths of five methods and taste in Elo, Davidson's tie term (minus infinity: no ties)."""

    strengths: tuple[float, ...] = STRENGTHS
    taste: float = 61.0
    tie: float = -math.inf


@dataclass(frozen=True)
class Moves:
    """Elo by which the cheat moved a method, a study each; `unbounded`: with all votes counted in full."""

    bounded: Array
    unbounded: Array


def schedules(number: int, seed: int = 0) -> list[Ballots]:
    """What 67 raters are shown, `number` times, without outcomes: for `moves`."""
    study = Study(METHODS, tuple(f"story {at}" for at in range(STORIES)), AXES[:1])
    return [schedule(study, RATERS, seed + at) for at in range(number)]


def moves(
    strategy: Strategy, studies: int, electorate: Electorate, schedules: Sequence[Ballots], *, seed: int = 0
) -> Moves:
    """`studies` studies in which the first of 67 raters follows `strategy`, each method in turn being the target.

    The schedules are used in turn, and their outcomes are written over.
    """
    random = np.random.default_rng(seed)
    found = []
    for at in range(studies):
        shown = schedules[at % len(schedules)]
        answer(shown, np.array(electorate.strengths), electorate.taste, electorate.tie, random)
        votes = strategy(shown, at % len(METHODS), random)
        found.append((_moved(votes, _bounded), _moved(votes, _unbounded)))
    bounded, unbounded = np.array(found).T
    return Moves(bounded, unbounded)


def always_for(votes: Ballots, target: int, random: np.random.Generator) -> Ballots:
    """Every vote goes to the target; where it is not shown, to either."""
    return _cheating(votes, _towards(votes, target, random, LEFT))


def always_against(votes: Ballots, target: int, random: np.random.Generator) -> Ballots:
    """Every vote goes to the target's rival; where it is not shown, to either."""
    return _cheating(votes, _towards(votes, target, random, RIGHT))


def stops_early(votes: Ballots, target: int, random: np.random.Generator) -> Ballots:
    """As `always_for`, and gives no vote where the target is not shown."""
    cheated = always_for(votes, target, random)
    shown = (votes.left == target) | (votes.right == target)
    return cheated.where((votes.rater != CHEAT) | shown)


def knows_all_up(votes: Ballots, target: int, random: np.random.Generator) -> Ballots:
    """Knows what all others voted, and gives each vote to the side that lifts the target more."""
    return _cheating(votes, _levered(votes, target, 1))


def knows_all_down(votes: Ballots, target: int, random: np.random.Generator) -> Ballots:
    """Knows what all others voted, and gives each vote to the side that lowers the target more."""
    return _cheating(votes, _levered(votes, target, -1))


STRATEGIES: tuple[Strategy, ...] = (always_for, always_against, stops_early, knows_all_up, knows_all_down)


def _towards(votes: Ballots, target: int, random: np.random.Generator, side: int) -> np.ndarray:
    outcome = random.integers(LEFT, RIGHT + 1, len(votes))
    outcome[votes.left == target] = side
    outcome[votes.right == target] = LEFT + RIGHT - side
    return outcome


def _levered(votes: Ballots, target: int, sign: int) -> np.ndarray:
    others = fit(votes.where(votes.rater != CHEAT).cells())
    assert others is not None
    wanted = np.zeros(len(others.parameters))
    wanted[target] = sign
    lever = np.linalg.solve(others.information, wanted)
    lift = lever[votes.left] - lever[votes.right] + (lever[others.methods] if others.has_side else 0)
    return np.where(lift > 0, LEFT, RIGHT)


def _cheating(votes: Ballots, outcome: np.ndarray) -> Ballots:
    """The votes with `outcome` [n] in place of the cheat's own."""
    cheated = votes.where(np.ones(len(votes), bool))
    own = votes.rater == CHEAT
    cheated.outcome[own] = outcome[own]
    return cheated


def _moved(votes: Ballots, strengths: Callable[[Ballots], Array]) -> float:
    without = votes.where(votes.rater != CHEAT)
    return float(np.abs(strengths(votes) - strengths(without)).max()) * ELO_PER_LOGIT


def _bounded(votes: Ballots) -> Array:
    found = bounded_fit(votes)
    assert found is not None
    return found[0].strengths


def _unbounded(votes: Ballots) -> Array:
    found = fit(votes.cells())
    assert found is not None
    return found.strengths
