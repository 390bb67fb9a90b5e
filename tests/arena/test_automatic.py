"""Metrics as votes, and that every report says whose votes they are."""

from __future__ import annotations

from collections import Counter

import pytest

from storyreel.arena.automatic import JUDGES, automatic_votes
from storyreel.arena.ballots import ballots
from storyreel.arena.page import report_as_page
from storyreel.arena.ratings import report
from storyreel.arena.study import AXES
from storyreel.arena.table import report_as_lines
from storyreel.arena.votes import AUTOMATIC, Vote
from storyreel.errors import DataError
from storyreel.evaluation.metrics.definition import Measured
from storyreel.evaluation.metrics.video import METRICS

BETTER = {metric.name: metric.better for metric in METRICS}


def metrics(quality: float) -> dict[str, Measured]:
    """Every metric, the better the higher the quality."""
    return {name: Measured(-quality if way == "lower" else quality) for name, way in BETTER.items()}


def videos(qualities: dict[str, float], stories: int = 4) -> dict[tuple[str, str], dict[str, Measured]]:
    return {(method, f"story {own}"): metrics(q) for method, q in qualities.items() for own in range(stories)}


def test_the_better_video_gets_the_vote_of_every_judge_on_either_side() -> None:
    votes = automatic_votes(videos({"a": 0.2, "b": 0.6, "c": 0.4, "d": 0.1}), 5.0)
    assert len(votes) == 4 * 6 * sum(map(len, JUDGES.values()))
    rank = {"b": 3, "c": 2, "a": 1, "d": 0}
    for vote in votes:
        better = "model_a" if rank[vote.model_a] > rank[vote.model_b] else "model_b"
        assert vote.winner == better
    sides = Counter((frozenset((vote.model_a, vote.model_b)), vote.model_a) for vote in votes)
    assert len(set(sides.values())) == 1
    assert len({(vote.pair_id, vote.axis) for vote in votes}) == len(votes)
    assert {vote.axis for vote in votes} == {axis.name for axis in AXES}


def test_equal_values_tie_and_missing_ones_are_no_vote() -> None:
    own = videos({"a": 0.5, "b": 0.5}, stories=1)
    assert {vote.winner for vote in automatic_votes(own, 0.0)} == {"tie"}
    own["a", "story 0"] |= {"sharpness": Measured(None, "too short")}
    judges = {vote.judge for vote in automatic_votes(own, 0.0)}
    assert f"{AUTOMATIC}sharpness" not in judges
    assert f"{AUTOMATIC}cut_f1" in judges
    with pytest.raises(DataError, match="two methods at least"):
        automatic_votes(videos({"a": 1.0}), 0.0)
    with pytest.raises(DataError, match="no story has videos of two methods"):
        automatic_votes({("a", "one"): metrics(1), ("b", "two"): metrics(2)}, 0.0)


def person(number: int) -> Vote:
    return Vote(
        model_a="a", model_b="b", winner="model_a", judge=f"{number:016x}", tstamp=1.0, axis="aesthetics", story="s",
        pair_id=str(number),
    )  # fmt: skip


def test_reports_say_that_votes_are_automatic_and_are_not_final() -> None:
    people = [person(number) for number in range(3)]
    found = report(ballots([*automatic_votes(videos({"a": 0.2, "b": 0.6}), 0.0), *people]))
    given = 4 * sum(map(len, JUDGES.values()))
    lines = report_as_lines(found)
    assert lines[0].startswith(f"{given} of {given + 3} votes are automatic, not people's: automatic:")
    assert "votes are automatic, not people&#x27;s" in report_as_page(found)
    assert any("not people's" in reason for reason in found.overall.pending)
    assert found.automatic_votes == given
    plain = report(ballots(people))
    assert plain.automatic == ()
    assert not any("automatic" in line for line in report_as_lines(plain))
    assert not any("people" in reason for reason in plain.overall.pending)
