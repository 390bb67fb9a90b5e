"""Ratings of votes: what the report says, and that it says nothing it does not know."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from storyreel.arena.ballots import Ballots, ballots
from storyreel.arena.clusters import influences, standard_errors, student_quantile
from storyreel.arena.coverage import coverage
from storyreel.arena.davidson import fit, outcome_probabilities
from storyreel.arena.elo import elo_ratings
from storyreel.arena.flips import votes_to_flip
from storyreel.arena.ratings import report
from storyreel.arena.simulate import Population, simulate
from storyreel.arena.study import AXES, Study
from storyreel.arena.votes import Vote, read_votes, write_votes


def random_votes(
    make_ballots: Callable[..., Ballots], count: int, methods: int, raters: int, tie: float = -1.0
) -> Ballots:
    random = np.random.default_rng(count)
    strengths = np.linspace(-0.4, 0.4, methods)
    left = random.integers(0, methods, count)
    right = (left + random.integers(1, methods, count)) % methods
    chances = outcome_probabilities(strengths[left] - strengths[right] + 0.2, tie)
    drawn = random.random(count)
    outcome = (drawn > chances[0]).astype(int) + (drawn > chances[0] + chances[1])
    rater = random.integers(0, raters, count)
    return make_ballots(list(zip(left, right, outcome, rater, strict=True)), methods, raters)


def test_elo_in_the_order_of_the_votes(make_ballots: Callable[..., Ballots]) -> None:
    """By hand: 1000 + 4 * (1 - 1/2) = 1002; then the tie moves them by 4 * (1/2 - 1 / (1 + 10^(-4/400)))."""
    ratings = elo_ratings(make_ballots([(0, 1, 0, 0), (1, 0, 2, 0)], 2, 1))
    back = 4 * (1 / (1 + 10 ** (-4 / 400)) - 0.5)
    assert ratings == pytest.approx([1002 - back, 998 + back], abs=1e-12)
    assert elo_ratings(make_ballots([(0, 1, 1, 0)], 2, 1), 32).tolist() == [984, 1016]


@pytest.mark.parametrize("tie", [-1.0, -math.inf])
def test_influence_is_near_what_leaving_a_rater_out_does(make_ballots: Callable[..., Ballots], tie: float) -> None:
    votes = random_votes(make_ballots, 3000, 4, 30, tie)
    found = fit(votes.cells())
    assert found is not None
    moved = influences(found, votes)
    for rater in range(30):
        without = fit(votes.where(votes.rater != rater).cells())
        assert without is not None
        assert moved[rater] == pytest.approx(found.parameters - without.parameters, abs=2e-3, rel=0.03)


def test_influence_does_not_depend_on_how_many_raters_are_taken_at_once(
    make_ballots: Callable[..., Ballots], monkeypatch: pytest.MonkeyPatch
) -> None:
    votes = random_votes(make_ballots, 800, 4, 30)
    found = fit(votes.cells())
    assert found is not None
    at_once = influences(found, votes)
    monkeypatch.setattr("storyreel.arena.clusters._NUMBERS_AT_ONCE", 100)
    assert influences(found, votes) == pytest.approx(at_once, abs=1e-14)


def test_a_rater_a_vote_gives_the_textbook_error(make_ballots: Callable[..., Ballots]) -> None:
    votes = random_votes(make_ballots, 20_000, 4, 1)
    votes = make_ballots(
        list(zip(votes.left, votes.right, votes.outcome, range(len(votes)), strict=True)), 4, len(votes)
    )
    found = fit(votes.cells())
    assert found is not None
    errors = standard_errors(influences(found, votes), len(votes))
    textbook = np.sqrt(np.diag(np.linalg.inv(found.information)) - np.array([1 / 16] * 4 + [0, 0]))
    assert errors == pytest.approx(textbook, rel=0.02)


def test_students_quantiles() -> None:
    """From the usual tables."""
    table = {4: 2.776, 5: 2.571, 10: 2.228, 23: 2.069, 59: 2.001, 1000: 1.962}
    assert {freedom: round(student_quantile(0.975, freedom), 3) for freedom in table} == pytest.approx(table, abs=0.004)


def test_rebuilt_from_the_export(tmp_path: Path) -> None:
    study = Study(("a", "b", "c"), ("one", "two"), AXES[:2], votes_per_axis=6)
    votes = simulate(study, Population(dict.fromkeys("abc", 1000.0)), 40, 3).votes
    first = report(ballots(votes, study.methods, study.axis_names))
    write_votes(votes, tmp_path / "votes.jsonl")
    again = report(ballots(read_votes(tmp_path / "votes.jsonl", study), study.methods, study.axis_names))
    for ours, theirs in zip((first.overall, *first.axes), (again.overall, *again.axes), strict=True):
        for one, other in zip(ours.rated, theirs.rated, strict=True):
            assert one.method == other.method
            assert (one.rating, one.low, one.high) == pytest.approx((other.rating, other.low, other.high), abs=1e-6)


def test_win_rates_and_counts(make_vote: Callable[..., Vote]) -> None:
    votes = [make_vote("a", "b", "model_a"), make_vote("b", "a", "model_a"), make_vote("b", "a", "tie")]
    votes += [make_vote("b", "a", "tie (bothbad)"), make_vote("a", "b", "model_a"), make_vote(kind="gold")]
    found = report(ballots(votes)).axes[0]
    assert found.votes == 5
    assert found.ties == 2
    assert found.counts.tolist() == [[0, 5], [5, 0]]
    assert found.win_rates[0, 1] == pytest.approx(3 / 5)
    assert math.isnan(found.win_rates[0, 0])


def test_a_method_without_a_loss_is_named_and_the_others_rated(make_vote: Callable[..., Vote]) -> None:
    votes = [make_vote("a", "b"), make_vote("b", "a"), make_vote("c", "a"), make_vote("c", "b")] * 3
    votes = [vote.model_copy(update={"judge": f"rater {at % 6}"}) for at, vote in enumerate(votes)]
    found = report(ballots(votes, ("a", "b", "c", "d")))
    assert found.axes[0].unrated == {"c": "never lost", "d": "no votes"}
    assert {one.method for one in found.axes[0].rated} == {"a", "b"}
    assert found.overall.unrated["c"] == "aesthetics: never lost"
    assert any("c, d" in reason for reason in found.overall.pending)


def test_two_parts_that_never_met_get_no_rating(make_vote: Callable[..., Vote]) -> None:
    votes = [make_vote("a", "b"), make_vote("b", "a"), make_vote("c", "d"), make_vote("d", "c")]
    found = report(ballots(votes)).axes[0]
    assert found.rated == ()
    assert set(found.unrated) == set("abcd")
    assert found.unrated["a"] == "never compared with c, not even by way of others"


def test_few_raters_give_no_interval_and_are_provisional(make_ballots: Callable[..., Ballots]) -> None:
    found = report(random_votes(make_ballots, 500, 3, 4)).axes[0]
    assert all(math.isnan(one.low) for one in found.rated)
    assert found.pending == ("4 of 24 raters", "no interval")
    assert found.votes_needed is None


def test_final_needs_24_raters_and_20_elo(make_ballots: Callable[..., Ballots]) -> None:
    assert report(random_votes(make_ballots, 6000, 3, 24)).axes[0].pending == ()
    assert report(random_votes(make_ballots, 6000, 3, 23)).axes[0].pending == ("23 of 24 raters",)
    (reason,) = report(random_votes(make_ballots, 600, 3, 24)).axes[0].pending
    assert "20 wanted" in reason
    (reason,) = report(random_votes(make_ballots, 600, 3, 24), 100.0).axes[0].pending
    assert "20 wanted" in reason


def test_votes_needed_is_about_right(make_ballots: Callable[..., Ballots]) -> None:
    few = report(random_votes(make_ballots, 1500, 4, 150)).axes[0]
    assert few.votes_needed is not None
    enough = report(random_votes(make_ballots, 1500 + few.votes_needed, 4, 150 + few.votes_needed // 10)).axes[0]
    assert max(one.half_width for one in enough.rated) == pytest.approx(20, rel=0.1)


def test_votes_that_hold_up_the_first_place(make_ballots: Callable[..., Ballots]) -> None:
    """60 to 50, even on both sides; with 24 of 49 won on one side and 26 of 51 on the other, the first is behind."""
    rows = [(0, 1, 0, 0)] * 30 + [(1, 0, 0, 0)] * 25 + [(0, 1, 1, 0)] * 25 + [(1, 0, 1, 0)] * 30
    cells = make_ballots(rows, 2, 1).cells()
    found = fit(cells)
    assert found is not None
    assert votes_to_flip(found, cells) == 10


def test_a_report_of_no_votes_says_so() -> None:
    found = report(ballots([], ("a", "b"), ("x",)))
    assert found.axes[0].unrated == {"a": "no votes", "b": "no votes"}
    assert found.overall.rated == ()
    assert found.raters == ()


@pytest.mark.parametrize("taste", [0.0, 122.0])
def test_intervals_hold_the_truth(taste: float) -> None:
    """A quick look: 60 studies are 300 intervals, whose share has a standard deviation of about 0.02."""
    found = coverage(taste, 60, raters=30)
    assert 0.91 <= found.axis <= 0.99
    assert 0.90 <= found.overall <= 0.995


@pytest.mark.slow
@pytest.mark.parametrize("raters", [25, 60])
@pytest.mark.parametrize("taste", [0.0, 61.0, 122.0])
def test_intervals_hold_the_truth_in_400_studies(taste: float, raters: int) -> None:
    found = coverage(taste, 400, raters=raters)
    assert 0.93 <= found.axis <= 0.97
    assert 0.93 <= found.overall <= 0.97
    if taste > 100:
        assert found.independent < 0.9
