"""A whole study with simulated raters, through the real choice of pairs: a try of everything before people come."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np

from storyreel.arena.adaptive import REFIT_EVERY, PairWeights
from storyreel.arena.davidson import Array, outcome_probabilities
from storyreel.arena.elo import ELO_PER_LOGIT
from storyreel.arena.pairing import Served, Tally, choose
from storyreel.arena.study import Gold, Study
from storyreel.arena.votes import Vote, Winner
from storyreel.errors import ConfigError, refusal

START_TSTAMP = 1_700_000_000.0
SECONDS_A_VIEWING = 75.0
"""Two clips of 63 s, side by side, and the answer."""

Manner = Literal["honest", "clicker", "colluder"]
_WINNERS: tuple[Winner, ...] = ("model_a", "model_b", "tie")


@dataclass(frozen=True)
class Population:
    """How simulated raters judge. Strengths and taste are in Elo, the other terms in logits.

    `taste`: standard deviation of a rater's own liking for each method, the same on all axes. `side`: what being on
    the left is worth. `tie`: Davidson's tie term, minus infinity for none. The first `colluders` raters always vote for
    `target` (where it is not shown, as by chance); the next `clickers` click at random.
    """

    strengths: Mapping[str, float]
    taste: float = 61.0
    side: float = 0.1
    tie: float = -1.5
    clickers: int = 0
    colluders: int = 0
    target: str = ""

    def manner(self, number: int) -> Manner:
        """Of the rater of this number."""
        if number < self.colluders:
            return "colluder"
        return "clicker" if number < self.colluders + self.clickers else "honest"


@dataclass(frozen=True)
class Simulated:
    """Votes of a simulated study, and how each rater (by hash) behaved."""

    votes: tuple[Vote, ...]
    manners: dict[str, Manner]


def simulate(
    study: Study,
    population: Population,
    raters: int,
    seed: int,
    *,
    adaptive: bool = False,
    on_votes: Callable[[int], None] = lambda done: None,
) -> Simulated:
    """Serves pairs until every rater has given all votes; raters come and go in a seeded order.

    ConfigError: no rater, more colluders and clickers than raters, a target or strength that the study's methods lack.
    """
    _check(study, population, raters)
    random = Random(f"study {seed}")
    rater_hashes = [rater_hash(seed, number) for number in range(raters)]
    liking = _likings(study, population, raters, seed)
    tally, weights = Tally(study), PairWeights(study) if adaptive else None
    votes: list[Vote] = []
    waiting = list(range(raters))
    while waiting:
        place = random.randrange(len(waiting))
        number = waiting[place]
        served = choose(study, tally, rater_hashes[number], seed, weights=weights.now if weights else None)
        if served is None:
            waiting[place] = waiting[-1]
            waiting.pop()
            continue
        tally.add(served)
        answered = START_TSTAMP + SECONDS_A_VIEWING * (len(votes) + 1) / raters
        for axis in served.axes:
            winner = _answer(served, study, population, population.manner(number), liking[number], random)
            votes.append(vote_for(served, axis, winner, answered - SECONDS_A_VIEWING, answered))
            if weights:
                weights.add(votes[-1])
        on_votes(len(votes))
        if weights and len(votes) % REFIT_EVERY < len(served.axes):
            weights.refit()
    return Simulated(tuple(votes), {name: population.manner(at) for at, name in enumerate(rater_hashes)})


def vote_for(served: Served, axis: str, winner: Winner, served_tstamp: float, tstamp: float) -> Vote:
    """The vote that answers one question about a pair that was served."""
    return Vote(
        model_a=served.left,
        model_b=served.right,
        winner=winner,
        judge=served.rater,
        tstamp=tstamp,
        axis=axis,
        story=served.story,
        pair_id=served.pair_id,
        kind=served.kind,
        served_tstamp=served_tstamp,
        propensity=served.propensity,
    )


def rater_hash(seed: int, number: int) -> str:
    """The name of a simulated rater: it says nothing about the rater's number."""
    return hashlib.blake2b(f"simulated {seed} {number}".encode(), digest_size=8).hexdigest()


def _check(study: Study, population: Population, raters: int) -> None:
    if raters < 1:
        raise ConfigError(refusal("the number of raters", raters, "it must be 1 or more", "Try 200"))
    if population.clickers + population.colluders > raters or min(population.clickers, population.colluders) < 0:
        raise ConfigError(
            f"clickers and colluders must be 0 or more, and no more than the {raters} raters. Give fewer."
        )
    if population.colluders and population.target not in study.methods:
        raise ConfigError(f'the colluders\' target "{population.target}" is no method of the study. Name one that is.')
    missing = [name for name in study.methods if name not in population.strengths]
    if missing:
        raise ConfigError(f"the method {missing[0]} has no strength. Give one, in Elo.")
    if not all(map(math.isfinite, (*population.strengths.values(), population.taste, population.side))):
        raise ConfigError("strengths, taste and side must be finite numbers. Correct the one that is not.")
    if population.taste < 0:
        raise ConfigError(refusal("the raters' taste", population.taste, "it must be 0 or more", "Try 61"))


def _likings(study: Study, population: Population, raters: int, seed: int) -> list[dict[str, float]]:
    """How strong each rater finds each method, in logits."""
    taste = np.random.default_rng(seed).normal(0, population.taste, (raters, len(study.methods)))
    return [
        {name: (population.strengths[name] + own) / ELO_PER_LOGIT for name, own in zip(study.methods, row, strict=True)}
        for row in taste.tolist()
    ]


def _answer(
    served: Served, study: Study, population: Population, manner: Manner, liking: Mapping[str, float], random: Random
) -> Winner:
    if manner == "clicker":
        return random.choice(_WINNERS[:2])
    if served.kind == "gold":
        return "model_a" if Gold(served.story, served.left, served.right) in study.gold else "model_b"
    if manner == "colluder" and population.target in (served.left, served.right):
        return "model_a" if served.left == population.target else "model_b"
    if manner == "colluder":
        return random.choice(_WINNERS[:2])
    difference = np.array(liking[served.left] - liking[served.right] + population.side)
    left, right, _ = outcome_probabilities(difference, population.tie).tolist()
    drawn = random.random()
    return _WINNERS[0 if drawn < left else 1 if drawn < left + right else 2]


def draw_outcomes(random: np.random.Generator, difference: Array, tie: float) -> np.ndarray:
    """Outcomes (0 left won, 1 right won, 2 tie) of votes whose left method leads by `difference` [n] logits."""
    left, right, _ = outcome_probabilities(difference, tie)
    drawn = random.random(len(difference))
    return np.where(drawn < left, 0, np.where(drawn < left + right, 1, 2))
