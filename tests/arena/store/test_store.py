"""A rater's way through the store, and what it refuses."""

from collections.abc import Callable
from pathlib import Path

import pytest

from storyreel.arena.pairing import Tally
from storyreel.arena.store.records import (
    Outcome,
    PairRefused,
    StepRefused,
    StoreRefusal,
    TooEarly,
    VoteRefused,
)
from storyreel.arena.store.store import Store
from storyreel.arena.study import Axis, Study
from storyreel.errors import ConfigError

from .conftest import CLIP_SECONDS, HandClock, answer, answer_all, enter, gold_study, study_of, watch


def test_a_rater_gives_every_vote_and_is_done(store: Store, clock: HandClock) -> None:
    rater = enter(store)
    pairs = answer_all(store, clock, rater)
    state = store.state(rater)
    assert len({(one.served.story, frozenset((one.served.left, one.served.right))) for one in pairs}) == 9
    assert (state.viewings_done, state.votes_left, state.finished) == (9, {"looks": 0}, True)
    assert state.outcome is Outcome.COMPLETED
    assert state.paid
    assert state.used
    assert store.serve(rater) is None
    assert [vote.judge for vote in store.votes()] == [rater] * 9


def test_the_identity_is_nowhere_in_the_database(make_store: Callable[..., Store], folder: Path) -> None:
    store = make_store()
    state = store.admit("prolific:5f1e0c7b9a", "prolific")
    assert store.admit("prolific:5f1e0c7b9a", "prolific").rater == state.rater
    assert store.admit("prolific:5f1e0c7b9b", "prolific").rater != state.rater
    store.close()
    for file in folder.iterdir():
        assert b"5f1e0c7b9a" not in file.read_bytes()


@pytest.mark.parametrize("steps", [(), ("consent",), ("device",), ("comprehension",), ("refusal",)])
def test_no_pair_before_consent_device_and_comprehension(store: Store, steps: tuple[str, ...]) -> None:
    rater = store.admit("a token").rater
    if "consent" in steps or "comprehension" in steps:
        store.consent(rater, True)
    if "comprehension" in steps:
        store.comprehension(rater, False)
    if "device" in steps:
        store.device(rater, False)
    if "refusal" in steps:
        store.consent(rater, False)
    assert not store.state(rater).may_rate
    with pytest.raises(StepRefused):
        store.serve(rater)


def test_outcomes_of_those_who_do_not_rate(store: Store) -> None:
    rater = store.admit("a token").rater
    with pytest.raises(StepRefused, match="consent"):
        store.comprehension(rater, True)
    assert store.consent(rater, False).outcome is Outcome.NO_CONSENT
    assert store.consent(rater, True).outcome is None
    assert store.comprehension(rater, False).outcome is None
    assert store.comprehension(rater, False).outcome is Outcome.SCREENED_OUT
    with pytest.raises(StepRefused, match="used up"):
        store.comprehension(rater, True)
    assert store.device(rater, False).outcome is Outcome.INCOMPATIBLE_DEVICE
    late = enter(store, "late")
    assert store.end(late, Outcome.FIXED_SCREENOUT).outcome is Outcome.FIXED_SCREENOUT
    assert store.state(late).paid
    with pytest.raises(StepRefused):
        store.serve(late)


def test_completed_is_not_for_the_asking(store: Store, clock: HandClock) -> None:
    rater = enter(store)
    for outcome in (Outcome.COMPLETED, Outcome.FAILED_ATTENTION_CHECK, Outcome.NO_CONSENT):
        with pytest.raises(StepRefused):
            store.end(rater, outcome)
    answer(store, clock, store.serve(rater))
    with pytest.raises(StepRefused):
        store.end(rater, Outcome.FIXED_SCREENOUT)
    assert store.state(rater).outcome is None


