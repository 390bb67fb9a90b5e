"""Which pairs raters see: balanced, never twice, and a function of the arguments alone."""

import copy
from collections import Counter, defaultdict
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storyreel.arena.pairing import Served, Tally, choose
from storyreel.arena.study import AXES, Gold, Study

studies = st.builds(
    Study,
    methods=st.integers(2, 5).map(lambda count: tuple("abcde"[:count])),
    stories=st.integers(1, 6).map(lambda count: tuple(f"story {at}" for at in range(count))),
    axes=st.integers(1, 4).map(lambda count: AXES[:count]),
    votes_per_axis=st.integers(1, 12),
    all_axes_a_viewing=st.booleans(),
    gold=st.sampled_from([(), (Gold("check", "good", "bad"),)]),
    repeat_after=st.sampled_from([0, 3]),
)


def serve(study: Study, viewings: int, raters: int, seed: int) -> tuple[Tally, list[Served]]:
    """Raters in a random order, as they come, until `viewings` or until nobody has anything left."""
    random, tally, shown = Random(seed), Tally(study), []
    waiting = [f"rater {number}" for number in range(raters)]
    while waiting and len(shown) < viewings:
        rater = random.choice(waiting)
        served = choose(study, tally, rater, seed)
        if served is None:
            waiting.remove(rater)
            continue
        tally.add(served)
        shown.append(served)
    return tally, shown


@settings(max_examples=60, deadline=None)
@given(study=studies, raters=st.integers(1, 5), seed=st.integers(0, 2**32))
def test_what_holds_for_every_study(study: Study, raters: int, seed: int) -> None:
    tally, shown = serve(study, 10_000, raters, seed)
    assert len({served.pair_id for served in shown}) == len(shown)
    seen, given_votes, lean = set(), Counter(), Counter()
    for served in shown:
        assert served.left != served.right
        if served.kind == "pair":
            for axis in served.axes:
                key = (served.rater, axis, served.story, frozenset((served.left, served.right)))
                assert key not in seen
                seen.add(key)
                given_votes[served.rater, axis] += 1
            lean[served.rater] += 1 if served.left < served.right else -1
            assert abs(lean[served.rater]) <= 1
            assert 0 < served.propensity <= 1
        elif served.kind == "gold":
            assert {served.left, served.right} == {"good", "bad"}
        else:
            pairs = [own for own in shown if own.rater == served.rater and own.kind == "pair"]
            assert any((own.left, own.right, own.story) == (served.right, served.left, served.story) for own in pairs)
    possible = min(study.votes_per_axis, len(study.method_pairs) * len(study.stories))
    assert all(count == possible for count in given_votes.values())
    assert len(given_votes) == raters * len(study.axes)
    assert Tally.of(study, shown).__dict__ == tally.__dict__


@settings(max_examples=40, deadline=None)
@given(study=studies, seed=st.integers(0, 2**32), viewings=st.integers(0, 40))
def test_a_choice_changes_nothing_and_comes_again(study: Study, seed: int, viewings: int) -> None:
    tally, shown = serve(study, viewings, 3, seed)
    before = copy.deepcopy(tally.__dict__)
    first = choose(study, tally, "rater 1", seed)
    assert tally.__dict__ == before
    assert choose(study, Tally.of(study, shown), "rater 1", seed) == first


def test_balance_over_a_hundred_thousand_draws() -> None:
    study = Study(tuple("abcde"), tuple(f"story {at}" for at in range(100)))
    _, shown = serve(study, 100_000, 900, 7)
    assert len(shown) == 100_000
    axes, stories, pairs, left = Counter(), defaultdict(Counter), defaultdict(Counter), Counter()
    rater_axes, rater_side = defaultdict(Counter), Counter()
    for served in shown:
        (axis,) = served.axes
        pair = tuple(sorted((served.left, served.right)))
        first = 1 if served.left == pair[0] else -1
        axes[axis] += 1
        stories[axis][served.story] += 1
        pairs[axis][pair] += 1
        left[axis, pair] += first
        rater_axes[served.rater][axis] += 1
        rater_side[served.rater] += first
    assert max(axes.values()) - min(axes.values()) <= 2
    for axis in study.axis_names:
        assert max(stories[axis].values()) - min(stories[axis].values()) <= 3
        assert max(pairs[axis].values()) - min(pairs[axis].values()) <= 4
    assert max(map(abs, left.values())) <= 1
    assert max(map(abs, rater_side.values())) <= 1
    assert all(max(own.values()) - min(own[name] for name in study.axis_names) <= 1 for own in rater_axes.values())
    first_left = sum(served.left < served.right for served in shown)
    assert abs(first_left - 50_000) <= 20
    assert len({(served.story, served.left, served.right) for served in shown}) == 100 * 20


def test_the_seed_and_the_rater_change_the_choice() -> None:
    study = Study(tuple("abcde"), tuple(f"story {at}" for at in range(50)))
    empty = Tally(study)
    drawn = {(choose(study, empty, f"rater {at}", seed).story) for at in range(20) for seed in range(5)}  # type: ignore[union-attr]
    assert len(drawn) > 25


def test_adaptive_weights_are_the_chances() -> None:
    study = Study(("a", "b", "c"), tuple(f"story {at}" for at in range(10)), AXES[:1])
    empty = Tally(study)
    drawn = [choose(study, empty, f"rater {at}", 0, weights=[[0.7, 0.2, 0.1]]) for at in range(3000)]
    counts = Counter(frozenset((served.left, served.right)) for served in drawn if served)
    assert counts[frozenset("ab")] / 3000 == pytest.approx(0.7, abs=0.03)
    assert {round(served.propensity, 9) for served in drawn if served} == {0.7, 0.2, 0.1}


def test_six_gold_pairs_in_thirty() -> None:
    study = Study(("a", "b", "c"), tuple(f"s{at}" for at in range(30)), AXES[:1], gold=(Gold("s0", "a", "bad"),))
    _, shown = serve(study, 30, 1, 0)
    places = [place for place, served in enumerate(shown) if served.kind == "gold"]
    assert len(places) == 6
    assert [place // 5 for place in places] == list(range(6))
    assert len({place % 5 for place in places}) > 1
