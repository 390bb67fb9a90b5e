"""What is read in the picture of a toon, segment by segment: place and characters by the probe, colours by palette."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from storyreel.evaluation.metrics.definition import Measured, Metric, missing, share
from storyreel.evaluation.metrics.furniture import Piece, read_furniture
from storyreel.evaluation.metrics.palettes import (
    INDOORS,
    LEAST_LEAD,
    Counts,
    around,
    bands,
    collar_ramps,
    count_colours,
    floor_bands,
    floor_ramps,
    fur_ramps,
    most_counted,
    wall_bands,
    wall_ramps,
)
from storyreel.evaluation.metrics.stories import Story
from storyreel.toons.builds import BUILD
from storyreel.toons.script import PlaceKind

IN_VIEW = 0.5
"""A character counts where so much of it is seen."""
COVERING = ("sleep", "hide", "peek", "eat", "cry", "fall", "crash")
"""Actions in which the head, the hands or furniture are before the chest."""
FUR_PART = 0.38
"""Half of the part of a character's box that its fur is read in."""
COLLAR_PART = (0.4, 0.34)
"""The part of a collar around its rig point that it is read in, of half its width and of its depth."""
LEAST_CHEST = 6
"""With fewer pixels of it a collar is not read."""
NO_TRUTH = "where things are is known of drawn toons alone"
NO_TOON = "the story is not told in the toons' words"

METRICS = (
    Metric("place_right", "share", "higher", "segments in which the probe reads the place that the story has"),
    Metric("characters_right", "share", "higher", "segments in which the probe reads just the characters in view"),
    Metric("character_right", "share", "higher", "(segment, species) of which the probe reads rightly if it is seen"),
    Metric("colours_right", "share", "higher", "(segment, character) whose fur is read to have the colour told"),
)  # fmt: skip


@dataclass(frozen=True)
class Readings:
    """Read by segment: `walls`, `floors` (None: unreadable), by (segment, name) `furs` and `collars`, by (segment,
    piece) `furniture`."""

    walls: tuple[str | None, ...]
    floors: tuple[str | None, ...]
    furs: dict[tuple[int, str], str | None]
    collars: dict[tuple[int, str], str | None]
    furniture: dict[tuple[int, Piece], str | None]


