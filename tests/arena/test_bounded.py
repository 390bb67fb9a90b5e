"""The fit of bounded influence: the plain one where nobody is above the limit, and what its weights are about."""

from collections.abc import Callable

import numpy as np
import pytest

from storyreel.arena.ballots import Ballots
from storyreel.arena.bounded import AT_VOTES, MOST_ELO, bounded_fit
from storyreel.arena.clusters import influences
from storyreel.arena.coverage import METHODS, STRENGTHS, answer, schedule
from storyreel.arena.davidson import fit
from storyreel.arena.elo import ELO_PER_LOGIT
from storyreel.arena.malicious import always_for
from storyreel.arena.study import AXES, Study


def honest(raters: int, votes: int = 30, seed: int = 0, taste: float = 61.0) -> Ballots:
    study = Study(METHODS, tuple(f"story {at}" for at in range(40)), AXES[:1], votes)
    shown = schedule(study, raters, seed)
    answer(shown, np.array(STRENGTHS), taste, -1.5, np.random.default_rng(seed))
    return shown


def test_honest_raters_are_fitted_as_ever() -> None:
    votes = honest(67, taste=0.0)
    found, plain = bounded_fit(votes), fit(votes.cells())
    assert found is not None
    assert plain is not None
    assert found[1].tolist() == [1.0] * 67
    assert found[0].parameters.tolist() == plain.parameters.tolist()


def test_weights_are_those_of_the_influences_of_their_own_fit() -> None:
    votes = always_for(honest(67, seed=3), 0, np.random.default_rng(0))
    votes.outcome[votes.rater == 5] = (votes.left[votes.rater == 5] != 4).astype(int)
    votes.outcome[(votes.rater == 0) & (votes.left != 0) & (votes.right != 0)] = 2
    found = bounded_fit(votes)
    assert found is not None
    fitted, weights = found
    limit = MOST_ELO * AT_VOTES / len(votes)
    moved = np.abs(influences(fitted, votes, weights)[:, : fitted.methods]).max(1) * ELO_PER_LOGIT
    assert 0.5 < weights[0] < 1
    assert moved[weights < 1] == pytest.approx(limit, abs=1e-6)
    assert moved.max() <= limit + 1e-6


def test_the_order_of_votes_and_of_raters_does_not_matter() -> None:
    votes = always_for(honest(67, seed=3), 0, np.random.default_rng(0))
    found = bounded_fit(votes)
    mixed = np.random.default_rng(1).permutation(len(votes))
    columns = (votes.left, votes.right, votes.outcome, 66 - votes.rater, votes.axis, votes.unit)
    again = bounded_fit(Ballots(votes.methods, votes.raters, votes.axes, *(column[mixed] for column in columns)))
    assert found is not None
    assert again is not None
    assert again[0].parameters == pytest.approx(found[0].parameters, abs=1e-9)
    assert again[1][::-1] == pytest.approx(found[1], abs=1e-7)


def test_where_all_raters_move_methods_far_few_are_held_back() -> None:
    """Eight raters with 250 votes each: at 2,000 votes each of them moves methods by more than 5 Elo."""
    found = bounded_fit(honest(8, 250, taste=122.0))
    assert found is not None
    assert (found[1] < 1).sum() <= 3
    assert found[1].min() > 0.4


def test_a_method_that_one_rater_alone_judged(make_ballots: Callable[..., Ballots]) -> None:
    """The rater without whom there is no fit keeps a vote a vote."""
    random = np.random.default_rng(0)
    rows = [(*random.permutation(3)[:2], random.integers(2), rater) for rater in range(30) for _ in range(20)]
    rows += [(0, 3, 0, 30), (3, 1, 0, 30), (3, 2, 1, 30), (2, 3, 0, 30)] * 3
    votes = make_ballots(rows, 4, 31)
    found, plain = bounded_fit(votes), fit(votes.cells())
    assert found is not None
    assert plain is not None
    assert np.isfinite(found[0].parameters).all()
    assert found[0].strengths[:3] - found[0].strengths[0] == pytest.approx(
        plain.strengths[:3] - plain.strengths[0], abs=0.15
    )


def test_no_fit_stays_none(make_ballots: Callable[..., Ballots]) -> None:
    assert bounded_fit(make_ballots([(0, 1, 0, rater) for rater in range(9)], 2, 9)) is None
