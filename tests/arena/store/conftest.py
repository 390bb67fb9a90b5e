"""Studies and stores to test on, with a clock that is set by hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from storyreel.arena.store.records import OpenPair, Receipt
from storyreel.arena.store.store import Store
from storyreel.arena.study import Axis, Gold, Study

KEY = b"a key for tests, not a secret"
CLIP_SECONDS = 60.0


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def move(self, seconds: float) -> None:
        self.time += seconds


def study_of(**change) -> Study:
    fields = {"methods": ("ttt", "mamba", "window"), "stories": ("sea", "hill", "town")}
    return Study(**(fields | {"axes": (Axis("looks", "Which looks better?"),), "votes_per_axis": 9} | change))


def gold_study() -> Study:
    return study_of(stories=tuple(map(str, range(12))), votes_per_axis=24, gold=(Gold("0", "ttt", "mamba"),))


def seconds_of(study: Study) -> dict[tuple[str, str], float]:
    return {(method, story): CLIP_SECONDS for method in study.methods for story in study.stories}


def store_on(database: str | Path, study: Study | None = None, **change) -> Store:
    study = study or study_of()
    options = {"clips_hash": "clips", "clip_seconds": seconds_of(study), "seed": 3, "key": KEY} | change
    return Store.open(database, study, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: waiting for the disk is not what these tests are about."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir=memory) as made:
        yield Path(made)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def make_store(folder: Path, clock: HandClock) -> Iterator[Callable[..., Store]]:
    """A store on the database of this test; called again, the same database is opened again."""
    made: list[Store] = []

    def make(study: Study | None = None, database: str | Path = folder / "study.db", **change) -> Store:
        made.append(store_on(database, study, **change))
        made[-1].clock = clock
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    return make_store()


def enter(store: Store, name: str = "ann") -> str:
    """The hash of a rater who may rate."""
    rater = store.admit(f"token of {name}").rater
    store.consent(rater, True)
    return store.comprehension(rater, True).rater


def watch(store: Store, clock: HandClock, pair: OpenPair, pause: float = 2.0) -> None:
    """Plays both clips to the end, and thinks."""
    store.play(pair.pair_id, pair.served.rater)
    clock.move(CLIP_SECONDS)
    store.play(pair.pair_id, pair.served.rater, CLIP_SECONDS, CLIP_SECONDS)
    clock.move(pause)


def answer(store: Store, clock: HandClock, pair: OpenPair, winner: str = "model_a", pause: float = 2.0) -> Receipt:
    watch(store, clock, pair, pause)
    return store.vote(pair.pair_id, pair.served.rater, dict.fromkeys(pair.served.axes, winner))


def answer_all(store: Store, clock: HandClock, rater: str) -> list[OpenPair]:
    """Votes until nothing is left: sides in turn, thinking for a while that varies, gold pairs right."""
    pairs = []
    while pair := store.serve(rater):
        pairs.append(pair)
        side = "model_a" if len(pairs) % 2 else "model_b"
        if pair.served.kind == "gold":
            side = "model_a" if pair.served.left == "ttt" else "model_b"
        answer(store, clock, pair, side, pause=1.0 + len(pairs) % 4)
    return pairs
