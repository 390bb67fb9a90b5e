"""The fit against published examples, against another algorithm, and against theory."""

import math
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storyreel.arena.connection import unrated
from storyreel.arena.davidson import fit, outcome_probabilities

# Agresti, Categorical Data Analysis (2nd ed., 2002), tables 10.10 and 10.11: American League East 1987. A row a home
# team: wins and losses at home against the other six, in the order of TEAMS.
TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
HOME_RECORDS = (
    "4-3 4-2 4-3 6-1 4-2 6-0",
    "3-3 4-2 4-3 6-0 6-1 4-3",
    "2-5 4-3 2-4 4-3 4-2 6-0",
    "3-3 5-1 2-5 4-3 4-2 6-1",
    "5-1 2-5 3-3 4-2 5-2 6-0",
    "2-5 3-3 3-4 4-3 4-2 2-4",
    "2-5 1-5 1-6 2-4 1-6 3-4",
)


def baseball() -> np.ndarray:
    cells = np.zeros((7, 7, 3))
    for home, records in enumerate(HOME_RECORDS):
        away = [team for team in range(7) if team != home]
        for team, record in zip(away, records.split(), strict=True):
            cells[home, team, :2] = [int(number) for number in record.split("-")]
    return cells


def test_baseball_as_published() -> None:
    found = fit(baseball(), side=False)
    assert found is not None
    above_baltimore = found.strengths - found.strengths[-1]
    assert above_baltimore.round(2).tolist() == [1.58, 1.44, 1.29, 1.25, 1.11, 0.68, 0]
    covariance = np.linalg.inv(found.information)[:7, :7]
    errors = np.sqrt(np.diag(covariance) + covariance[6, 6] - 2 * covariance[6])[:6]
    assert errors.round(1).tolist() == [0.3] * 6


def test_baseball_with_home_advantage_as_published() -> None:
    found = fit(baseball())
    assert found is not None
    worth = np.exp(found.strengths)
    assert round(found.side, 3) == 0.302
    assert (worth / worth.sum()).round(3).tolist() == [0.220, 0.190, 0.164, 0.157, 0.137, 0.088, 0.044]


def test_three_items_as_published() -> None:
    """PlackettLuce's vignette (Turner, van Etten, Firth, Kosmidis 2020), 2.3: A > B, C > A, B > A, B > C."""
    cells = np.zeros((3, 3, 3))
    for winner, loser in ((0, 1), (2, 0), (1, 0), (1, 2)):
        cells[winner, loser, 0] += 1
    found = fit(cells, side=False)
    assert found is not None
    assert (found.strengths - found.strengths[0]).round(4).tolist() == [0, 0.8392, 0.4196]
    covariance = np.linalg.inv(found.information)
    errors = np.sqrt(np.diag(covariance) + covariance[0, 0] - 2 * covariance[0])
    assert errors.round(4).tolist() == [0, 1.3596, 1.5973]


def davidson_1970(cells: np.ndarray, rounds: int = 1500) -> tuple[np.ndarray, float]:
    """Davidson's own iteration (JASA 65, 1970, section 3): worths summing to 1, and nu."""
    wins = cells[:, :, 0] + cells[:, :, 1].T
    ties = cells[:, :, 2] + cells[:, :, 2].T
    counts = wins + wins.T + ties
    score = 2 * wins.sum(1) + ties.sum(1)
    worth, nu = np.full(len(cells), 1 / len(cells)), 1.0
    for _ in range(rounds):
        root = np.sqrt(np.outer(worth, worth))
        total = worth[:, None] + worth + nu * root
        worth = score / (counts * (2 + nu * np.sqrt(worth[None] / worth[:, None])) / total).sum(1)
        worth /= worth.sum()
        root = np.sqrt(np.outer(worth, worth))
        nu = ties.sum() / (counts * root / (worth[:, None] + worth + nu * root)).sum()
    return worth, nu


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), methods=st.integers(2, 6))
def test_ties_agree_with_davidsons_own_iteration(seed: int, methods: int) -> None:
    random = np.random.default_rng(seed)
    cells = random.integers(1, 30, (methods, methods, 3)).astype(float) * (1 - np.eye(methods))[:, :, None]
    found = fit(cells, side=False)
    assert found is not None
    worth, nu = davidson_1970(cells)
    assert np.exp(found.strengths) / np.exp(found.strengths).sum() == pytest.approx(worth, abs=1e-9)
    assert math.exp(found.tie) == pytest.approx(nu, abs=1e-8)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), side=st.booleans(), tie=st.sampled_from([-math.inf, -1.0, 0.5]))
