"""Colours that no text tells, read in a drawn story and compared with its record."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storyreel.evaluation.metrics.frames import Frames
from storyreel.evaluation.metrics.furniture import Piece, furniture_box, in_frame, uncovered
from storyreel.evaluation.metrics.palettes import (
    NEAR,
    Shades,
    around,
    bands,
    collar_as_read,
    collar_ramps,
    count_colours,
    most_counted,
)
from storyreel.evaluation.metrics.stories import story_of
from storyreel.evaluation.metrics.toon_readings import ColourReader, Readings, shows_chest


@pytest.fixture(scope="module")
def readings(drawn: Path) -> Readings:
    story = story_of(drawn)
    assert story is not None
    reader, frames = ColourReader(story), Frames(drawn)
    for number, frame in enumerate(frames):
        segment = frames.grid.segment_of(number)
        if number in frames.grid.sampled(segment):
            reader.add(number, segment, frame)
    return reader.readings()


def test_every_colour_that_is_read_is_the_one_that_was_drawn(drawn: Path, readings: Readings) -> None:
    story = story_of(drawn)
    assert story is not None
    assert story.truth is not None
    record = story.truth["story"]
    cast = {own["name"]: own for own in record["cast"]}
    places = [record["places"][own["place"]] for own in record["segments"]]
    read: Counter[str] = Counter()
    for family, found, true in (
        *(("wall", readings.walls[s], places[s]["wall_colour"]) for s in range(7)),
        *(("floor", readings.floors[s], places[s]["floor_colour"]) for s in range(7)),
        *(
            ("collar", value, collar_as_read(cast[name]["collar"], cast[name]["colour"]))
            for (_, name), value in readings.collars.items()
        ),
        *(("furniture", value, _colour(piece, places[s])) for (s, piece), value in readings.furniture.items()),
    ):
        read[family] += found is not None
        assert found in (None, true), (family, found, true)
    assert read["wall"] >= 6
    assert read["floor"] >= 6
    assert read["collar"] >= 3
    assert read["furniture"] >= 2


def _colour(piece: Piece, place: dict[str, Any]) -> str:
    return next(own["colour"] for own in place["furniture"] if piece.name.endswith(f" {own['kind']} {own['x']}"))


def test_patterns_count_only_beside_their_own_colour() -> None:
    ramps = {"a": Shades([(200, 0, 0)], [(250, 200, 200)]), "b": Shades([(0, 0, 200)], [(200, 200, 250)])}
    red, pale_red, blue = [(200, 0, 0)] * 2, [(250, 200, 200)] * 9, [(0, 0, 200)] * 3
    pixels = np.array([*red, *pale_red, *blue, (0, 200, 0)], np.uint8)
    assert count_colours(pixels, ramps) == {"a": 2 + 4, "b": 3}
    assert count_colours(pixels[2:11], ramps) == {"a": 0, "b": 0}
    assert count_colours(np.empty((0, 3), np.uint8), ramps) == {"a": 0, "b": 0}


def test_what_has_no_lead_or_too_few_pixels_is_not_read() -> None:
    assert most_counted([{"a": 10, "b": 2}, {"b": 3}], 100) == "a"
    assert most_counted([{"a": 10, "b": 8}], 100) is None
    assert most_counted([{"a": 10, "b": 8}], 100, lead=1.0) == "a"
    assert most_counted([{"a": 1, "b": 0}], 100) is None
    assert most_counted([], 0) is None


def test_a_white_collar_on_white_fur_is_like_none() -> None:
    assert collar_as_read("white", "white") == "none"
    assert collar_as_read("white", "brown") == "white"
    assert collar_as_read("red", "white") == "red"
    shades = [shade for own in collar_ramps("yellow", night=False).values() for shade in own.plain]
    near = min(np.linalg.norm(np.subtract(a, b)) for i, a in enumerate(shades) for b in shades[:i])
    assert near > NEAR


def test_bands_and_ellipses_are_cut_where_the_camera_looks() -> None:
    frame = np.arange(10, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(3, 2)
    assert set(bands(frame, ((0.2, 0.4), (0.8, 1.0)), None, step=1)[:, 0]) == {2, 3, 8, 9}
    assert set(bands(frame, ((0.5, 0.6),), (0, 0.5, 1, 0.7), step=1)[:, 0]) == {0, 1, 2, 3, 4}
    assert around(frame, 4, 5, 2, 1)[:, 0].tolist() == [4, 5, 5, 5, 5, 5, 6]
    assert len(around(frame, 40, 5, 2, 1)) == 0


def test_covered_chests_are_not_looked_at() -> None:
    points = {"collar": (50.0, 50.0), "near_hand": (30.0, 60.0), "far_hand": (70.0, 60.0)}
    cat = {"name": "Biscuit", "fraction": 1.0, "action": "stand", "points": points}
    free = {"characters": [cat], "props": []}
    assert shows_chest(cat, free, 10)
    assert not shows_chest(cat, free, 25)
    assert not shows_chest(cat | {"action": "sleep"}, free, 10)
    assert not shows_chest(cat | {"fraction": 0.7}, free, 10)
    held = {"name": "pie", "holder": "Biscuit", "box": (0, 0, 5, 5)}
    assert not shows_chest(cat, free | {"props": [held]}, 10)
    before = {"name": "Pip", "box": (40, 40, 60, 60)}
    assert not shows_chest(cat, free | {"characters": [cat, before]}, 10)


def test_pixels_of_a_piece_lie_in_no_other_box() -> None:
    box = furniture_box({"kind": "sofa", "x": 0.5}, (0.0, 0.0, 1.5, 1.0), 100)
    assert box == pytest.approx((17, 46, 83, 82))
    frame = np.zeros((100, 150, 3), np.uint8)
    assert in_frame((-50, 0, 50, 100), frame) == 0.5
    pixels, share = uncovered(frame, (10, 10, 20, 20), [(0, 0, 15, 100), (18, 0, 30, 12)])
    assert len(pixels) == 50 - 4
    assert share == pytest.approx(0.46)
