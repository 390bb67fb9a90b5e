"""Which pair a rater sees next: a pure, seeded function of the study, of what was served so far and of the rater.

A `Tally` is what has been served, counted; `Tally.of` rebuilds it from the pairs served, `Tally.add` counts one more.
`choose` reads it, changes nothing, and draws its chances from (seed, rater, number of viewings of the rater).

Order of wishes: never the same (story, axis, two methods) twice for a rater; axes even for the rater; left and right
even for the rater (to one) and for an axis's pair of methods (to one, while a pair is there that suits both); pairs of
methods even for the rater on the axis, which bounds what one rater can do to a method, then for the axis; stories
even on the axis; chance.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from storyreel.arena.study import Study

Kind = Literal["pair", "repeat", "gold"]


@dataclass(frozen=True, slots=True)
class Served:
    """A pair shown to a rater. `propensity` is the chance that these two methods had on this axis, given the past."""

    pair_id: str
    rater: str
    axes: tuple[str, ...]
    story: str
    left: str
    right: str
    kind: Kind = "pair"
    propensity: float = 1.0


@dataclass
class _Rater:
    """What one rater has seen. Keys of `seen`: (axis, pair) -> stories, all by their places in the study."""

    viewings: int = 0
    lean: int = 0
    axes: list[int] = field(default_factory=list)
    stories: list[int] = field(default_factory=list)
    pairs: list[int] = field(default_factory=list)
    seen: defaultdict[tuple[int, int], set[int]] = field(default_factory=lambda: defaultdict(set))
    rated: list[Served] = field(default_factory=list)
    repeated: int = 0


class Tally:
    """Counts of everything served. `lean`: how often the pair's first method was left, less how often right."""

    def __init__(self, study: Study) -> None:
        axes, pairs, stories = len(study.axes), len(study.method_pairs), len(study.stories)
        self.study = study
        self.axes = [0] * axes
        self.pairs = [[0] * pairs for _ in range(axes)]
        self.lean = [[0] * pairs for _ in range(axes)]
        self.stories = [[0] * stories for _ in range(axes)]
        self.raters: dict[str, _Rater] = {}
        self._axis = {name: place for place, name in enumerate(study.axis_names)}
        self._story = {name: place for place, name in enumerate(study.stories)}
        names = study.methods
        self._pair = {(names[i], names[j]): (at, 1) for at, (i, j) in enumerate(study.method_pairs)}
        self._pair |= {(names[j], names[i]): (at, -1) for at, (i, j) in enumerate(study.method_pairs)}

    @classmethod
    def of(cls, study: Study, served: Iterable[Served]) -> Tally:
        """The tally of `served`, in the order in which they were served."""
        tally = cls(study)
        for one in served:
            tally.add(one)
        return tally

    def rater(self, name: str) -> _Rater:
        """What the rater has seen; of one who is new, nothing, and nothing is noted."""
        known = self.raters.get(name)
        if known is None:
            known = _Rater()
            known.axes = [0] * len(self.axes)
            known.stories = [0] * len(self.study.stories)
            known.pairs = [0] * len(self.study.method_pairs)
        return known

    def add(self, served: Served) -> None:
        """Counts one more pair."""
        own = self.rater(served.rater)
        self.raters[served.rater] = own
        own.viewings += 1
        if served.kind != "pair":
            own.repeated += served.kind == "repeat"
            return
        own.rated.append(served)
        pair, side = self._pair[served.left, served.right]
        story = self._story[served.story]
        own.lean += side
        own.stories[story] += 1
        own.pairs[pair] += 1
        for name in served.axes:
            axis = self._axis[name]
            own.axes[axis] += 1
            own.seen[axis, pair].add(story)
            self.axes[axis] += 1
            self.pairs[axis][pair] += 1
            self.lean[axis][pair] += side
            self.stories[axis][story] += 1

    def release(self, served: Served) -> None:
        """Takes a pair back that was given up unanswered, so that others are shown it; its rater stays with it."""
        if served.kind != "pair":
            return
        pair, side = self._pair[served.left, served.right]
        for name in served.axes:
            axis = self._axis[name]
            self.axes[axis] -= 1
            self.pairs[axis][pair] -= 1
            self.lean[axis][pair] -= side
            self.stories[axis][self._story[served.story]] -= 1


