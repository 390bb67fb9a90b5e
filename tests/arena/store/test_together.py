"""Calls that share a transaction: what one failure may take with it, and what must be on the disk."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from storyreel.arena.pairing import Tally
from storyreel.arena.store.exchange import Archive
from storyreel.arena.store.records import OpenPair, PairRefused, StoreUnavailable, TooEarly
from storyreel.arena.store.rows import served_of
from storyreel.arena.store.schema import SERVED
from storyreel.arena.store.store import Store
from storyreel.arena.study import Study

from .conftest import HandClock, enter, store_on, study_of, watch

LOOKS = {"looks": "model_a"}


@pytest.fixture
def watched(store: Store, clock: HandClock) -> list[OpenPair]:
    """Pairs of five raters who may vote now."""
    pairs = [store.serve(enter(store, str(number))) for number in range(5)]
    for pair in pairs:
        watch(store, clock, pair)
    return pairs


def vote(store: Store, pair: OpenPair) -> object:
    return store.vote(pair.pair_id, pair.served.rater, LOOKS)


def tally_of(store: Store, study: Study) -> Tally:
    with store._database.reading() as connection:
        return Tally.of(study, [served_of(row) for row in connection.execute(SERVED.select().order_by("number"))])


def statements(store: Store) -> list[str]:
    """Grows by what the store tells the database to begin and to commit."""
    told: list[str] = []

    @event.listens_for(store._database.engine, "before_cursor_execute")
    def note(connection: Connection, cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(("BEGIN", "PRAGMA synchronous")):
            told.append(statement)

    event.listen(store._database.engine, "commit", lambda connection: told.append("COMMIT"))
    return told


def test_calls_share_one_transaction_and_one_wait_for_the_disk(store: Store, watched: list[OpenPair]) -> None:
    told = statements(store)
    with store.together():
        numbers = []
        for pair in watched:
            numbers.append(vote(store, pair).number)
            assert store.serve(pair.served.rater).pair_id != pair.pair_id
    assert told == ["PRAGMA synchronous=FULL", "BEGIN IMMEDIATE", "COMMIT"]
    assert numbers == [1, 2, 3, 4, 5]
    assert [one.pair_id for one in store.votes()] == [pair.pair_id for pair in watched]
    archive = Archive(store._database.name)
    assert (archive.verify().votes, archive.verify().bad) == (5, "")
    archive.close()


def test_nobody_else_sees_a_vote_before_all_are_kept(store: Store, watched: list[OpenPair]) -> None:
    other = sqlite3.connect(store._database.name)
    with store.together():
        vote(store, watched[0])
        assert other.execute("SELECT count(*) FROM votes").fetchone() == (0,)
    assert other.execute("SELECT count(*) FROM votes").fetchone() == (1,)
    other.close()


def test_a_refusal_is_alone(store: Store, clock: HandClock, watched: list[OpenPair]) -> None:
    late = store.serve(enter(store, "late"))
    with store.together():
        vote(store, watched[0])
        store.play(late.pair_id, late.served.rater, 5.0, 5.0)
        with pytest.raises(TooEarly):
            store.vote(late.pair_id, late.served.rater, LOOKS, left_seconds=60, right_seconds=60)
        with pytest.raises(PairRefused):
            store.vote(watched[1].pair_id, late.served.rater, LOOKS)
        vote(store, watched[1])
    assert [one.pair_id for one in store.votes()] == [pair.pair_id for pair in watched[:2]]
    clock.move(60)
    assert store.play(late.pair_id, late.served.rater, 60, 60).ready, "what it reported before stays"


def test_a_write_that_fails_in_the_middle_is_undone_alone(store: Store, watched: list[OpenPair]) -> None:
    """After its row of `votes` is written, the row of `served` cannot be."""
    ill = watched[1].pair_id
    with store._database.writing() as connection:
        connection.exec_driver_sql(
            f"CREATE TRIGGER ill BEFORE UPDATE ON served WHEN new.pair_id = '{ill}' "
            "BEGIN SELECT RAISE(FAIL, 'a bad sector'); END"
        )
    with store.together():
        vote(store, watched[0])
        with pytest.raises(Exception, match="a bad sector"):
            vote(store, watched[1])
        assert vote(store, watched[2]).number == 2
    assert [one.pair_id for one in store.votes()] == [watched[0].pair_id, watched[2].pair_id]
    with store._database.writing() as connection:
        connection.exec_driver_sql("DROP TRIGGER ill")
    assert vote(store, watched[1]).number == 3


def test_a_failed_commit_keeps_nothing_and_counts_nothing(
    store: Store, watched: list[OpenPair], clock: HandClock
) -> None:
    study = study_of()

    def full(connection: Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    event.listen(store._database.engine, "commit", full)
    served: list[OpenPair] = []

    def all_of_them() -> None:
        with store.together():
            for pair in watched:
                vote(store, pair)
                served.append(store.serve(pair.served.rater))

    with pytest.raises(sqlite3.OperationalError):
        all_of_them()
    event.remove(store._database.engine, "commit", full)
    assert store.votes() == []
    again = []
    for pair in watched:
        assert vote(store, pair).number == len(again) + 1
        again.append(store.serve(pair.served.rater))
    assert [pair.served for pair in again] == [pair.served for pair in served], "what was undone is not counted twice"
    store.state(watched[0].served.rater)
    counted, held = store._follower.tally, tally_of(store, study)
    assert (counted.pairs, counted.lean, counted.stories) == (held.pairs, held.lean, held.stories)


def test_a_full_disk_refuses_all_and_a_later_one_takes_all(make_store: Callable[..., Store], clock: HandClock) -> None:
    store = make_store(study_of(stories=tuple(map(str, range(20))), votes_per_axis=60))
    raters = [enter(store, str(number)) for number in range(20)]
    with store._database.reading() as connection:
        limit = connection.exec_driver_sql("PRAGMA page_count").scalar_one() + 2

    def fill(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={limit}").close()

    event.listen(store._database.engine, "checkout", fill)
    kept = 0
    with suppress(StoreUnavailable):
        while True:
            pairs = [store.serve(rater) for rater in raters]
            for pair in pairs:
                watch(store, clock, pair)
            with store.together():
                for pair in pairs:
                    vote(store, pair)
            kept += len(pairs)
    assert len(store.votes()) == kept < 60 * len(raters)
    limit += 100
    pairs = [store.serve(rater) for rater in raters]
    for pair in pairs:
        watch(store, clock, pair)
    with store.together():
        receipts = [vote(store, pair) for pair in pairs]
    assert [receipt.number for receipt in receipts] == list(range(kept + 1, kept + 1 + len(raters)))
    archive = Archive(store._database.name)
    assert archive.verify().bad == ""
    archive.close()


def test_a_durable_call_is_not_taken_lightly(store: Store, watched: list[OpenPair]) -> None:
    with store.together(durable=False):
        assert store.serve(watched[0].served.rater).pair_id == watched[0].pair_id
        with pytest.raises(RuntimeError, match="durable"):
            vote(store, watched[0])
    assert store.votes() == []


def test_two_stores_of_one_database_take_turns(
    make_store: Callable[..., Store], folder: Path, clock: HandClock
) -> None:
    first, second = make_store(), store_on(folder / "study.db")
    second.clock = clock
    raters = [enter(first, str(number)) for number in range(6)]
    for at in range(4):
        own = (first, second)[at % 2]
        with own.together():
            pairs = [own.serve(rater) for rater in raters]
        for pair in pairs:
            watch(own, clock, pair)
        with own.together():
            for pair in pairs:
                vote(own, pair)
    first.state(raters[0])
    second.state(raters[0])
    assert first._follower.tally.pairs == second._follower.tally.pairs == tally_of(first, study_of()).pairs
    assert len(first.votes()) == 24
    second.close()