def test_a_reload_goes_on_at_the_same_pair(make_store: Callable[..., Store], clock: HandClock) -> None:
    store = make_store()
    rater = enter(store)
    pair = store.serve(rater)
    watch(store, clock, pair)
    again = make_store().serve(rater)
    assert (again.pair_id, again.started, again.attempt) == (pair.pair_id, True, 1)
    assert make_store().vote(pair.pair_id, rater, {"looks": "model_b"}).number == 1


def test_the_tally_of_a_reopened_store_is_that_of_the_old_one(
    make_store: Callable[..., Store], clock: HandClock
) -> None:
    store = make_store()
    for name in "abcde":
        rater = enter(store, name)
        for _ in range(3):
            answer(store, clock, store.serve(rater))
        store.serve(rater)
    store.release(rater)
    store.serve(enter(store, "f"))
    reopened = make_store()
    other = enter(reopened, "other")
    assert reopened.serve(other).served == store.serve(other).served
    old, new = store._follower.tally, reopened._follower.tally
    store.state(other), reopened.state(other)
    assert (old.pairs, old.lean, old.stories, old.raters) == (new.pairs, new.lean, new.stories, new.raters)
    assert isinstance(old, Tally)


def test_a_vote_needs_both_clips_watched_by_the_servers_clock(store: Store, clock: HandClock) -> None:
    rater = enter(store)
    pair = store.serve(rater)
    vote = {"looks": "model_a"}
    with pytest.raises(TooEarly) as refused:
        store.vote(pair.pair_id, rater, vote, left_seconds=60, right_seconds=60)
    assert refused.value.wait_seconds == pytest.approx(0.95 * CLIP_SECONDS)
    store.play(pair.pair_id, rater, 60, 60)
    clock.move(6)
    spoofed = store.play(pair.pair_id, rater, 60, 1e9)
    assert (spoofed.left_seconds, spoofed.right_seconds, spoofed.ready) == (6, 6, False)
    clock.move(94)
    with pytest.raises(TooEarly):
        store.vote(pair.pair_id, rater, vote)
    assert store.play(pair.pair_id, rater, 57, 20).wait_seconds == pytest.approx(37)
    assert store.play(pair.pair_id, rater, 3, 57).ready
    assert store.vote(pair.pair_id, rater, vote).number == 1
    stored = store.votes()[0]
    assert (stored.left_seconds, stored.right_seconds, stored.viewing_seconds) == (57, 57, 100)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_what_is_no_time_is_refused(store: Store, seconds: float) -> None:
    rater = enter(store)
    pair = store.serve(rater)
    with pytest.raises(ConfigError, match="left_seconds"):
        store.play(pair.pair_id, rater, seconds, 1)


def test_one_vote_a_pair(store: Store, clock: HandClock) -> None:
    rater = enter(store)
    pair = store.serve(rater)
    receipt = answer(store, clock, pair)
    clock.move(5)
    assert store.vote(pair.pair_id, rater, {"looks": "model_a"}) == receipt
    with pytest.raises(VoteRefused, match="already"):
        store.vote(pair.pair_id, rater, {"looks": "model_b"})
    assert store.serve(rater).pair_id != pair.pair_id
    assert store.vote(pair.pair_id, rater, {"looks": "model_a"}) == receipt
    assert len(store.votes()) == 1


def test_another_raters_pair_and_an_invented_one_look_the_same(store: Store, clock: HandClock) -> None:
    ann, bob = enter(store, "ann"), enter(store, "bob")
    pair = store.serve(ann)
    watch(store, clock, pair)
    said = set()
    for pair_id in (pair.pair_id, "0" * 32, "' OR 1=1 --", ""):
        for call in (store.play, store.stalled, lambda *who: store.vote(*who, {"looks": "model_a"})):
            with pytest.raises(PairRefused) as refused:
                call(pair_id, bob)
            said.add(str(refused.value))
    assert len(said) == 1
    assert store.votes() == []
    with pytest.raises(PairRefused):
        store.serve("f" * 32)


