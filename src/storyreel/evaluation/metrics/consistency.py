"""Do a scene, a place and a character stay like themselves: cosines between features of frames."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import cv2
import numpy as np

from storyreel.evaluation.metrics.definition import Measured, Metric, missing, number
from storyreel.evaluation.metrics.stories import Story

HISTOGRAM_BINS = 6
HISTOGRAM_SIZE = (96, 64)
"""Width and height at which colours are counted."""

METRICS = (
    Metric(
        "scene_consistency",
        "0 to 1",
        "higher",
        "mean over the sampled frames of a scene (a shot, without a storyboard) of (cosine to the frame before + "
        "cosine to the scene's first) / 2, at least 0",
        "VBench, subject_consistency (arXiv 2311.17982), scene by scene",
    ),
    Metric(
        "place_colours",
        "0 to 1",
        "higher",
        "mean overlap of the colour histograms (6 x 6 x 6, 8 frames each) of two segments at one place (in one scene, "
        "where no place is told), mean over places; people, pans and nightfall lower it too",
        "histogram intersection, Swain and Ballard 1991",
    ),
    Metric(
        "place_visits",
        "cosine",
        "higher",
        "mean cosine between the mean features of two scenes at one place, minus that of two at different places",
    ),
    Metric(
        "character_visits",
        "cosine",
        "higher",
        "mean cosine between the mean features of two segments of different scenes with the same characters, minus "
        "that of two with no character in common",
    ),
)


def measure_story(
    features: np.ndarray, histograms: np.ndarray, segments: np.ndarray, story: Story
) -> dict[str, Measured]:
    """The metrics above for frames in order: features `[n, D]`, histograms `[n, 216]`, and which segment each is of,
    int `[n]`."""
    scenes = np.array(story.scenes)[segments]
    first = [story.scenes.index(scene) for scene in range(max(story.scenes) + 1)]
    settings = [place or f"scene {scene}" for place, scene in zip(story.places, story.scenes, strict=True)]
    return {
        "scene_consistency": measure_scenes(features, scenes),
        "place_colours": measure_colours(histograms, segments, settings),
        "place_visits": measure_places(features, scenes, [story.places[segment] for segment in first]),
        "character_visits": measure_characters(features, segments, story.scenes, story.characters),
    }


def measure_scenes(features: np.ndarray, scenes: np.ndarray) -> Measured:
    """scene_consistency of features `[n, D]` of frames in order; `scenes` int `[n]` says which scene each is of."""
    unit = _unit(features)
    values = []
    for scene in np.unique(scenes):
        own = unit[scenes == scene]
        before = (own[1:] * own[:-1]).sum(1)
        values.append(np.maximum(0, (before + own[1:] @ own[0]) / 2))
    every = np.concatenate(values) if values else np.zeros(0)
    return number(float(every.mean())) if len(every) else missing("no scene has two sampled frames")


def colour_histogram(frame: np.ndarray) -> np.ndarray:
    """Shares float64 `[216]` of the colours of a frame, uint8 `[H, W, 3]`: every pixel counts for the eight nearest of
    6 x 6 x 6 colours, the nearer the more."""
    small = cv2.resize(frame, HISTOGRAM_SIZE, interpolation=cv2.INTER_AREA).reshape(-1, 3)
    place = small.astype(np.float64) * (HISTOGRAM_BINS - 1) / 255
    low = np.minimum(place.astype(np.int64), HISTOGRAM_BINS - 2)
    part = place - low
    found = np.zeros(HISTOGRAM_BINS**3)
    for corner in np.ndindex(2, 2, 2):
        index = (low + corner) @ [HISTOGRAM_BINS**2, HISTOGRAM_BINS, 1]
        found += np.bincount(index, np.where(corner, part, 1 - part).prod(1), len(found))
    return found / len(small)


def measure_colours(histograms: np.ndarray, segments: np.ndarray, places: Sequence[Hashable]) -> Measured:
    """place_colours of the histograms `[n, 216]` of frames; `segments` int `[n]` says which segment each is of,
    `places` has a key for each segment."""
    values = []
    for place in dict.fromkeys(places):
        own = [s for s in range(len(places)) if places[s] == place and (segments == s).any()]
        means = np.array([histograms[segments == s].mean(0) for s in own])
        pairs = [float(np.minimum(means[a], means[b]).sum()) for a in range(len(own)) for b in range(a)]
        if pairs:
            values.append(float(np.mean(pairs)))
    return number(float(np.mean(values))) if values else missing("no place has two segments")


def measure_places(features: np.ndarray, scenes: np.ndarray, places: Sequence[Hashable]) -> Measured:
    """place_visits; `places` has a key for each scene in turn, None where it is not told."""
    known = [scene for scene, place in enumerate(places) if place is not None and (scenes == scene).any()]
    means = _means(features, scenes, known)
    pairs = [(a, b) for a in range(len(known)) for b in range(a)]
    same = [float(means[a] @ means[b]) for a, b in pairs if places[known[a]] == places[known[b]]]
    other = [float(means[a] @ means[b]) for a, b in pairs if places[known[a]] != places[known[b]]]
    return _difference(same, other, "no place is visited twice, or there is only one")


def measure_characters(
    features: np.ndarray, segments: np.ndarray, scenes: Sequence[int], characters: Sequence[frozenset[str]]
) -> Measured:
    """character_visits; `segments` int `[n]` says which segment each frame is of, the others go by segment."""
    known = [own for own in range(len(characters)) if characters[own] and (segments == own).any()]
    means = _means(features, segments, known)
    same, other = [], []
    for a in range(len(known)):
        for b in range(a):
            one, two = characters[known[a]], characters[known[b]]
            if scenes[known[a]] != scenes[known[b]] and (one == two or not one & two):
                (same if one == two else other).append(float(means[a] @ means[b]))
    return _difference(same, other, "no two scenes have the same characters, or none have different ones")


def _means(features: np.ndarray, groups: np.ndarray, wanted: Sequence[int]) -> np.ndarray:
    """Mean features `[wanted, D]` of groups, of length 1."""
    rows = [features[groups == group].mean(0) for group in wanted]
    return _unit(np.array(rows, np.float64).reshape(len(rows), features.shape[1]))


def _difference(same: list[float], other: list[float], why: str) -> Measured:
    return number(float(np.mean(same) - np.mean(other))) if same and other else missing(why)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
