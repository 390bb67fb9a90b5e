"""What a database is opened with, what it refuses, and what happens when it cannot take a change."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from storyreel.arena.store.clock import Clock
from storyreel.arena.store.database import Database, is_database
from storyreel.arena.store.exchange import Archive
from storyreel.arena.store.migrations import MIGRATIONS, Migration, form_of, migrate
from storyreel.arena.store.records import StoreUnavailable
from storyreel.arena.store.store import Store
from storyreel.arena.study import Axis, Gold
from storyreel.errors import DataError

from .conftest import HandClock, answer, enter, store_on, study_of, watch


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"methods": ("ttt", "mamba", "swa")}, "methods differ .window is missing here, swa is new"),
        ({"stories": ("sea", "hill")}, "stories differ .town is missing here"),
        ({"stories": ("hill", "sea", "town")}, "the order of stories differs"),
        ({"axes": (Axis("looks", "Which is nicer?"),)}, "axes differ"),
        ({"votes_per_axis": 30}, "votes_per_axis is 9 there and 30 here"),
        ({"gold": (Gold("sea", "ttt", "mamba"),)}, "gold"),
    ],
)
def test_another_study_is_refused(make_store: Callable[..., Store], change: dict, complaint: str) -> None:
    make_store()
    with pytest.raises(DataError, match=complaint):
        make_store(study_of(**change))
    make_store()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [({"clips_hash": "new"}, "other clips"), ({"seed": 4}, "seed 3, not 4"), ({"key": b"k" * 16}, "another key")],
)
def test_other_clips_seed_or_key_are_refused(make_store: Callable[..., Store], change: dict, complaint: str) -> None:
    make_store()
    with pytest.raises(DataError, match=complaint):
        make_store(**change)


def test_a_newer_database_is_refused_in_one_line(make_store: Callable[..., Store], folder: Path) -> None:
    make_store().close()
    with sqlite3.connect(folder / "study.db") as connection:
        connection.execute("UPDATE form SET number = 99")
    connection.close()
    for opening in (make_store, lambda: Archive(folder / "study.db")):
        with pytest.raises(DataError, match=r"has form 99, but .* Install a newer version") as refused:
            opening()
        assert "\n" not in str(refused.value)


def test_an_older_database_is_brought_up_to_date_once(folder: Path) -> None:
    newer = (*MIGRATIONS, Migration(("ALTER TABLE raters ADD COLUMN country TEXT",)))
    database = Database(folder / "old.db")
    for _ in range(2):
        with database.writing() as connection:
            migrate(connection, "old.db", newer)
            assert form_of(connection) == len(newer)
            assert connection.exec_driver_sql("SELECT country FROM raters").all() == []
    database.close()


def test_a_migration_that_fails_leaves_nothing(folder: Path) -> None:
    database = Database(folder / "old.db")
    broken = (*MIGRATIONS, Migration(("ALTER TABLE raters ADD COLUMN country TEXT", "no SQL at all")))
    with pytest.raises(StoreUnavailable), database.writing() as connection:
        migrate(connection, "old.db", broken)
    with database.reading() as connection:
        assert form_of(connection) == len(MIGRATIONS)
        columns = [row[1] for row in connection.exec_driver_sql("PRAGMA table_info(raters)")]
    assert "country" not in columns
    database.close()


def test_what_is_no_database_of_the_arena(folder: Path) -> None:
    text = folder / "notes.txt"
    text.write_text("no database at all, but long enough to have a header")
    with pytest.raises(DataError, match="is no database"):
        Archive(text)
    with pytest.raises(DataError, match="is no file"):
        Archive(folder / "missing.db")
    assert not (folder / "missing.db").exists()
    with pytest.raises(DataError, match="is no folder"):
        Database(folder / "missing" / "study.db")
    with pytest.raises(DataError, match="mysql is no database of the arena"):
        Database("mysql://localhost/study")
    other = sqlite3.connect(folder / "other.db")
    other.execute("CREATE TABLE votes (number INTEGER)")
    other.close()
    with pytest.raises(DataError, match="something else"):
        Database(folder / "other.db")
    assert is_database("postgresql://localhost/study")
    assert is_database(str(folder / "other.db"))
    assert not is_database(str(text))


def test_sqlite_syncs_fully_for_a_vote(store: Store) -> None:
    with store._database.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    with store._database.writing(durable=False) as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1


def test_a_full_database_refuses_and_loses_nothing(make_store: Callable[..., Store], clock: HandClock) -> None:
    store = make_store(study_of(stories=tuple(map(str, range(20))), votes_per_axis=60))
    rater = enter(store)
    answer(store, clock, store.serve(rater))
    with store._database.reading() as connection:
        limit = connection.exec_driver_sql("PRAGMA page_count").scalar_one() + 2

    def fill(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={limit}").close()

    event.listen(store._database.engine, "checkout", fill)
    receipts, refused = 1, ""
    while not refused:
        try:
            receipts = answer(store, clock, store.serve(rater)).number
        except StoreUnavailable as error:
            refused = str(error)
    assert "database or disk is full. Nothing was kept" in refused
    assert len(store.votes()) == receipts < 60
    limit += 100
    assert answer(store, clock, store.serve(rater)).number == receipts + 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 400 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if not shutil.which("mount") or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", place], capture_output=True, timeout=60
    )
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True, timeout=60)


def test_a_full_disk_refuses_and_loses_nothing(small_disk: Path, clock: HandClock) -> None:
    store = store_on(small_disk / "study.db")
    store.clock = clock
    rater = enter(store)
    answer(store, clock, store.serve(rater))
    pair = store.serve(rater)
    watch(store, clock, pair)
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space"):
        ballast.write_bytes(bytes(1 << 20))
    with pytest.raises(StoreUnavailable, match="Nothing was kept"):
        store.vote(pair.pair_id, rater, {"looks": "model_a"})
    ballast.unlink()
    assert store.vote(pair.pair_id, rater, {"looks": "model_a"}).number == 2
    assert [vote.winner for vote in store.votes()] == ["model_a", "model_a"]
    store.close()
    archive = Archive(small_disk / "study.db")
    assert archive.verify().bad == ""
    archive.close()


def test_a_locked_database_is_unavailable(
    make_store: Callable[..., Store], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storyreel.arena.store.database.BUSY_SECONDS", 0)
    store = make_store()
    rater = enter(store)
    other = sqlite3.connect(folder / "study.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        store.serve(rater)
    other.execute("ROLLBACK")
    other.close()
    assert store.serve(rater)


def test_the_clock_never_goes_back(make_store: Callable[..., Store], folder: Path) -> None:
    wall, ticks = [1000.0], [5.0]
    clock = Clock(0.0, lambda: wall[0], lambda: ticks[0])
    assert clock.now() == 1000
    wall[0], ticks[0] = 400, 15
    assert clock.now() == 1010
    assert Clock(clock.now(), lambda: wall[0], lambda: ticks[0]).now() == 1010
    late = HandClock(4_000_000_000.0)
    store = make_store()
    store.clock = late
    rater = enter(store)
    answer(store, late, store.serve(rater))
    reopened = store_on(folder / "study.db")
    assert reopened.clock.now() >= late.time
    reopened.close()