@pytest.mark.parametrize(
    "answers", [{}, {"looks": "tie"}, {"looks": "ttt"}, {"motion": "model_a"}, {"looks": "model_a", "weight": "9"}]
)
def test_answers_that_are_none(store: Store, clock: HandClock, answers: dict[str, str]) -> None:
    rater = enter(store)
    pair = store.serve(rater)
    watch(store, clock, pair)
    with pytest.raises(VoteRefused):
        store.vote(pair.pair_id, rater, answers)
    assert store.serve(rater).pair_id == pair.pair_id


def test_ties_and_all_axes_are_options_of_the_study(make_store: Callable[..., Store], clock: HandClock) -> None:
    axes = (Axis("looks", "Which looks better?"), Axis("moves", "Which moves better?"))
    store = make_store(study_of(axes=axes, ties=True, all_axes_a_viewing=True))
    rater = enter(store)
    pair = store.serve(rater)
    watch(store, clock, pair)
    with pytest.raises(VoteRefused):
        store.vote(pair.pair_id, rater, {"looks": "tie"})
    receipt = store.vote(pair.pair_id, rater, {"moves": "model_b", "looks": "tie"})
    assert receipt.number == 2
    assert [(vote.axis, vote.winner) for vote in store.votes()] == [("looks", "tie"), ("moves", "model_b")]


def test_a_stalled_pair_comes_again_after_another(store: Store, clock: HandClock) -> None:
    rater = enter(store)
    first = store.serve(rater)
    watch(store, clock, first)
    store.stalled(first.pair_id, rater)
    store.stalled(first.pair_id, rater)
    with pytest.raises(PairRefused):
        store.vote(first.pair_id, rater, {"looks": "model_a"})
    second = store.serve(rater)
    assert second.pair_id != first.pair_id
    answer(store, clock, second)
    again = store.serve(rater)
    assert (again.pair_id, again.attempt, again.started) == (first.pair_id, 2, False)
    assert answer(store, clock, again).pair_id == first.pair_id
    assert len(answer_all(store, clock, rater)) == 7
    assert [vote.stalls for vote in store.votes()][:2] == [0, 1]


def test_a_pair_that_always_stalls_is_given_up(store: Store, clock: HandClock) -> None:
    rater = enter(store)
    unlucky = store.serve(rater).pair_id
    shown = []
    while pair := store.serve(rater):
        shown.append(pair.pair_id)
        if pair.pair_id == unlucky:
            store.stalled(unlucky, rater)
        else:
            answer(store, clock, pair)
    assert shown.count(unlucky) == 3
    state = store.state(rater)
    assert (state.viewings_done, state.finished, state.outcome) == (8, True, Outcome.COMPLETED)


def test_the_last_pair_may_stall_too(make_store: Callable[..., Store], clock: HandClock) -> None:
    store = make_store(study_of(votes_per_axis=1))
    rater = enter(store)
    pair = store.serve(rater)
    store.stalled(pair.pair_id, rater)
    assert store.state(rater).outcome is None
    assert store.serve(rater).pair_id == pair.pair_id
    answer(store, clock, pair)
    assert store.state(rater).outcome is Outcome.COMPLETED


def test_pairs_of_those_who_left_go_to_others(make_store: Callable[..., Store], clock: HandClock) -> None:
    store = make_store(study_of(stories=("sea",)))
    gone = enter(store, "gone")
    pair = store.serve(gone)
    assert store.release_idle(600) == 0
    clock.move(1000)
    stays = enter(store, "stays")
    assert store.release_idle(600) == 1
    with pytest.raises(PairRefused):
        store.vote(pair.pair_id, gone, {"looks": "model_a"})
    assert store.serve(gone).pair_id != pair.pair_id
    assert store.release(gone) == 1
    assert store.release(gone) == 0
    counts = make_store(study_of(stories=("sea",)))._follower.tally
    assert counts.pairs == [[0, 0, 0]]
    assert len(answer_all(store, clock, stays)) == 3


