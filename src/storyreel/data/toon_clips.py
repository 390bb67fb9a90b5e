"""Drawing procedural cartoons for training.

A clip is a window of a longer story, so that segments in the middle of a scene are seen as often as beginnings. Clip N
of a configuration is always the same clip; drawing again draws only what is missing, and a killed run leaves nothing
half-written.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

from storyreel.data.clip_config import ClipConfig
from storyreel.data.clips import CHARACTERS, PLACES, Clip, frames_path, record_path
from storyreel.geometry import PixelShape
from storyreel.processes import each
from storyreel.storyboard.schema import Storyboard
from storyreel.toons.grammar import make_story
from storyreel.toons.renderer import StoryRenderer
from storyreel.toons.writer import storyboard_of


def draw_clip(config: ClipConfig, number: int) -> Clip:
    """Draws clip `number`: deterministic, about 16 * seconds + 1 frames of work."""
    seed = config.first_seed + number
    story = make_story(seed, config.story_segments)
    start = random.Random(f"window {seed}").randrange(config.story_segments - config.segments + 1)
    window = slice(start, start + config.segments)
    texts = Storyboard.model_validate(storyboard_of(story)).marked_texts()[window]
    cut = dataclasses.replace(story, segments=story.segments[window])
    renderer = StoryRenderer(cut, config.height, config.width)
    shape = PixelShape.for_video(cut.seconds, config.height, config.width)
    places, characters = zip(*(_labels(renderer, i) for i in range(config.segments)), strict=True)
    return Clip(renderer.render(0, shape.frames), tuple(texts), tuple(places), tuple(characters))


def _labels(renderer: StoryRenderer, segment: int) -> tuple[int, tuple[int, ...]]:
    """Place, and the characters at least a third in view in at least half of eight moments of a segment."""
    truths = [renderer.truth(48 * segment + offset) for offset in range(3, 49, 6)]
    seen = dict.fromkeys(CHARACTERS, 0)
    for truth in truths:
        for character in truth.characters:
            seen[character.species] += character.fraction > 1 / 3
    return PLACES.index(truths[0].place), tuple(i for i, name in enumerate(CHARACTERS) if 2 * seen[name] >= len(truths))


def draw_clips(config: ClipConfig, folder: Path, *, workers: int, on_clip: Callable[[], None] = lambda: None) -> None:
    """Draws every clip of `config` that `folder` lacks, on `workers` processes; calls `on_clip` after each."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [number for number in range(config.count) if not record_path(folder, number).exists()]
    for _ in range(config.count - len(missing)):
        on_clip()
    for _ in each(functools.partial(_draw_to_files, config, folder), missing, workers, tidy=True):
        on_clip()


def _draw_to_files(config: ClipConfig, folder: Path, number: int) -> None:
    clip = draw_clip(config, number)
    path = frames_path(folder, number)
    beside = path.with_suffix(".part")
    with gzip.open(beside, "wb", compresslevel=1) as file:
        np.save(file, clip.frames, allow_pickle=False)
    os.replace(beside, path)
    record = {"texts": clip.texts, "places": clip.places, "characters": clip.characters}
    beside = record_path(folder, number).with_suffix(".part.json")
    beside.write_text(json.dumps(record), encoding="utf-8")
    os.replace(beside, record_path(folder, number))
