"""Blindness (attack 7): the time that a clip takes says nothing of its method."""

import random
import time

import numpy as np
import pytest

from storyreel.arena.web.viewing import Hall

ROUNDS = 40
SURE = 5.0
"""Standard deviations of a rank sum under chance; one in a million honest runs is above."""


def rank_z(first, second):
    """How many standard deviations the rank sum of `first` is from what chance gives (Mann and Whitney 1947)."""
    ranks = np.argsort(np.argsort([*first, *second])) + 1.0
    n, m = len(first), len(second)
    return (ranks[:n].sum() - n * (n + m + 1) / 2) / np.sqrt(n * m * (n + m + 1) / 12)


def seconds(get, path):
    begun = time.perf_counter()
    assert get(path).status_code == 200
    return time.perf_counter() - begun


def clip_z(rater):
    """The two clips of a pair, asked for in a random order."""
    left, right = rater.clip_paths()
    taken = {left: [], right: []}
    order = [left, right] * ROUNDS
    random.Random(0).shuffle(order)
    for path in order:
        rater.site.time.now += 10
        taken[path].append(seconds(rater.client.get, path))
    return rank_z(taken[left], taken[right])


def test_07_both_clips_of_a_pair_take_as_long(site):
    assert abs(clip_z(site.rater())) < SURE


def test_07_a_planted_delay_is_found(site, monkeypatch):
    """30 ms more for one clip, as one from another disk might take."""
    rater = site.rater()
    first, clip_of = rater.clip_paths()[0], Hall.clip

    def clip(self, owner, name):
        if name in first:
            time.sleep(0.03)
        return clip_of(self, owner, name)

    monkeypatch.setattr(Hall, "clip", clip)
    assert clip_z(rater) > SURE


def test_the_statistic_is_that_of_chance():
    drawn = np.random.default_rng(0).normal(size=(400, 2, 60))
    values = [rank_z(*pair) for pair in drawn]
    assert np.mean(values) == pytest.approx(0, abs=0.15)
    assert np.std(values) == pytest.approx(1, abs=0.1)