def test_used_and_paid_are_apart(make_store: Callable[..., Store], clock: HandClock) -> None:
    store = make_store(study_of(stories=tuple(map(str, range(12))), votes_per_axis=30))
    lefty, fine = enter(store, "lefty"), enter(store, "fine")
    while pair := store.serve(lefty):
        answer(store, clock, pair, "model_a", pause=1 + clock.time % 7)
    answer_all(store, clock, fine)
    state = store.state(lefty)
    assert (state.checks["side"], state.used, state.paid) == ("fail", False, True)
    store.exclude(fine, "asked to be left out")
    assert (store.state(fine).used, store.state(fine).paid) == (False, True)
    store.exclude(fine, "")
    used = {vote.judge: vote.used for vote in store.votes()}
    assert used == {lefty: False, fine: True}
    store.consent(fine, False)
    assert not store.state(fine).used


def test_failed_gold_pairs_end_with_their_own_outcome(make_store: Callable[..., Store], clock: HandClock) -> None:
    store = make_store(gold_study())
    careless, careful = enter(store, "careless"), enter(store, "careful")
    while pair := store.serve(careless):
        side = "model_b" if pair.served.left == "ttt" else "model_a"
        answer(store, clock, pair, side, pause=1 + clock.time % 7)
    answer_all(store, clock, careful)
    assert store.state(careless).checks["gold"] == "fail"
    assert store.state(careless).outcome is Outcome.FAILED_ATTENTION_CHECK
    assert not store.state(careless).paid
    assert store.state(careful).checks["gold"] == "pass"
    assert store.state(careful).outcome is Outcome.COMPLETED


def test_an_outage_is_no_fault_of_the_rater_but_an_alarm(store: Store) -> None:
    raters = [enter(store, str(number)) for number in range(6)]
    assert store.alarms() == []
    for rater in raters[:2]:
        store.note_check(rater, "token", "unknown")
        assert store.state(rater).checks["token"] == "unknown"
        assert store.state(rater).used
    assert [line for line in store.alarms() if "token" in line]
    store.note_check(raters[0], "token", "pass")
    assert store.alarms() == []


def test_exclusions_above_a_fifth_are_an_alarm(store: Store, clock: HandClock) -> None:
    raters = [enter(store, str(number)) for number in range(5)]
    store.exclude(raters[0], "a bot")
    assert store.alarms() == []
    store.exclude(raters[1], "a bot")
    assert "40% of the 5 raters" in store.alarms()[0]
    clock.move(3601)
    assert store.alarms() == []


def test_at_most_so_many_votes_a_rater_and_axis(make_store: Callable[..., Store], clock: HandClock) -> None:
    study = study_of(stories=tuple(map(str, range(20))), votes_per_axis=30)
    store = make_store(study)
    assert len(answer_all(store, clock, enter(store))) == 30


def test_adaptive_weights_survive_a_restart(make_store: Callable[..., Store], clock: HandClock) -> None:
    study = study_of(stories=tuple(map(str, range(30))), votes_per_axis=60)
    store = make_store(study, adaptive=True)
    answer_all(store, clock, enter(store))
    first = make_store(study, adaptive=True)
    assert first._follower.weights != [[1 / 3] * 3]
    assert store.serve(enter(store, "b")).served.propensity not in (1.0, 1 / 3)


def test_refusals_are_lines_that_may_be_shown(store: Store) -> None:
    with pytest.raises(StoreRefusal) as refused:
        store.serve("nobody")
    assert "\n" not in str(refused.value)


def test_a_study_without_a_clip_is_refused(make_store: Callable[..., Store]) -> None:
    study: Study = study_of()
    with pytest.raises(ConfigError, match="length"):
        make_store(clip_seconds={(m, s): 0.0 for m in study.methods for s in study.stories})
    with pytest.raises(Exception, match="ttt for sea has no length"):
        make_store(clip_seconds={})
    with pytest.raises(ConfigError, match="16 bytes"):
        make_store(key=b"short")
