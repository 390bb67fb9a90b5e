"""The store's thread: calls that gather while it is busy, and what each of them is told."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event

from storyreel.arena.store import Store
from storyreel.arena.store.records import StoreUnavailable
from storyreel.arena.study import AXES, Study
from storyreel.arena.web.turns import MOST_TOGETHER, Turns

STUDY = Study(("ttt", "mamba"), ("sea", "hill", "town"), axes=AXES[:1])


@pytest.fixture
def store(tmp_path: Path):
    seconds = {(method, story): 1e-9 for method in STUDY.methods for story in STUDY.stories}
    made = Store.open(tmp_path / "study.db", STUDY, clips_hash="c", clip_seconds=seconds, seed=1, key=b"k" * 16)
    yield made
    made.close()


@pytest.fixture
def commits(store):
    """Grows by one a transaction."""
    told = []
    event.listen(store._database.engine, "commit", lambda connection: told.append(connection))
    return told


def gathered(store: Store, functions: list[Callable[[], object]]) -> list[object]:
    """What each function returns or raises that was called while the store's thread was held up."""

    async def run() -> list[object]:
        turns, held = Turns(store), threading.Event()
        first = asyncio.ensure_future(turns.lightly(held.wait))
        await asyncio.sleep(0.05)
        rest = [asyncio.ensure_future(turns(function)) for function in functions]
        await asyncio.sleep(0)
        held.set()
        await asyncio.wait([first])
        return await asyncio.gather(*rest, return_exceptions=True)

    return asyncio.run(run())


def ready(store: Store, number: int) -> tuple[str, str]:
    """(pair, rater) that may vote."""
    rater = store.admit(f"token {number}").rater
    store.consent(rater, True)
    store.comprehension(rater, True)
    pair = store.serve(rater)
    store.play(pair.pair_id, rater)
    store.play(pair.pair_id, rater, 1, 1)
    return pair.pair_id, rater


def votes(store: Store, count: int) -> list[Callable[[], object]]:
    own = [ready(store, number) for number in range(count)]
    axis = STUDY.axis_names[0]
    return [lambda pair=pair, rater=rater: store.vote(pair, rater, {axis: "model_a"}) for pair, rater in own]


def test_votes_that_wait_together_are_one_transaction(store, commits):
    waiting = votes(store, 12)
    commits.clear()
    receipts = gathered(store, waiting)
    assert [receipt.number for receipt in receipts] == list(range(1, 13))
    assert len(commits) == 2, "that of the call that held the others up, and theirs"
    assert len(store.votes()) == 12


def test_no_more_than_so_many_share_one(store, commits):
    waiting = [lambda: store.alarms()] * (2 * MOST_TOGETHER + 1)
    commits.clear()
    assert gathered(store, waiting) == [[]] * len(waiting)
    kept = [one for one in commits if one.get_execution_options().get("writing")]
    assert len(kept) == 4


def test_an_error_reaches_its_own_caller_alone(store):
    waiting = votes(store, 3)

    def broken() -> None:
        raise KeyError("a mistake")

    first, mistake, *rest = gathered(store, [waiting[0], broken, *waiting[1:]])
    assert isinstance(mistake, KeyError)
    assert [receipt.number for receipt in (first, *rest)] == [1, 2, 3]


def test_none_is_answered_before_all_are_on_the_disk(store):
    answered: list[int] = []
    waiting = votes(store, 4)

    async def run() -> None:
        turns = Turns(store)

        def seen(connection: object) -> None:
            answered.append(sum(task.done() for task in tasks))

        tasks = [asyncio.ensure_future(turns(one)) for one in waiting]
        event.listen(store._database.engine, "commit", seen)
        await asyncio.gather(*tasks)

    asyncio.run(run())
    # Calls may go in one transaction or in two, but never is one of the last answered before it ends.
    assert answered[-1] < 4
    assert len(store.votes()) == 4


def test_a_disk_that_fails_at_the_end_is_told_to_all(store):
    waiting = votes(store, 5)

    def failing(connection: object) -> None:
        raise StoreUnavailable("the disk is gone. Nothing was kept.")

    event.listen(store._database.engine, "commit", failing)
    told = gathered(store, waiting)
    event.remove(store._database.engine, "commit", failing)
    assert [str(one) for one in told] == ["the disk is gone. Nothing was kept."] * 5
    assert len({id(one) for one in told}) == 5
    assert store.votes() == []
    assert [receipt.number for receipt in gathered(store, waiting)] == [1, 2, 3, 4, 5]


def test_a_disk_that_is_full_in_the_middle_is_told_to_all_who_lost_by_it(store):
    """What was answered is kept, and what was kept is answered, whichever call the disk is full for."""
    waiting = votes(store, 40)
    with store._database.reading() as connection:
        limit = connection.exec_driver_sql("PRAGMA page_count").scalar_one() + 2

    def fill(connection: object, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={limit}").close()

    event.listen(store._database.engine, "checkout", fill)
    told = gathered(store, waiting)
    refused = [one for one in told if isinstance(one, StoreUnavailable)]
    assert refused
    assert len(refused) + len(store.votes()) == 40
    limit += 100
    again = gathered(store, waiting)
    assert sorted(receipt.number for receipt in again) == list(range(1, 41))


def test_calls_of_several_loops_and_of_one_that_has_ended(store):
    turns, held = Turns(store), threading.Event()

    async def leave() -> None:
        task = asyncio.ensure_future(turns.lightly(held.wait))
        await asyncio.sleep(0.05)
        task.cancel()

    asyncio.run(leave())
    held.set()
    found: list[object] = []

    async def ask() -> None:
        found.append(await turns.lightly(store.alarms))

    threads = [threading.Thread(target=asyncio.run, args=(ask(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[]] * 4