def test_exact_expectations_give_the_parameters_back(seed: int, side: bool, tie: float) -> None:
    random = np.random.default_rng(seed)
    strengths = random.normal(0, 1, 5)
    strengths -= strengths.mean()
    advantage = 0.4 * side
    chances = outcome_probabilities(strengths[:, None] - strengths + advantage, tie)
    cells = np.moveaxis(chances, 0, -1) * (random.integers(1, 50, (5, 5)) * (1 - np.eye(5)))[:, :, None]
    found = fit(cells, side=side)
    assert found is not None
    assert found.strengths == pytest.approx(strengths, abs=1e-9)
    assert found.side == pytest.approx(advantage, abs=1e-9)
    assert found.tie == pytest.approx(tie, abs=1e-9)


def test_information_is_the_slope_of_the_score() -> None:
    random = np.random.default_rng(1)
    cells = random.integers(1, 9, (4, 4, 3)).astype(float) * (1 - np.eye(4))[:, :, None]
    found = fit(cells)
    assert found is not None
    left, right = np.nonzero(cells.sum(2))

    def loss(parameters: np.ndarray) -> float:
        lead = parameters[left] - parameters[right] + parameters[4]
        scores = np.stack([lead / 2, -lead / 2, np.full_like(lead, parameters[5])])
        return -(cells[left, right].T * (scores - np.log(np.exp(scores).sum(0)))).sum()

    step = 1e-3
    unit = np.eye(6) * step
    slopes = [
        [(loss(p + i + j) - loss(p + i - j) - loss(p - i + j) + loss(p - i - j)) / (4 * step**2) for j in unit]
        for i in unit
        for p in [found.parameters]
    ]
    expected = found.information.copy()
    expected[:4, :4] -= 1
    assert np.array(slopes) == pytest.approx(expected, abs=1e-4)
    assert np.linalg.norm([(loss(found.parameters + i) - loss(found.parameters - i)) / (2 * step) for i in unit]) < 1e-4


@pytest.mark.parametrize(
    ("wins", "reasons"),
    [
        ("ab bc ca", {}),
        ("ab ba ac bc", {"c": "never won"}),
        ("ab ba ca cb", {"c": "never lost"}),
        ("ab ba", {}),
        ("ab ba cd dc", dict.fromkeys("abcd", "never compared with")),
        ("ab ba cd dc ac", dict.fromkeys("abcd", "votes go one way only")),
        ("ab ba ac cd", {"c": "one way only", "d": "never won"}),
    ],
)
def test_what_cannot_be_rated_is_named(wins: str, reasons: dict[str, str]) -> None:
    names = tuple(sorted(set(wins) - {" "}))
    cells = np.zeros((len(names), len(names), 3))
    for winner, loser in wins.split():
        cells[names.index(winner), names.index(loser), 0] += 1
    found = unrated(cells, names)
    assert found.keys() == reasons.keys()
    assert all(reasons[name] in found[name] for name in reasons)


def test_a_method_without_votes_is_named() -> None:
    cells = np.zeros((3, 3, 3))
    cells[0, 1, :2] = 1
    assert unrated(cells, ("a", "b", "c")) == {"c": "no votes"}


def test_votes_that_bound_nothing_have_no_fit() -> None:
    cells = np.zeros((2, 2, 3))
    assert fit(cells) is None
    cells[0, 1] = [5, 0, 0]
    assert fit(cells, side=False) is None
    cells[0, 1] = [5, 0, 5]
    assert fit(cells, side=False) is None
    cells[0, 1] = [0, 0, 5]
    assert fit(cells, side=False) is None


def test_a_million_votes_of_twenty_methods_are_fitted_in_a_second(make_ballots) -> None:
    random = np.random.default_rng(0)
    strengths = random.normal(0, 0.4, 20)
    left = random.integers(0, 20, 1_000_000)
    right = (left + random.integers(1, 20, len(left))) % 20
    chances = outcome_probabilities(strengths[left] - strengths[right] + 0.1, -1.0)
    drawn = random.random(len(left))
    outcome = (drawn > chances[0]).astype(int) + (drawn > chances[0] + chances[1])
    votes = make_ballots([(0, 1, 0, 0)], 20, 1)
    votes = type(votes)(votes.methods, votes.raters, votes.axes, left, right, outcome, *[left * 0] * 3)
    begin = time.process_time()
    found = fit(votes.cells())
    assert time.process_time() - begin < 1
    assert found is not None
    assert found.strengths == pytest.approx(strengths - strengths.mean(), abs=0.02)
    assert all(one <= other + 0.02 for one, other in pairwise(found.strengths[np.argsort(strengths)]))