def choose(
    study: Study, tally: Tally, rater: str, seed: int, *, weights: Sequence[Sequence[float]] | None = None
) -> Served | None:
    """The next pair for `rater`, or None when the rater has seen all there is or has given all votes.

    `weights` [axes, pairs of methods] turns adaptive sampling on: on an axis a pair is drawn with a chance
    proportional to its weight (see `adaptive.pair_weights`) instead of evenly.
    """
    own = tally.rater(rater)
    pair_id, chance = _identity(seed, rater, own.viewings), _chance(seed, rater, own.viewings)
    if study.gold:
        run, place = divmod(own.viewings, study.gold_every)
        if place == _chance(seed, rater, run, "gold").randrange(study.gold_every):
            return _gold(study, rater, pair_id, chance)
    if study.repeat_after and len(own.rated) >= (own.repeated + 1) * study.repeat_after:
        return _mirrored(own, rater, pair_id, chance)
    open_axes = [at for at, count in enumerate(own.axes) if count < study.votes_per_axis]
    if study.all_axes_a_viewing and len(open_axes) < len(study.axes):
        return None
    noise = [chance.random() for _ in study.axes]
    for axis in sorted(open_axes, key=lambda at: (own.axes[at], tally.axes[at], noise[at])):
        found = _pair_and_story(study, tally, own, axis, chance, weights[axis] if weights else None)
        if found is None:
            continue
        pair, story, propensity = found
        first, second = (study.methods[place] for place in study.method_pairs[pair])
        left_first = _first_goes_left(own.lean, tally.lean[axis][pair], chance)
        left, right = (first, second) if left_first else (second, first)
        axes = study.axis_names if study.all_axes_a_viewing else (study.axis_names[axis],)
        return Served(pair_id, rater, axes, study.stories[story], left, right, "pair", propensity)
    return None


def _pair_and_story(
    study: Study, tally: Tally, own: _Rater, axis: int, chance: Random, weights: Sequence[float] | None
) -> tuple[int, int, float] | None:
    """(pair, story, propensity of the pair) by their places, or None where the rater has seen all of the axis."""
    stories = len(study.stories)
    possible = [at for at in range(len(study.method_pairs)) if len(own.seen.get((axis, at), ())) < stories]
    if not possible:
        return None
    lean = tally.lean[axis]
    suited = [at for at in possible if own.lean * lean[at] >= 0] or possible
    if weights is None:
        counts = tally.pairs[axis]
        keys = [(len(own.seen.get((axis, at), ())), counts[at], own.pairs[at]) for at in suited]
        fewest = min(keys)
        drawn_from = [at for at, key in zip(suited, keys, strict=True) if key == fewest]
        pair = drawn_from[chance.randrange(len(drawn_from))]
        propensity = 1 / len(drawn_from)
    else:
        chances = [weights[at] for at in suited]
        pair = chance.choices(suited, chances)[0]
        propensity = weights[pair] / sum(chances)
    return pair, _story(tally, own, axis, pair, chance), propensity


def _story(tally: Tally, own: _Rater, axis: int, pair: int, chance: Random) -> int:
    """The story that the axis had least; among these the one that the rater had least; then chance."""
    seen = own.seen.get((axis, pair), ())
    counts, mine = tally.stories[axis], own.stories
    fewest, best = None, []
    for at, count in enumerate(counts):
        if at in seen:
            continue
        key = (count, mine[at])
        if fewest is None or key < fewest:
            fewest, best = key, [at]
        elif key == fewest:
            best.append(at)
    return best[chance.randrange(len(best))]


def _first_goes_left(rater_lean: int, pair_lean: int, chance: Random) -> bool:
    lean = rater_lean or pair_lean
    return lean < 0 if lean else chance.random() < 0.5


def _gold(study: Study, rater: str, pair_id: str, chance: Random) -> Served:
    gold = study.gold[chance.randrange(len(study.gold))]
    left, right = (gold.better, gold.worse) if chance.random() < 0.5 else (gold.worse, gold.better)
    axes = study.axis_names if study.all_axes_a_viewing else (chance.choice(study.axis_names),)
    return Served(pair_id, rater, axes, gold.story, left, right, "gold")


def _mirrored(own: _Rater, rater: str, pair_id: str, chance: Random) -> Served:
    """One of the older half of the rater's pairs, left and right exchanged."""
    old = own.rated[chance.randrange((len(own.rated) + 1) // 2)]
    return Served(pair_id, rater, old.axes, old.story, old.right, old.left, "repeat")


def _identity(seed: int, rater: str, viewing: int) -> str:
    return hashlib.blake2b(f"identity {seed} {viewing} {rater}".encode(), digest_size=16).hexdigest()


def _chance(seed: int, rater: str, number: int, purpose: str = "pair") -> Random:
    digest = hashlib.blake2b(f"{purpose} {seed} {number} {rater}".encode(), digest_size=8).digest()
    return Random(int.from_bytes(digest, "big"))
