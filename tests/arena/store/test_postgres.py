"""The store on a real PostgreSQL server, started for these tests in a folder of its own."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from storyreel.arena.store.exchange import Archive
from storyreel.arena.store.records import Outcome, StoreUnavailable, VoteRefused
from storyreel.arena.store.store import Store
from storyreel.errors import DataError

from .conftest import HandClock, answer, answer_all, enter, store_on, study_of, watch

pytest.importorskip("psycopg", reason="needs psycopg")


def as_server_user(folder: Path) -> list[str]:
    """PostgreSQL does not run as root: what to put before its commands."""
    if os.geteuid() != 0:
        return []
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        if shutil.which("setpriv"):
            os.chown(folder, user.pw_uid, user.pw_gid)
            return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    pytest.skip("PostgreSQL does not run as root, and there is no other user to run it as")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a server without its database's name."""
    if not (shutil.which("initdb") and shutil.which("postgres")):
        pytest.skip("PostgreSQL (initdb, postgres) is not installed")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        before = as_server_user(folder)
        data = folder / "data"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
        subprocess.run(
            [*before, "initdb", "-D", data, "-U", "arena", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True, timeout=120, **quiet,
        )  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        running = subprocess.Popen(
            [
                *before,
                "postgres",
                "-D",
                data,
                "-p",
                str(port),
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "fsync=off",
                "-k",
                folder,
            ],
            **quiet,
        )
        url = f"postgresql://arena@127.0.0.1:{port}/"
        try:
            wait_for(url)
            yield url
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(60)


def wait_for(url: str) -> None:
    import psycopg

    for _ in range(300):
        try:
            psycopg.connect(url + "postgres").close()
            return
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise TimeoutError("PostgreSQL did not start")


@pytest.fixture
def database(server: str, request: pytest.FixtureRequest) -> str:
    """A fresh database's URL."""
    import psycopg

    name = f"study_{abs(hash(request.node.name))}"
    with psycopg.connect(server + "postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server + name


def test_a_whole_session(make_store: Callable[..., Store], clock: HandClock, database: str) -> None:
    store = make_store(database=database)
    rater = enter(store)
    first = store.serve(rater)
    store.stalled(first.pair_id, rater)
    pairs = answer_all(store, clock, rater)
    assert len(pairs) == 9
    receipt = store.vote(pairs[0].pair_id, rater, {"looks": "model_a"})
    assert receipt.number == 1
    with pytest.raises(VoteRefused):
        store.vote(pairs[0].pair_id, rater, {"looks": "model_b"})
    other = enter(store, "other")
    store.serve(other)
    reopened = make_store(database=database)
    assert reopened.serve(other).pair_id == store.serve(other).pair_id
    assert reopened.release(other) == 1
    assert reopened.state(rater).outcome is Outcome.COMPLETED
    assert store.alarms() == []
    store.state(rater)
    assert reopened._follower.tally.pairs == store._follower.tally.pairs == [[3, 3, 3]]


def test_votes_stay(make_store: Callable[..., Store], clock: HandClock, database: str) -> None:
    store = make_store(database=database)
    answer(store, clock, store.serve(enter(store)))
    for statement in ("UPDATE votes SET winner = 'tie'", "DELETE FROM votes", "TRUNCATE votes"):
        with pytest.raises((DBAPIError, StoreUnavailable), match="never changed or removed"):
            run(store, statement)
    archive = Archive(database)
    assert (archive.verify().votes, archive.verify().bad) == (1, "")
    with archive._database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE votes DISABLE TRIGGER ALL")
        connection.exec_driver_sql("UPDATE votes SET winner = 'tie'")
    assert "vote 1 " in archive.verify().bad
    archive.close()


def run(store: Store, statement: str) -> None:
    with store._database.writing() as connection:
        connection.exec_driver_sql(statement)


def test_the_same_votes_have_the_same_chain_on_both(
    make_store: Callable[..., Store], clock: HandClock, database: str, folder: Path
) -> None:
    store = make_store(database=database)
    answer_all(store, clock, enter(store))
    ours, theirs = Archive(database), Archive(folder / "copy.db", create=True)
    theirs.import_votes(ours.votes(), ours.study())
    assert theirs.votes() == ours.votes()
    assert theirs.verify().head == ours.verify().head
    ours.close()
    theirs.close()


def test_two_servers_and_many_threads(make_store: Callable[..., Store], clock: HandClock, database: str) -> None:
    stores = [make_store(database=database) for _ in range(2)]
    rater = enter(stores[0])
    with ThreadPoolExecutor(8) as pool:
        pairs = list(pool.map(lambda at: stores[at % 2].serve(rater).pair_id, range(16)))
        assert len(set(pairs)) == 1
        watch(stores[0], clock, stores[0].serve(rater))
        receipts = list(pool.map(lambda at: stores[at % 2].vote(pairs[0], rater, {"looks": "model_a"}), range(16)))
    assert len(set(receipts)) == 1
    assert len(stores[1].votes()) == 1


def test_an_error_among_calls_that_share_a_transaction_is_alone(
    make_store: Callable[..., Store], clock: HandClock, database: str
) -> None:
    store = make_store(database=database)
    pairs = [store.serve(enter(store, name)) for name in ("ann", "ben", "cat")]
    for pair in pairs:
        watch(store, clock, pair)

    def vote(at: int) -> int:
        return store.vote(pairs[at].pair_id, pairs[at].served.rater, {"looks": "model_a"}).number

    with store.together():
        assert vote(0) == 1
        with pytest.raises(StoreUnavailable, match="does not exist"):
            run(store, "SELECT nothing_of_this_name FROM votes")
        with pytest.raises(VoteRefused):
            store.vote(pairs[1].pair_id, pairs[1].served.rater, {"looks": "tie"})
        assert [vote(1), vote(2)] == [2, 3]
        assert store.serve(pairs[0].served.rater).pair_id != pairs[0].pair_id
    assert [one.pair_id for one in store.votes()] == [pair.pair_id for pair in pairs]


def test_what_is_refused(make_store: Callable[..., Store], database: str, server: str) -> None:
    store = make_store(database=database)
    with pytest.raises(DataError, match="another study"):
        make_store(study_of(votes_per_axis=30), database=database)
    run(store, "UPDATE form SET number = 99")
    with pytest.raises(DataError, match="Install a newer version"):
        make_store(database=database)
    with pytest.raises(StoreUnavailable, match="does not exist"):
        store_on(server + "missing")


def test_a_password_is_never_told() -> None:
    with pytest.raises(StoreUnavailable) as refused:
        store_on("postgresql://arena:geheim@127.0.0.1:1/study")
    assert "geheim" not in str(refused.value)
