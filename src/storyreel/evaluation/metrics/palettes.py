"""Colours of toons read off pixels by the palette that they were drawn with.

Each reader counts pixels that are near one of the colours that a thing can have, in the light that the scene has; the
colour with most pixels is what is read over the frames of a segment, or nothing where too few are near any.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from storyreel.toons.catalogue import FLOOR_COLOURS, FLOOR_LINE, WALL_COLOURS, spec_of
from storyreel.toons.palette import (
    COLLAR,
    FLOOR,
    FUR,
    FURNITURE,
    NIGHT_FUR_TINT,
    NIGHT_ROOM_TINT,
    NIGHT_TINT,
    RGB,
    SPECIES_COLOURS,
    WALL,
    darker,
    lighter,
    mix,
    tinted,
)
from storyreel.toons.script import PlaceKind, Species

NEAR = 22.0
"""Euclidean distance in RGB, of 255, within which a pixel is of a colour; the codec moves flat colours by less."""
CEILING_LINE, FLOOR_HEAD = 0.16, FLOOR_LINE + 0.09
"""Stage heights of the upper edge of the wallpaper (or sky) that is looked at, and of the floor."""
RUG = (0.785, 0.945)
"""Stage heights between which a living room's rug lies on the floor."""
LEAST_SHARE = 0.02
"""Of the pixels looked at, so many must have the colour that is read."""
LEAST_LEAD = 1.5
"""The colour that is read has so many times the pixels of the next."""
INDOORS = ("kitchen", "living room", "bedroom", "bathroom")
Counts = dict[str, int]


class Shades(NamedTuple):
    """How a colour shows: as itself (in several lights), and in patterns made of it, which alone prove nothing."""

    plain: Sequence[RGB]
    pattern: Sequence[RGB] = ()


Ramps = Mapping[str, Shades]


def count_colours(pixels: np.ndarray, ramps: Ramps) -> Counts:
    """How many pixels (uint8 `[n, 3]`) are nearer to a shade of each colour than to any of the others, and NEAR it.

    Patterns count up to twice the plain pixels.
    """
    names = list(ramps)
    if not len(pixels) or not names:
        return dict.fromkeys(names, 0)
    parts = [part for name in names for part in ramps[name]]
    shades = np.array([shade for part in parts for shade in part], np.float32)
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    values = pixels.astype(np.float32)
    # |p - s|^2 = |p|^2 - 2 p s + |s|^2: a matrix product in place of an array [n, shades, 3].
    squares = (values**2).sum(1)[:, None] - 2 * values @ shades.T + (shades**2).sum(1)
    nearest = squares.argmin(1)
    close = squares[np.arange(len(values)), nearest] < NEAR**2
    plain, pattern = np.bincount(owner[nearest[close]], minlength=len(parts)).reshape(-1, 2).T
    return dict(zip(names, (plain + np.minimum(pattern, 2 * plain)).tolist(), strict=True))


def most_counted(counts: Sequence[Counts], looked_at: int, lead: float = LEAST_LEAD) -> str | None:
    """The colour with most pixels in all `counts` together; None where less than LEAST_SHARE of `looked_at` have it,
    or it has not `lead` times the pixels of the next."""
    total: Counter[str] = Counter()
    for own in counts:
        total.update(own)
    (best, most), *others = total.most_common(2) or [(None, 0)]
    second = others[0][1] if others else 0
    return best if most >= max(1.0, LEAST_SHARE * looked_at, lead * second) else None


def wall_bands(kind: PlaceKind) -> tuple[tuple[float, float], ...]:
    """The stage heights (top, foot) between which there is but wallpaper or sky behind the furniture: no tiles."""
    return ((CEILING_LINE, 0.33 if kind == "bathroom" else 0.43),)


def floor_bands(kind: PlaceKind) -> tuple[tuple[float, float], ...]:
    """The stage heights (top, foot) of the bare floor."""
    return ((FLOOR_HEAD, RUG[0]), (RUG[1], 1.0)) if kind == "living room" else ((FLOOR_HEAD, 1.0),)


def wall_ramps(kind: PlaceKind, night: bool) -> Ramps:
    """Shades of each wallpaper, or out of doors of each sky by day; none for a night sky, where all are alike."""
    if kind not in INDOORS:
        return {} if night else {name: Shades(_sky(WALL[name])) for name in WALL_COLOURS[kind]}
    return {
        name: Shades(_wallpaper(WALL[name], night), [
            shade for tone in (lighter(WALL[name], 0.46), darker(WALL[name], 0.2)) for shade in _wallpaper(tone, night)
        ])
        for name in WALL_COLOURS[kind]
    }  # fmt: skip


def _wallpaper(rgb: RGB, night: bool) -> list[RGB]:
    return _room_at_night(rgb, (0.18, 0.26, 0.34, 0.42)) if night else [rgb]


