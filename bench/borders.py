"""How well cuts, dissolves, fades, flashes and scenes are found, on films joined from drawn cartoons.

    python bench/borders.py --films 10 --first-seed 4000 [--detector transnet]

Prints a line for each kind (true borders, found, missed, false, precision, recall, F1) and one JSON line with all of
it. A cut counts when it is found to the frame. The rules and thresholds were chosen on films of seeds below 3010 and
stories 5000 to 6009; the defaults here are others.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np

from storyreel.data.grouping import with_scenes
from storyreel.data.joined_toons import (
    Score,
    flashes_taken_for_borders,
    joined_film,
    score_cuts,
    score_gradual,
)
from storyreel.data.looks import Looks
from storyreel.data.scenes import ScenesConfig, borders_in
from storyreel.data.shots import shots_between
from storyreel.data.transitions import Border
from storyreel.toons.grammar import make_story
from storyreel.toons.renderer import StoryRenderer

HEIGHT, WIDTH = 64, 96
SHOTS = 30
STORY_SEGMENTS, STORIES = 7, 3


def found_in(frames: np.ndarray, rate: int, config: ScenesConfig) -> tuple[Looks, list[Border]]:
    pictures = (av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="bgr24") for frame in frames)
    numbered: Iterator[tuple[int, av.VideoFrame]] = enumerate(pictures)
    return borders_in(numbered, Fraction(rate), config)


def borders(seed: int, config: ScenesConfig) -> tuple[dict[str, Score], Counter[str]]:
    """Scores of one film of 30 shots, shown at 24 frames a second."""
    film = joined_film(seed, SHOTS, HEIGHT, WIDTH, joins=("cut", "cut", "dissolve", "fade"), flash_share=0.3)
    _, said = found_in(film.frames, 24, config)
    scores = {"cut": score_cuts(film, said)}
    scores |= {kind: score_gradual(film, said, kind) for kind in ("dissolve", "fade")}
    return scores, Counter(flashes=len(film.flashes), taken=flashes_taken_for_borders(film, said))


def scenes(seed: int, config: ScenesConfig) -> Score:
    """Borders between scenes of three stories of 21 s, one after the other, 16 frames a second."""
    parts, truth = [], []
    for number in range(STORIES):
        story = make_story(seed + number, STORY_SEGMENTS)
        renderer = StoryRenderer(story, HEIGHT, WIDTH)
        parts.append(renderer.render(0, renderer.frames))
        truth += [(number, story.segments[renderer.moment(k)[0]].scene) for k in range(renderer.frames)]
    frames = np.concatenate(parts)
    looks, said_borders = found_in(frames, 16, config)
    shots = shots_between(len(frames), said_borders)
    shots = with_scenes(shots, looks.histograms, looks.histogram_step, 16.0, config.grouping)
    true = {k for k in range(1, len(truth)) if truth[k] != truth[k - 1]}
    said = {late.start for early, late in itertools.pairwise(shots) if late.scene != early.scene}
    return Score(len(true & said), len(true - said), len(said - true))


def main() -> None:
    options = argparse.ArgumentParser(description="Score borders and scenes on joined cartoons.")
    options.add_argument("--films", type=int, default=10)
    options.add_argument("--first-seed", type=int, default=4000)
    options.add_argument("--detector", default="adaptive", help="adaptive or transnet")
    given = options.parse_args()
    config = ScenesConfig(detector=given.detector)
    totals = {kind: Score(0, 0, 0) for kind in ("cut", "dissolve", "fade", "scene")}
    flashes: Counter[str] = Counter()
    for seed in range(given.first_seed, given.first_seed + given.films):
        scores, seen = borders(seed, config)
        scores["scene"] = scenes(STORIES * seed, config)
        totals = {kind: totals[kind] + own for kind, own in scores.items()}
        flashes += seen
    figures = {}
    for kind, own in totals.items():
        figures[kind] = {
            "true": own.found + own.missed, "found": own.found, "missed": own.missed, "false": own.false,
            "precision": round(own.precision, 4), "recall": round(own.recall, 4), "f1": round(own.f1, 4),
        }  # fmt: skip
        print(f"{kind:9}", ", ".join(f"{name} {value}" for name, value in figures[kind].items()))
    print(f"flashes   {flashes['flashes']}, taken for a border {flashes['taken']}")
    print(json.dumps({**figures, "flashes": flashes["flashes"], "flashes_taken": flashes["taken"], **vars(given)}))


if __name__ == "__main__":
    main()
