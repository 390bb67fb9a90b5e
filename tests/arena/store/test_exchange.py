"""Votes out of a database and into another; and what tampering with one looks like."""

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from storyreel.arena.ballots import ballots
from storyreel.arena.ratings import report
from storyreel.arena.simulate import Population, simulate
from storyreel.arena.store.exchange import Archive
from storyreel.arena.store.store import Store
from storyreel.arena.study import Study
from storyreel.arena.votes import Vote, read_votes, votes_as_csv, write_votes
from storyreel.errors import DataError

from .conftest import HandClock, answer, answer_all, enter, study_of


@pytest.fixture
def voted(make_store: Callable[..., Store], clock: HandClock, folder: Path) -> Path:
    """A database with 18 votes of two raters."""
    store = make_store()
    for name in ("ann", "bob"):
        answer_all(store, clock, enter(store, name))
    store.close()
    return folder / "study.db"


def tamper(database: Path, *statements: str) -> None:
    """What one with the file can do: the triggers are gone first."""
    connection = sqlite3.connect(database)
    with connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        for trigger in ("votes_no_change", "votes_no_removal"):
            connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        for statement in statements:
            connection.execute(statement)
    connection.close()


def verdict_of(database: Path, head: str = ""):
    archive = Archive(database)
    try:
        return archive.verify(head)
    finally:
        archive.close()


def test_an_untouched_chain_holds(voted: Path) -> None:
    verdict = verdict_of(voted)
    assert (verdict.votes, verdict.bad) == (18, "")
    assert verdict_of(voted, verdict.head).bad == ""
    assert "no vote has the hash" in verdict_of(voted, "0" * 64).bad


@pytest.mark.parametrize("statement", ["UPDATE votes SET winner = 'model_b'", "DELETE FROM votes WHERE number = 1"])
def test_the_database_itself_refuses_changes(store: Store, clock: HandClock, statement: str) -> None:
    answer(store, clock, store.serve(enter(store)))
    with pytest.raises(IntegrityError, match="never changed or removed"), store._database.writing() as connection:
        connection.exec_driver_sql(statement)
    assert [vote.winner for vote in store.votes()] == ["model_a"]


@pytest.mark.parametrize(
    ("statement", "good", "bad"),
    [
        ("UPDATE votes SET winner = 'tie' WHERE number = 7", 6, "vote 7 .* was changed"),
        ("UPDATE votes SET rater = (SELECT min(rater) FROM raters), tstamp = 1 WHERE number = 1", 0, "vote 1 "),
        ("UPDATE votes SET left_seconds = 59.5 WHERE number = 18", 17, "vote 18 .* was changed"),
        ("UPDATE votes SET hash = previous || '0' WHERE number = 3", 2, "vote 3 .* was changed"),
        ("DELETE FROM votes WHERE number = 5", 4, "vote 5 is missing: the next has number 6"),
        ("DELETE FROM votes WHERE number = 18", 17, "is missing at the end"),
        ("UPDATE votes SET number = number + 100 WHERE number > 9", 9, "vote 10 is missing"),
    ],
)
def test_tampering_is_found(voted: Path, statement: str, good: int, bad: str) -> None:
    tamper(voted, statement)
    verdict = verdict_of(voted)
    assert verdict.votes == good
    assert re.search(bad, verdict.bad)


def test_a_removed_and_closed_gap_is_found(voted: Path) -> None:
    tamper(voted, "DELETE FROM votes WHERE number = 5", "UPDATE votes SET number = number - 1 WHERE number > 5")
    verdict = verdict_of(voted)
    assert (verdict.votes, "does not follow" in verdict.bad) == (4, True)


def test_export_and_import_come_round(voted: Path, folder: Path) -> None:
    first = Archive(voted)
    votes, study = first.votes(), first.study()
    assert study == study_of()
    write_votes(votes, folder / "votes.jsonl")
    second = Archive(folder / "again.db", create=True)
    second.import_votes(read_votes(folder / "votes.jsonl", study), study)
    assert second.votes() == votes
    assert second.verify().head == first.verify().head
    assert votes_as_csv(second.votes()) == votes_as_csv(votes)
    with pytest.raises(DataError, match="is in the database already"):
        second.import_votes(votes[:1])
    (folder / "votes.csv").write_text(votes_as_csv(votes), newline="")
    assert read_votes(folder / "votes.csv", study) == votes
    with pytest.raises(DataError, match="another study"):
        second.import_votes(votes, study_of(votes_per_axis=30))
    first.close()
    second.close()


def test_ratings_from_the_import_are_those_of_the_votes(folder: Path) -> None:
    study = Study(("a", "b", "c", "d"), tuple(map(str, range(20))), votes_per_axis=10)
    population = Population({"a": 950.0, "b": 1000.0, "c": 1020.0, "d": 1050.0}, clickers=3)
    votes = simulate(study, population, 24, seed=5).votes
    archive = Archive(folder / "simulated.db", create=True)
    archive.import_votes(votes, study)
    stored = archive.votes()
    archive.close()
    used = {vote.judge for vote in stored if vote.used}
    expected = report(ballots([vote for vote in votes if vote.judge in used], study.methods, study.axis_names))
    write_votes(stored, folder / "out.jsonl")
    found = report(ballots(read_votes(folder / "out.jsonl", study), study.methods, study.axis_names))
    for one, other in zip(expected.axes, found.axes, strict=True):
        for mine, theirs in zip(one.rated, other.rated, strict=True):
            assert mine.method == theirs.method
            assert (mine.rating, mine.low, mine.high) == pytest.approx(
                (theirs.rating, theirs.low, theirs.high), abs=1e-6
            )


def test_an_import_is_all_or_nothing(voted: Path, make_vote: Callable[..., Vote]) -> None:
    archive = Archive(voted)
    fine = make_vote("ttt", "mamba", axis="looks", story="sea")
    for wrong in (
        make_vote("ttt", "sora", axis="looks", story="sea"),
        make_vote("ttt", "mamba", axis="smell", story="sea"),
        make_vote("ttt", "mamba", axis="looks", story="moon"),
    ):
        with pytest.raises(DataError, match=f"{wrong.pair_id}: .* is not in the study"):
            archive.import_votes([fine, wrong])
    assert len(archive.votes()) == 18
    archive.import_votes([fine])
    assert archive.votes()[-1] == fine
    assert archive.verify().bad == ""
    archive.close()


def test_an_imported_database_can_become_a_running_study(
    make_store: Callable[..., Store], clock: HandClock, folder: Path, make_vote: Callable[..., Vote]
) -> None:
    archive = Archive(folder / "study.db", create=True)
    archive.import_votes([make_vote("ttt", "mamba", axis="looks", story="sea", used=False)])
    archive.close()
    store = make_store()
    assert store._follower.tally.pairs == [[1, 0, 0]]
    answer(store, clock, store.serve(enter(store)))
    assert [vote.used for vote in store.votes()] == [False, True]


def test_a_file_that_shows_a_pair_twice_differently_is_refused(make_vote: Callable[..., Vote], tmp_path: Path) -> None:
    votes = [make_vote(pair_id="p", axis="one"), make_vote("b", "a", pair_id="p", axis="two")]
    write_votes(votes, tmp_path / "votes.jsonl")
    with pytest.raises(DataError, match="line 2: pair_id p was another pair in line 1"):
        read_votes(tmp_path / "votes.jsonl")
