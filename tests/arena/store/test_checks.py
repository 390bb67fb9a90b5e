"""What a rater's votes say of how they were given, at the borders of each check."""

from collections.abc import Callable
from random import Random

import pytest

from storyreel.arena.store.checks import alarms, findings
from storyreel.arena.study import Gold, Study
from storyreel.arena.votes import Vote

STUDY = Study(("a", "b"), ("one",), gold=(Gold("one", "a", "b"),))
MakeVote = Callable[..., Vote]


def viewed(make_vote: MakeVote, winner: str, thinking: float = 3.0, **change) -> Vote:
    times = {"left_seconds": 63.0, "right_seconds": 63.0, "viewing_seconds": 63.0 + thinking}
    return make_vote("a", "b", winner, **(times | change))


@pytest.mark.parametrize(
    ("left", "right", "finding"),
    [(24, 6, "fail"), (6, 24, "fail"), (23, 7, "pass"), (10, 0, "fail"), (9, 0, "unknown"), (9, 1, "pass")],
)
def test_side(make_vote: MakeVote, left: int, right: int, finding: str) -> None:
    votes = [viewed(make_vote, winner) for winner in ["model_a"] * left + ["model_b"] * right + ["tie"] * 30]
    assert findings(votes, STUDY)["side"] == finding


def test_answers_to_one_viewing_count_once_for_the_side(make_vote: MakeVote) -> None:
    votes = [viewed(make_vote, "model_a", pair_id=f"p{at // 4}", axis=f"{at % 4}") for at in range(36)]
    assert findings(votes, STUDY)["side"] == "unknown"


@pytest.mark.parametrize(
    ("right", "wrong", "finding"), [(5, 1, "pass"), (6, 0, "pass"), (4, 2, "fail"), (0, 5, "unknown"), (20, 4, "pass")]
)
def test_gold(make_vote: MakeVote, right: int, wrong: int, finding: str) -> None:
    winners = ["model_a"] * right + ["model_b"] * wrong
    votes = [make_vote("a", "b", winner, kind="gold", story="one") for winner in winners]
    mirrored = [
        make_vote("b", "a", {"model_a": "model_b"}.get(one, "model_a"), kind="gold", story="one") for one in winners
    ]
    assert findings(votes, STUDY)["gold"] == findings(mirrored, STUDY)["gold"] == finding
    assert findings(votes, None)["gold"] == "unknown"


def test_a_tie_is_no_right_answer_to_a_gold_pair(make_vote: MakeVote) -> None:
    votes = [make_vote("a", "b", "tie", kind="gold", story="one") for _ in range(6)]
    assert findings(votes, STUDY)["gold"] == "fail"


@pytest.mark.parametrize(("steady", "finding"), [(True, "pass"), (False, "fail")])
def test_mirrored_repeats(make_vote: MakeVote, steady: bool, finding: str) -> None:
    votes = []
    for at in range(12):
        votes.append(make_vote("a", "b", "model_a", story=f"{at}"))
        votes.append(make_vote("b", "a", "model_b" if steady else "model_a", story=f"{at}", kind="repeat"))
    assert findings(votes[:18], STUDY)["repeats"] == "unknown"
    assert findings(votes, STUDY)["repeats"] == finding


def test_one_who_tosses_a_coin_for_close_pairs_is_no_cheat(make_vote: MakeVote) -> None:
    random, failed = Random(4), 0
    for _ in range(300):
        sides = [random.choice(["model_a", "model_b"]) for _ in range(60)]
        votes = [viewed(make_vote, side, 2 + 3 * random.random()) for side in sides[:30]]
        votes += [
            viewed(make_vote, side, 2 + 3 * random.random(), kind="repeat", story=vote.story)
            for side, vote in zip(sides[30:], votes, strict=True)
        ]
        failed += "fail" in findings(votes, STUDY).values()
    assert failed <= 3


@pytest.mark.parametrize(
    ("times", "finding"),
    [([2.0, 2.01] * 6, "fail"), ([0.0] * 12, "fail"), ([2.0, 3.5, 1.2] * 4, "pass"), ([2.0] * 9, "unknown")],
)
def test_pace(make_vote: MakeVote, times: list[float], finding: str) -> None:
    assert findings([viewed(make_vote, "model_a", time) for time in times], STUDY)["pace"] == finding


def test_a_check_that_could_not_run_is_unknown(make_vote: MakeVote) -> None:
    assert set(findings([], STUDY).values()) == {"unknown"}
    votes = [make_vote("a", "b", side) for side in ("model_a", "model_b") * 10]
    assert findings(votes, STUDY)["pace"] == "unknown"


def test_alarms_name_what_is_wrong() -> None:
    found = {f"{at}": {"gold": "fail" if at < 2 else "pass", "token": "unknown"} for at in range(8)}
    lines = alarms(found, ["7"])
    assert "38% of the 8 raters" in lines[0]
    assert "the check gold" in lines[0]
    assert "token could not be made for 8 of the 8" in lines[1]
    assert alarms({"0": {"gold": "fail"}}, []) == []