class ColourReader:
    """Takes sampled frames of a toon, and reads colours by segment."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._counts: dict[tuple[str, int, str], list[Counts]] = defaultdict(list)
        self._pixels: dict[tuple[str, int, str], int] = defaultdict(int)
        self._furniture: dict[tuple[int, Piece], list[tuple[Counts, int]]] = defaultdict(list)

    def add(self, number: int, segment: int, frame: np.ndarray) -> None:
        """Frame `number`, uint8 `[H, W, 3]` RGB."""
        toon = self._story.toon
        if toon is None or segment >= len(toon):
            return
        own = toon[segment]
        truth = self._story.truth["frames"] if self._story.truth else []
        drawn = truth[number] if number < len(truth) else None
        if own.place is not None:
            self._room(segment, frame, own.place, own.night, drawn["camera"] if drawn else None)
        if drawn and own.place is not None:
            assert self._story.truth is not None
            place = self._story.truth["story"]["places"][drawn["place_index"]]
            for piece, counts, pixels in read_furniture(frame, place, drawn, own.night, own.place in INDOORS):
                self._furniture[segment, piece].append((counts, pixels))
        for character in drawn["characters"] if drawn else ():
            if drawn and character["fraction"] > IN_VIEW:
                self._character(segment, frame, character, drawn, own.night)

    def _room(self, segment: int, frame: np.ndarray, place: PlaceKind, night: bool, camera: list[float] | None) -> None:
        for what, ramps, heights in (
            ("wall", wall_ramps(place, night), wall_bands(place)),
            ("floor", floor_ramps(place, night), floor_bands(place)),
        ):
            pixels = bands(frame, heights, camera)
            self._note(what, segment, "", count_colours(pixels, ramps), len(pixels))

    def _character(self, segment: int, frame: np.ndarray, character: dict, drawn: dict, night: bool) -> None:
        x0, y0, x1, y1 = character["box"]
        name, species = character["name"], character["species"]
        middle = around(frame, (x0 + x1) / 2, (y0 + y1) / 2, FUR_PART * (x1 - x0), FUR_PART * (y1 - y0))
        self._note("fur", segment, name, count_colours(middle, fur_ramps(species, night)), len(middle))
        scale = len(frame) / (drawn["camera"][3] - drawn["camera"][1])
        wide, deep = (scale * own for own in BUILD[species].collar)
        if shows_chest(character, drawn, 1.5 * wide):
            x, y = character["points"]["collar"]
            chest = around(frame, x, y, COLLAR_PART[0] * wide, COLLAR_PART[1] * deep)
            if len(chest) >= LEAST_CHEST:
                counts = count_colours(chest, collar_ramps(self._told_fur(name), night))
                self._note("collar", segment, name, counts, len(chest))

    def _told_fur(self, name: str) -> str:
        assert self._story.truth is not None
        return next(own["colour"] for own in self._story.truth["story"]["cast"] if own["name"] == name)

    def _note(self, what: str, segment: int, name: str, counts: Counts, pixels: int) -> None:
        self._counts[what, segment, name].append(counts)
        self._pixels[what, segment, name] += pixels

    def readings(self) -> Readings:
        """Of the frames so far."""
        found = {
            key: most_counted(counts, self._pixels[key], 1.0 if key[0] == "fur" else LEAST_LEAD)
            for key, counts in self._counts.items()
        }
        segments = range(len(self._story.scenes))
        furniture = {
            key: most_counted([counts for counts, _ in own], sum(pixels for _, pixels in own))
            for key, own in self._furniture.items()
            if len(own) > 1
        }
        return Readings(
            tuple(found.get(("wall", segment, "")) for segment in segments),
            tuple(found.get(("floor", segment, "")) for segment in segments),
            {(segment, name): value for (what, segment, name), value in found.items() if what == "fur"},
            {(segment, name): value for (what, segment, name), value in found.items() if what == "collar"},
            furniture,
        )

    def told(self) -> dict[str, str]:
        """The fur that the texts tell, by name."""
        truth = self._story.truth
        return {own["name"]: own["colour"] for own in truth["story"]["cast"]} if truth else {}


def shows_chest(character: dict, drawn: dict, reach: float) -> bool:
    """Whether nothing is before a drawn character's chest, as far as the truth of the frame tells: no furniture, no
    hand within `reach` pixels, nobody else and no thing, held or not."""
    points = character["points"]
    x, y = points["collar"]
    others = [own for own in drawn["characters"] if own["name"] != character["name"]]
    boxes = [own["box"] for own in [*others, *drawn["props"]] if own["box"]]
    return (
        character["fraction"] > 0.8
        and character["action"] not in COVERING
        and all(math.dist(points[hand], (x, y)) > reach for hand in ("near_hand", "far_hand"))
        and not any(own["holder"] == character["name"] for own in drawn["props"])
        and not any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in boxes)
    )


def measure_toon(
    story: Story | None,
    seen: list[tuple[str, frozenset[str]]],
    readings: Readings | None,
    told: dict[str, str],
) -> dict[str, Measured]:
    """The metrics above; `seen` is (place, species) that the probe read in each segment of the video."""
    if story is None or story.toon is None or readings is None:
        return dict.fromkeys((metric.name for metric in METRICS), missing(NO_TOON))
    pairs = [(own, read) for own, read in zip(story.toon, seen, strict=False)]
    placed = [(own, read) for own, read in pairs if own.place is not None]
    each = sum(5 - len(own.species ^ read[1]) for own, read in pairs)
    colours = missing(NO_TRUTH)
    if story.truth is not None:
        right = sum(read == told[name] for (_, name), read in readings.furs.items())
        colours = share(right, len(readings.furs), "no character is seen half")
    return {
        "place_right": share(sum(own.place == read[0] for own, read in placed), len(placed), "no text tells a place"),
        "characters_right": share(sum(own.species == read[1] for own, read in pairs), len(pairs), "no segment"),
        "character_right": share(each, 5 * len(pairs), "no segment"),
        "colours_right": colours,
    }
