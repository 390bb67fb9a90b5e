"""Many hands at once: threads on one store, and processes that share a database."""

import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storyreel.arena.store.clock import Clock
from storyreel.arena.store.exchange import Archive
from storyreel.arena.store.records import TooEarly, VoteRefused
from storyreel.arena.store.store import Store
from storyreel.arena.study import Study

from .conftest import HandClock, enter, store_on, study_of, watch

HANDS = 8


def at_once(calls: list[Callable[[], object]]) -> list[object]:
    """What each call returned, or the refusal that it raised."""

    def attempt(call: Callable[[], object]) -> object:
        try:
            return call()
        except VoteRefused as refused:
            return str(refused)

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(attempt, calls))


def test_parallel_requests_of_a_rater_get_one_pair(store: Store) -> None:
    rater = enter(store)
    pairs = at_once([lambda: store.serve(rater).pair_id] * HANDS)
    assert len(set(pairs)) == 1


def test_parallel_votes_leave_one_row(store: Store, clock: HandClock) -> None:
    rater = enter(store)
    pair = store.serve(rater)
    watch(store, clock, pair)
    same = at_once([lambda: store.vote(pair.pair_id, rater, {"looks": "model_a"})] * HANDS)
    assert len(set(same)) == 1
    assert len(store.votes()) == 1


def test_parallel_votes_that_differ_leave_the_first(store: Store, clock: HandClock) -> None:
    rater = enter(store)
    pair = store.serve(rater)
    watch(store, clock, pair)

    def voting(side: str) -> Callable[[], object]:
        return lambda: store.vote(pair.pair_id, rater, {"looks": side})

    results = at_once([voting(side) for side in ("model_a", "model_b") * (HANDS // 2)])
    (vote,) = store.votes()
    assert len({one for one in results if not isinstance(one, str)}) == 1
    assert sum(isinstance(one, str) for one in results) == HANDS // 2
    assert vote.winner in ("model_a", "model_b")


def test_raters_in_parallel(make_store: Callable[..., Store]) -> None:
    study = study_of(stories=("sea", "hill"))
    tiny = {(method, story): 1e-9 for method in study.methods for story in study.stories}
    store = make_store(study, clip_seconds=tiny)
    store.clock = Clock()
    raters = [enter(store, str(number)) for number in range(HANDS)]
    at_once([lambda rater=rater: rate_everything(store, rater) for rater in raters])
    check_votes(store, raters, study)


def test_processes_that_share_a_database(
    make_store: Callable[..., Store], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A new process finds this module by its name, which begins at the folder of all tests.
    monkeypatch.syspath_prepend(Path(__file__).parents[3])
    study = study_of(stories=("sea", "hill"))
    tiny = {(method, story): 1e-9 for method in study.methods for story in study.stories}
    store = make_store(study, clip_seconds=tiny)
    raters = [enter(store, str(number)) for number in range(4)]
    spawning = multiprocessing.get_context("spawn")
    workers = [spawning.Process(target=work, args=(folder / "study.db", study, tiny, raters)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    check_votes(store, raters, study)


def work(database: Path, study: Study, seconds: dict[tuple[str, str], float], raters: list[str]) -> None:
    """Every rater's votes, in an order of this process's own: two tabs that reach two servers."""
    store = store_on(database, study, clip_seconds=seconds)
    own = raters * 6
    random.shuffle(own)
    for rater in own:
        rate_one(store, rater)
    store.close()


def rate_everything(store: Store, rater: str) -> None:
    while rate_one(store, rater):
        pass


def rate_one(store: Store, rater: str) -> bool:
    pair = store.serve(rater)
    if pair is None:
        return False
    try:
        vote_once_watched(store, pair.pair_id, rater)
    except Exception as error:
        # The other process answered the pair in between; nothing else may happen.
        if "takes no answer" not in str(error):
            raise
    return True


def vote_once_watched(store: Store, pair_id: str, rater: str) -> None:
    """Again where it is too early: the clocks of two processes differ by as long as either was kept from reading it."""
    while True:
        store.play(pair_id, rater)
        store.play(pair_id, rater, 1, 1)
        try:
            store.vote(pair_id, rater, {"looks": "model_a"})
            return
        except TooEarly:
            time.sleep(0.001)


def check_votes(store: Store, raters: list[str], study: Study) -> None:
    """Every rater judged every pair of every story once, the sides are even, the chain holds."""
    votes = store.votes()
    seen = Counter((vote.judge, vote.story, frozenset((vote.model_a, vote.model_b))) for vote in votes)
    assert set(seen.values()) == {1}
    assert len(seen) == len(raters) * len(study.stories) * len(study.method_pairs)
    for rater in raters:
        place = study.methods.index
        left_first = Counter(place(vote.model_a) < place(vote.model_b) for vote in votes if vote.judge == rater)
        assert abs(left_first[True] - left_first[False]) <= 1
    archive = Archive(store._database.name)
    assert archive.verify().bad == ""
    archive.close()
