"""A server killed at any moment: no acknowledged vote is lost or doubled, and it is up again at once."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from storyreel.arena.store.exchange import Archive

from .conftest import store_on, study_of

RATERS = 50
SECONDS_TO_COME_BACK = 2.0
BEFORE = """
import asyncio
from storyreel.arena.web.turns import Turns
"""
OPENED = """
import sys, threading
from storyreel.arena.store.store import Store
from storyreel.arena.study import Axis, Study

database, raters, at_once = sys.argv[1], *map(int, sys.argv[2:])
study = Study(
    ("ttt", "mamba", "window"), tuple(map(str, range(40))), (Axis("looks", "Which looks better?"),), votes_per_axis=120
)
seconds = {(method, story): 1e-9 for method in study.methods for story in study.stories}
key = b"a key for tests, not a secret"
store = Store.open(database, study, clips_hash="clips", clip_seconds=seconds, seed=3, key=key)
print("up", flush=True)

def enter(number):
    rater = store.admit(f"token {number}").rater
    store.consent(rater, True)
    return store.comprehension(rater, True).rater

def vote(pair, rater):
    return store.vote(pair, rater, {"looks": "model_b"}, left_seconds=1, right_seconds=1)
"""
ALONE = """
telling = threading.Lock()

def rate(own):
    names = {}
    while True:
        for number in own:
            rater = names[number] = names.get(number) or enter(number)
            pair = store.serve(rater)
            if pair is None:
                continue
            store.play(pair.pair_id, rater)
            receipt = vote(pair.pair_id, rater)
            with telling:
                print(receipt.number, pair.pair_id, receipt.hash, flush=True)

for at in range(at_once):
    threading.Thread(target=rate, args=(range(at, raters, at_once),), daemon=True).start()
threading.Event().wait()
"""
TOGETHER = """
async def rate(turns, own):
    names = {}
    while True:
        for number in own:
            rater = names[number] = names.get(number) or await turns(enter, number)
            pair = await turns.lightly(store.serve, rater)
            if pair is None:
                continue
            await turns.lightly(store.play, pair.pair_id, rater)
            receipt = await turns(vote, pair.pair_id, rater)
            print(receipt.number, pair.pair_id, receipt.hash, flush=True)

async def rate_all():
    turns = Turns(store)
    await asyncio.gather(*(rate(turns, range(at, raters, at_once)) for at in range(at_once)))

asyncio.run(rate_all())
"""
AT_ONCE = {ALONE: 4, TOGETHER: 16}


def kill_often(database: Path, way: str, kills: int, seed: int, raters: int = RATERS) -> None:
    """Starts the server `kills` times and kills it at a random moment; checks after each what the database holds."""
    random_moment = random.Random(seed)
    study = study_of(stories=tuple(map(str, range(40))), votes_per_axis=120)
    acknowledged: dict[str, str] = {}
    slowest = 0.0
    script = BEFORE * (way == TOGETHER) + OPENED + way
    command = [sys.executable, "-c", script, str(database), str(raters), str(AT_ONCE[way])]
    for _ in range(kills):
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        assert server.stdout.readline() == "up\n"
        time.sleep(random_moment.uniform(0, 1.0))
        server.send_signal(signal.SIGKILL)
        told = [line.split() for line in server.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        server.stdout.close()
        assert server.wait() == -signal.SIGKILL
        acknowledged |= {pair: receipt for _, pair, receipt in told}
        began = time.perf_counter()
        store = store_on(database, study, clip_seconds={(m, s): 1e-9 for m in study.methods for s in study.stories})
        slowest = max(slowest, time.perf_counter() - began)
        assert slowest < SECONDS_TO_COME_BACK
        votes = store.votes()
        assert set(Counter(vote.pair_id for vote in votes).values()) <= {1}
        assert acknowledged.keys() <= {vote.pair_id for vote in votes}
        store.close()
    archive = Archive(database)
    verdict = archive.verify()
    for receipt in list(acknowledged.values())[-3:]:
        assert archive.verify(receipt).bad == ""
    archive.close()
    assert verdict.bad == ""
    assert len(acknowledged) > kills
    print(
        f"{kills} kills, {len(acknowledged)} votes acknowledged, {verdict.votes} kept, slowest return {slowest:.2f} s"
    )
    assert len(acknowledged) <= verdict.votes <= len(acknowledged) + kills * AT_ONCE[way]


@pytest.mark.parametrize("way", [ALONE, TOGETHER], ids=["alone", "together"])
def test_ten_kills(folder: Path, way: str) -> None:
    kill_often(folder / "study.db", way, 10, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize(("way", "raters"), [(ALONE, RATERS), (TOGETHER, 8 * RATERS)], ids=["alone", "together"])
def test_two_hundred_kills(tmp_path: Path, way: str, raters: int) -> None:
    kill_often(tmp_path / "study.db", way, 200, seed=2, raters=raters)
