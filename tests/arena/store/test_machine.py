"""Raters who serve, watch, vote, click twice, reload, stall and leave in any order, on two stores of one database."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from storyreel.arena.store.exchange import Archive
from storyreel.arena.store.records import OpenPair, PairRefused, Receipt, TooEarly, VoteRefused

from .conftest import CLIP_SECONDS, HandClock, enter, store_on, study_of

RATERS = 3
sides = st.sampled_from(["model_a", "model_b"])
who = st.integers(0, RATERS - 1)
which = st.integers(0, 1)


class Study(RuleBasedStateMachine):
    """Beside the stores goes a plain record of what they must hold."""

    @initialize()
    def begin(self) -> None:
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
        self.clock = HandClock()
        self.study = study_of(stories=("sea", "hill"), votes_per_axis=4, repeat_after=3)
        self.stores = [self.opened(), self.opened()]
        self.raters = [enter(self.stores[0], str(number)) for number in range(RATERS)]
        self.open: list[OpenPair | None] = [None] * RATERS
        self.watched = [False] * RATERS
        self.receipts: dict[str, tuple[int, str, Receipt]] = {}
        self.stalled: list[set[str]] = [set() for _ in range(RATERS)]

    def opened(self):
        store = store_on(self.folder / "study.db", self.study)
        store.clock = self.clock
        return store

    @rule(at=who, store=which)
    def serve(self, at: int, store: int) -> None:
        pair = self.stores[store].serve(self.raters[at])
        if self.open[at]:
            assert pair is not None
            assert pair.pair_id == self.open[at].pair_id
        elif pair:
            assert pair.pair_id not in self.receipts
            if pair.attempt > 1:
                assert pair.pair_id in self.stalled[at]
                self.stalled[at].discard(pair.pair_id)
            self.open[at], self.watched[at] = pair, False

    @rule(at=who, store=which, share=st.sampled_from([0.3, 1.0]))
    def watch(self, at: int, store: int, share: float) -> None:
        if pair := self.open[at]:
            self.stores[store].play(pair.pair_id, self.raters[at])
            self.clock.move(share * CLIP_SECONDS)
            played = self.stores[store].play(pair.pair_id, self.raters[at], CLIP_SECONDS, CLIP_SECONDS)
            self.watched[at] = played.ready

    @rule(at=who, store=which, side=sides)
    def vote(self, at: int, store: int, side: str) -> None:
        if pair := self.open[at]:
            given = dict.fromkeys(pair.served.axes, side)
            if not self.watched[at]:
                with pytest.raises(TooEarly):
                    self.stores[store].vote(pair.pair_id, self.raters[at], given)
                return
            receipt = self.stores[store].vote(pair.pair_id, self.raters[at], given)
            self.receipts[pair.pair_id] = (at, side, receipt)
            self.open[at] = None

    @precondition(lambda self: self.receipts)
    @rule(store=which, side=sides, data=st.data())
    def click_again(self, store: int, side: str, data: st.DataObject) -> None:
        pair_id = data.draw(st.sampled_from(sorted(self.receipts)))
        at, given, receipt = self.receipts[pair_id]
        if side == given:
            assert self.stores[store].vote(pair_id, self.raters[at], {"looks": side}) == receipt
        else:
            with pytest.raises(VoteRefused):
                self.stores[store].vote(pair_id, self.raters[at], {"looks": side})

    @rule(at=who, other=who, store=which)
    def meddle(self, at: int, other: int, store: int) -> None:
        if at != other and (pair := self.open[at]):
            with pytest.raises(PairRefused):
                self.stores[store].vote(pair.pair_id, self.raters[other], {"looks": "model_a"})

    @rule(at=who, store=which)
    def stall(self, at: int, store: int) -> None:
        if pair := self.open[at]:
            self.stores[store].stalled(pair.pair_id, self.raters[at])
            if pair.attempt < 3:
                self.stalled[at].add(pair.pair_id)
            self.open[at] = None

    @rule(at=who, store=which)
    def leave(self, at: int, store: int) -> None:
        given_up = self.stores[store].release(self.raters[at])
        assert given_up == len(self.stalled[at]) + (self.open[at] is not None)
        self.open[at], self.stalled[at] = None, set()

    @rule(store=which)
    def restart(self, store: int) -> None:
        self.stores[store].close()
        self.stores[store] = self.opened()

    @invariant()
    def votes_are_those_with_a_receipt(self) -> None:
        if hasattr(self, "stores"):
            held = {vote.pair_id: (vote.judge, vote.winner) for vote in self.stores[0].votes()}
            assert held == {pair: (self.raters[at], side) for pair, (at, side, _) in self.receipts.items()}

    def teardown(self) -> None:
        if not hasattr(self, "stores"):
            return
        for store in self.stores:
            store.state(self.raters[0])
        first, second = (store._follower.tally for store in self.stores)
        assert (first.pairs, first.lean, first.stories) == (second.pairs, second.lean, second.stories)
        for store in self.stores:
            store.close()
        archive = Archive(self.folder / "study.db")
        verdict = archive.verify()
        archive.close()
        shutil.rmtree(self.folder)
        assert (verdict.votes, verdict.bad) == (len(self.receipts), "")


TestStudy = Study.TestCase
TestStudy.settings = settings(
    max_examples=12, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
