"""Cuts against a storyboard, and consistency of features that are given."""

from __future__ import annotations

import numpy as np
import pytest

from storyreel.evaluation.metrics.consistency import (
    HISTOGRAM_BINS,
    colour_histogram,
    measure_characters,
    measure_colours,
    measure_places,
    measure_scenes,
)
from storyreel.evaluation.metrics.cuts import measure_cuts

SEGMENTS = [49, 97, 145, 193]


def values(cuts: list[int], scenes: list[int]) -> dict[str, float | None]:
    return {name: own.value for name, own in measure_cuts(cuts, scenes, SEGMENTS, 16.0, 15.0).items()}


def test_cuts_at_scenes_are_right_and_those_between_segments_of_a_scene_are_free() -> None:
    found = values([49, 97, 193], [97, 193])
    assert found == {"cut_precision": 1, "cut_recall": 1, "cut_f1": 1, "cut_offset": 0, "cuts_astray": 0}


def test_a_cut_five_frames_late_is_wrong_to_the_frame() -> None:
    found = values([102, 193], [97, 193])
    assert found == {"cut_precision": 0.5, "cut_recall": 0.5, "cut_f1": 0.5, "cut_offset": 2.5, "cuts_astray": 4}


def test_no_cut_at_all() -> None:
    found = measure_cuts([], [97], SEGMENTS, 16.0, 15.0)
    assert found["cut_recall"].value == 0
    assert found["cut_f1"].value == 0
    assert found["cut_precision"].value is None
    assert found["cut_offset"].value is None


def test_one_scene_has_no_border_to_find() -> None:
    found = values([60], [])
    assert found.pop("cuts_astray") == 4
    assert set(found.values()) == {None}


def test_scene_consistency_is_vbench_s_mean_within_scenes() -> None:
    a, b = [1.0, 0.0], [0.0, 2.0]
    features = np.array([a, a, b, b, b], np.float32)
    assert measure_scenes(features, np.array([0, 0, 0, 1, 1])).value == pytest.approx((1 + 0 + 1) / 3)
    assert measure_scenes(features, np.array([0, 0, 1, 1, 1])).value == pytest.approx(1)
    assert measure_scenes(features[:2], np.array([0, 1])).value is None


def test_a_place_is_compared_with_itself_and_with_others() -> None:
    features = np.array([[1.0, 0], [0, 1.0], [0.8, 0.6]])
    scenes = np.array([0, 1, 2])
    found = measure_places(features, scenes, ["a", "b", "a"])
    assert found.value == pytest.approx(0.8 - (0 + 0.6) / 2)
    assert measure_places(features, scenes, ["a", "b", None]).value is None
    assert measure_places(features, scenes, [None, None, None]).value is None


def test_colours_are_counted_between_the_nearest() -> None:
    found = colour_histogram(np.full((20, 30, 3), (255, 0, 51), np.uint8)).reshape([HISTOGRAM_BINS] * 3)
    assert found[5, 0, 1] == pytest.approx(1)
    found = colour_histogram(np.full((20, 30, 3), (0, 0, 38), np.uint8)).reshape([HISTOGRAM_BINS] * 3)
    assert found[0, 0, 0] == pytest.approx(1 - 38 / 51)
    assert found[0, 0, 1] == pytest.approx(38 / 51)
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    assert colour_histogram(noise).sum() == pytest.approx(1)


def test_a_place_keeps_its_colours() -> None:
    histograms = np.array([[1.0, 0, 0], [0.5, 0.5, 0], [0, 0, 1.0], [1.0, 0, 0]])
    segments = np.array([0, 1, 2, 3])
    assert measure_colours(histograms, segments, ["a", "a", "b", "c"]).value == pytest.approx(0.5)
    assert measure_colours(histograms, segments, ["a", "a", "a", "b"]).value == pytest.approx((0.5 + 0 + 0) / 3)
    assert measure_colours(histograms, segments, ["a", "b", "c", "d"]).value is None
    assert measure_colours(histograms[:2], segments[:2], ["a", "a", "b", "b"]).value == pytest.approx(0.5)


def test_characters_are_compared_across_scenes_alone() -> None:
    features = np.array([[1.0, 0], [1.0, 0], [0.6, 0.8], [0, 1.0]])
    segments = np.arange(4)
    cat, dog = frozenset({"cat"}), frozenset({"dog"})
    found = measure_characters(features, segments, [0, 0, 1, 1], [cat, cat, cat, dog])
    assert found.value == pytest.approx(0.6 - 0)
    assert measure_characters(features, segments, [0, 0, 0, 0], [cat, cat, cat, dog]).value is None
