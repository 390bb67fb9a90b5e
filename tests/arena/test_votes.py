"""Files of votes: what goes out comes in again, and what is no vote is refused with its line."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storyreel.arena.study import Study
from storyreel.arena.votes import Vote, dump_votes, read_votes, votes_as_csv, write_votes
from storyreel.errors import DataError

names = st.text(min_size=1, max_size=12)
moments = st.floats(0, 1e10)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_votes_come_back_as_they_went(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    count = data.draw(st.integers(1, 5))
    votes = [
        Vote(
            model_a=data.draw(names), model_b=data.draw(names) + str(number) + "b", judge=data.draw(names),
            winner=data.draw(st.sampled_from(["model_a", "model_b", "tie", "tie (bothbad)"])), story=data.draw(names),
            tstamp=data.draw(moments) + 1e10, served_tstamp=data.draw(st.none() | moments), axis=data.draw(names),
            pair_id=f"p{number}", propensity=data.draw(st.floats(1e-6, 1)),
        )
        for number in range(count)
    ]  # fmt: skip
    votes = [vote for vote in votes if vote.model_a != vote.model_b]
    path = tmp_path_factory.mktemp("votes") / "votes.jsonl"
    write_votes(votes, path)
    assert read_votes(path) == votes
    path.with_suffix(".csv").write_text(votes_as_csv(votes), encoding="utf-8", newline="")
    assert read_votes(path.with_suffix(".csv")) == votes


def test_the_fields_are_lmarenas_and_ours(make_vote: Callable[..., Vote]) -> None:
    row = json.loads(dump_votes([make_vote(winner="tie (bothbad)")]))
    assert {"model_a", "model_b", "winner", "judge", "tstamp"} <= set(row)
    assert row["winner"] == "tie (bothbad)"
    assert row["version"] == 1


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"winner": "both"}, "winner: .* given 'both'"),
        ({"winner": None}, "winner"),
        ({"tstamp": "12"}, "tstamp"),
        ({"tstamp": float("nan")}, "tstamp"),
        ({"tstamp": float("inf")}, "tstamp"),
        ({"tstamp": -1.0}, "tstamp"),
        ({"weight": 100}, "weight: Extra"),
        ({"model_b": "a"}, "both a"),
        ({"model_a": ""}, "model_a"),
        ({"served_tstamp": 99.0}, "before served_tstamp"),
        ({"propensity": 0.0}, "propensity"),
        ({"version": 2}, "version"),
        ({"pair_id": "p1"}, "answer on aesthetics in line 1 already"),
        ({"kind": "joke"}, "kind"),
    ],
)
def test_a_wrong_line_is_refused_with_its_number(
    tmp_path: Path, make_vote: Callable[..., Vote], change: dict, complaint: str
) -> None:
    rows = [make_vote().model_dump(), make_vote().model_dump() | change]
    path = tmp_path / "votes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=f"line 2: .*{complaint}") as raised:
        read_votes(path)
    assert "\n" not in str(raised.value)


def test_a_missing_field_and_a_torn_line_are_refused(tmp_path: Path, make_vote: Callable[..., Vote]) -> None:
    path = tmp_path / "votes.jsonl"
    whole = dump_votes([make_vote()])
    path.write_text(whole + "\n" + whole[: len(whole) // 2])
    with pytest.raises(DataError, match="line 3"):
        read_votes(path)
    path.write_text('{"model_a": "a", "model_b": "b", "winner": "tie"}\n')
    with pytest.raises(DataError, match=r"line 1: .*[Rr]equired"):
        read_votes(path)
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(DataError, match="line 1"):
        read_votes(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_votes(tmp_path / "none.jsonl")


@pytest.mark.parametrize("change", [{"model_a": "c"}, {"story": "two"}, {"axis": "beauty"}])
def test_a_vote_from_outside_the_study_is_refused(tmp_path: Path, make_vote: Callable[..., Vote], change: dict) -> None:
    study = Study(("a", "b"), ("one",))
    path = tmp_path / "votes.jsonl"
    write_votes([make_vote(), make_vote(kind="gold", model_a="damaged")], path)
    assert len(read_votes(path, study)) == 2
    write_votes([make_vote(), make_vote(**change)], path)
    with pytest.raises(DataError, match=r"line 2: .* not in the study"):
        read_votes(path, study)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"])
def test_formulas_are_defused_in_csv(make_vote: Callable[..., Vote], name: str) -> None:
    rows = list(csv.reader(io.StringIO(votes_as_csv([make_vote(model_a=name, story='say "hi", you')]), newline="")))
    assert rows[0][:3] == ["model_a", "model_b", "winner"]
    assert rows[1][0] == "'" + name
    assert rows[1][rows[0].index("story")] == 'say "hi", you'


@pytest.mark.parametrize("name", ["=1+1", "'=1+1", "''", "@x", "plain", "5", "True", "1e5"])
def test_what_was_defused_comes_back(make_vote: Callable[..., Vote], tmp_path: Path, name: str) -> None:
    votes = [make_vote(name, f"{name} b", left_seconds=60.0, stalls=2, used=False)]
    path = tmp_path / "votes.csv"
    path.write_text(votes_as_csv(votes), newline="")
    assert read_votes(path) == votes


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("a,b,both,r,10,looks,one,p", "line 2: winner: .* given 'both'"),
        ("a,b,model_a,r,nan,looks,one,p", "line 2: tstamp"),
        ("a,b,model_a,r,ten,looks,one,p", "line 2: tstamp"),
        ("a,b,,r,10,looks,one,p", "line 2: winner: Field required"),
        ("a,b,model_a,r,10,looks,one", "line 2: it has not as many cells"),
        ("a,b,model_a,r,10,looks,one,p,99", "line 2: it has not as many cells"),
        ('a,b,"model_a', "cannot be read as CSV"),
    ],
)
def test_csv_that_is_no_vote_is_refused(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "votes.csv"
    path.write_text(f"model_a,model_b,winner,judge,tstamp,axis,story,pair_id\n{line}\n")
    with pytest.raises(DataError, match=complaint):
        read_votes(path)