def _room_at_night(rgb: RGB, heights: Sequence[float]) -> list[RGB]:
    """A colour of a room at some stage heights: at night the upper half lies in a shadow that grows upwards."""
    dark, shadow = tinted(rgb, NIGHT_ROOM_TINT), tinted((10, 10, 50), NIGHT_ROOM_TINT)
    return [mix(dark, shadow, 70 / 255 * max(0.0, 1 - y / 0.5)) for y in heights]


def _sky(rgb: RGB) -> list[RGB]:
    top, foot = mix(rgb, (70, 160, 240), 0.12), lighter(rgb, 0.35)
    return [mix(top, foot, y / FLOOR_LINE) for y in (0.02, 0.12, 0.22, 0.32)]


_FLOORS: dict[PlaceKind, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "kitchen": ((0.0,), (0.62,)),
    "living room": ((0.0, 0.09), ()),
    "bathroom": ((0.25,), ()),
    "garden": ((0.0, 0.12), ()),
    "street": ((0.2,), (0.55,)),
}
"""How much lighter than its colour a floor is painted (toons/rooms.py): plain, and in patterns. Elsewhere: as it is."""


def floor_ramps(kind: PlaceKind, night: bool) -> Ramps:
    """The shades of each floor."""
    tint = NIGHT_ROOM_TINT if kind in INDOORS else NIGHT_TINT
    plain, pattern = _FLOORS.get(kind, ((0.0,), ()))

    def shades(rgb: RGB, shares: tuple[float, ...]) -> list[RGB]:
        painted = [lighter(rgb, share) for share in shares]
        return [tinted(own, tint) for own in painted] if night else painted

    return {name: Shades(shades(FLOOR[name], plain), shades(FLOOR[name], pattern)) for name in FLOOR_COLOURS[kind]}


def fur_ramps(species: Species, night: bool) -> Ramps:
    """Each fur that a species can have."""
    return {name: Shades([_lit(FUR[name], night)]) for name in SPECIES_COLOURS[species]}


def collar_ramps(fur: str, night: bool) -> Ramps:
    """Each collar; without one, the fur and the light patch on the chest."""
    chest = [FUR[fur], lighter(FUR[fur], 0.5 if fur == "white" else 0.62)]
    return {
        name: Shades([_lit(own, night) for own in (chest if rgb is None else [rgb])])
        for name, rgb in COLLAR.items()
        if rgb is None or _told_apart(rgb, chest)
    }


def furniture_ramps(kind: str, night: bool, indoors: bool) -> Ramps:
    """The shades of a kind of furniture in each of its colours."""
    spec = spec_of(kind)
    heights = np.linspace(max(0.0, spec.top), spec.bottom, 4).tolist()

    def shades(rgb: RGB) -> list[RGB]:
        if not night:
            return [rgb]
        return _room_at_night(rgb, heights) if indoors else [tinted(rgb, NIGHT_TINT)]

    return {name: Shades(shades(FURNITURE[name])) for name in spec.colours}


def _told_apart(rgb: RGB, others: Sequence[RGB]) -> bool:
    return all(math.dist(rgb, other) > 2 * NEAR / 1.5 for other in others)


def collar_as_read(collar: str, fur: str) -> str:
    """The collar that a reading of this one can give: a white one on white fur is like none."""
    return collar if collar in collar_ramps(fur, night=False) else "none"


def _lit(rgb: RGB, night: bool) -> RGB:
    return tinted(rgb, NIGHT_FUR_TINT) if night else rgb


def around(frame: np.ndarray, x: float, y: float, half_width: float, half_height: float) -> np.ndarray:
    """Pixels uint8 `[n, 3]` of the ellipse around a point that lie in the frame."""
    height, width = frame.shape[:2]
    rows = np.arange(max(0, math.ceil(y - half_height)), min(height, math.floor(y + half_height) + 1))
    columns = np.arange(max(0, math.ceil(x - half_width)), min(width, math.floor(x + half_width) + 1))
    inside = ((rows[:, None] - y) / half_height) ** 2 + ((columns - x) / half_width) ** 2 <= 1
    return frame[rows[:, None], columns][inside]


def bands(
    frame: np.ndarray, heights: Sequence[tuple[float, float]], camera: Sequence[float] | None, step: int = 2
) -> np.ndarray:
    """Pixels uint8 `[n, 3]` of a frame between pairs of stage heights, every `step`-th of both directions.

    camera: the rectangle (x0, y0, x1, y1) of the stage that the frame shows; None: the whole height of it.
    """
    y0, y1 = (0.0, 1.0) if camera is None else (camera[1], camera[3])
    rows = [[round(min(1.0, max(0.0, (y - y0) / (y1 - y0))) * len(frame)) for y in pair] for pair in heights]
    return np.concatenate([frame[first:last:step, ::step].reshape(-1, 3) for first, last in rows])
