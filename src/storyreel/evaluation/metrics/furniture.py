"""Colours of the furniture of drawn toons, read where the truth of a frame says that they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from storyreel.evaluation.metrics.palettes import Counts, count_colours, furniture_ramps
from storyreel.toons.catalogue import spec_of

FURNITURE = (
    "apple tree", "bath", "bedside table", "bench", "boat", "bookcase", "bush", "car", "cupboard", "deck chair",
    "door", "fridge", "pine", "plant", "rock", "sink", "sofa",
)  # fmt: skip
"""Of other kinds too little shows plainly in its colour: of a table little more than its cloth, of a lamp its light.
The frames of windows, mirrors, pictures and clocks are so thin that the autoencoder changes their colour."""
IN_FRAME, UNCOVERED = 0.6, 0.5
"""A piece of furniture is read where so much of it is in the frame, and so much of that behind nobody and nothing."""
FINE_HEIGHT = 128
"""Of taller frames only every second (third, ...) pixel is looked at."""
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Piece:
    """A piece of furniture: `name` is its own within a story, `values` how many colours it could have."""

    name: str
    kind: str
    values: int


def read_furniture(
    frame: np.ndarray, place: dict[str, Any], drawn: dict[str, Any], night: bool, indoors: bool
) -> Iterator[tuple[Piece, Counts, int]]:
    """(piece, pixels by colour, pixels looked at) of what a frame, uint8 `[H, W, 3]`, shows well enough.

    place: of the story's record; drawn: the truth of the frame.
    """
    players = [own["box"] for own in [*drawn["characters"], *drawn["props"]] if own["box"]]
    boxes = [furniture_box(piece, drawn["camera"], len(frame)) for piece in place["furniture"]]
    for number, piece in enumerate(place["furniture"]):
        if piece["kind"] in FURNITURE:
            others = [*players, *boxes[:number], *boxes[number + 1 :]]
            pixels, seen = uncovered(frame, boxes[number], others)
            if seen >= UNCOVERED and in_frame(boxes[number], frame) >= IN_FRAME:
                ramps = furniture_ramps(piece["kind"], night, indoors)
                name = f"{place['kind']} {piece['kind']} {piece['x']}"
                yield Piece(name, piece["kind"], len(ramps)), count_colours(pixels, ramps), len(pixels)


def furniture_box(piece: dict[str, Any], camera: Sequence[float], height: int) -> Box:
    """(x0, y0, x1, y1) in pixels of a frame `height` pixels high, also outside it."""
    spec, scale = spec_of(piece["kind"]), height / (camera[3] - camera[1])
    left, top = piece["x"] - spec.width / 2 - camera[0], spec.top - camera[1]
    return left * scale, top * scale, (left + spec.width) * scale, (top + spec.height) * scale


def in_frame(box: Box, frame: np.ndarray) -> float:
    """Which share of a box lies within a frame."""
    height, width = frame.shape[:2]
    across = max(0.0, min(width, box[2]) - max(0.0, box[0]))
    down = max(0.0, min(height, box[3]) - max(0.0, box[1]))
    return across * down / ((box[2] - box[0]) * (box[3] - box[1]))


def uncovered(frame: np.ndarray, box: Box, others: Sequence[Box]) -> tuple[np.ndarray, float]:
    """(pixels uint8 `[n, 3]` of a box that lie in no other box, their share of the box)."""
    step = max(1, len(frame) // FINE_HEIGHT)
    part = _slices(box)
    free = np.ones(frame.shape[:2], bool)
    for other in others:
        free[_slices(other)] = False
    rows, columns = part
    inside = free[rows, columns][::step, ::step]
    share = float(inside.mean()) if inside.size else 0.0
    return frame[rows, columns][::step, ::step][inside], share


def _slices(box: Box) -> tuple[slice, slice]:
    x0, y0, x1, y1 = (max(0, round(edge)) for edge in box)
    return slice(y0, y1), slice(x0, x1)
