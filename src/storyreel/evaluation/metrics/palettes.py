"""Colours of toons read off pixels by the palette that they were drawn with.

Each reader counts pixels that are near one of the colours that a thing can have, in the light that the scene has; the
colour with most pixels is what is read over the frames of a segment, or nothing where too few are near any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from storyreel.toons.catalogue import FLOOR_COLOURS, FLOOR_LINE, WALL_COLOURS
from storyreel.toons.palette import (
    COLLAR,
    FLOOR,
    FUR,
    NIGHT_FUR_TINT,
    NIGHT_ROOM_TINT,
    NIGHT_TINT,
    RGB,
    SPECIES_COLOURS,
    WALL,
    lighter,
    mix,
    tinted,
)
from storyreel.toons.script import PlaceKind, Species

NEAR = 22.0
"""Euclidean distance in RGB, of 255, within which a pixel is of a colour; the codec moves flat colours by less."""
CEILING_LINE, WALL_FOOT, FLOOR_HEAD = 0.16, 0.43, FLOOR_LINE + 0.09
"""Stage heights between which there is nothing but wallpaper (or sky) behind the furniture, and floor from there on."""
LEAST_SHARE = 0.02
"""Of the pixels looked at, so many must have the colour that is read."""
INDOORS = ("kitchen", "living room", "bedroom", "bathroom")
Counts = dict[str, int]
Ramps = Mapping[str, Sequence[RGB]]


def count_colours(pixels: np.ndarray, ramps: Ramps) -> Counts:
    """How many pixels (uint8 `[n, 3]`) are nearer to a shade of each colour than to any of the others, and NEAR it."""
    names = list(ramps)
    if not len(pixels) or not names:
        return dict.fromkeys(names, 0)
    shades = np.array([shade for name in names for shade in ramps[name]], np.float32)
    owner = np.repeat(np.arange(len(names)), [len(ramps[name]) for name in names])
    values = pixels.astype(np.float32)
    # |p - s|^2 = |p|^2 - 2 p s + |s|^2: a matrix product in place of an array [n, shades, 3].
    squares = (values**2).sum(1)[:, None] - 2 * values @ shades.T + (shades**2).sum(1)
    nearest = squares.argmin(1)
    close = squares[np.arange(len(values)), nearest] < NEAR**2
    counts = np.bincount(owner[nearest[close]], minlength=len(names))
    return dict(zip(names, counts.tolist(), strict=True))


def most_counted(counts: Sequence[Counts], looked_at: int) -> str | None:
    """The colour with most pixels in all `counts` together; None where less than LEAST_SHARE of `looked_at` have it."""
    total: Counts = {}
    for own in counts:
        for name, count in own.items():
            total[name] = total.get(name, 0) + count
    best = max(total, key=lambda name: total[name], default=None)
    return best if best is not None and total[best] >= max(1.0, LEAST_SHARE * looked_at) else None


def wall_ramps(kind: PlaceKind, night: bool) -> Ramps:
    """Shades of each wallpaper, or out of doors of each sky by day; none for a night sky, where all are alike."""
    if kind not in INDOORS:
        return {} if night else {name: _sky(WALL[name]) for name in WALL_COLOURS[kind]}
    return {name: _wallpaper(WALL[name], night) for name in WALL_COLOURS[kind]}


def _wallpaper(rgb: RGB, night: bool) -> list[RGB]:
    if not night:
        return [rgb]
    dark = tinted(rgb, NIGHT_ROOM_TINT)
    shadow = tinted((10, 10, 50), NIGHT_ROOM_TINT)
    return [mix(dark, shadow, 70 / 255 * (1 - y / 0.5)) for y in (0.18, 0.26, 0.34, 0.42)]


def _sky(rgb: RGB) -> list[RGB]:
    top, foot = mix(rgb, (70, 160, 240), 0.12), lighter(rgb, 0.35)
    return [mix(top, foot, y / FLOOR_LINE) for y in (0.02, 0.12, 0.22, 0.32)]


def floor_ramps(kind: PlaceKind, night: bool) -> Ramps:
    """The one or two shades of each floor."""
    tint = NIGHT_ROOM_TINT if kind in INDOORS else NIGHT_TINT
    plain = {name: FLOOR[name] for name in FLOOR_COLOURS[kind]}
    return {name: [tinted(rgb, tint) if night else rgb] for name, rgb in plain.items()}


def fur_ramps(species: Species, night: bool) -> Ramps:
    """Each fur that a species can have, and the same with the red and blue of it exchanged: a colour that none has."""
    return {name: [_lit(FUR[name], night)] for name in SPECIES_COLOURS[species]}


def collar_ramps(fur: str, night: bool) -> Ramps:
    """Each collar; without one, the fur."""
    return {name: [_lit(FUR[fur] if rgb is None else rgb, night)] for name, rgb in COLLAR.items()}


def _lit(rgb: RGB, night: bool) -> RGB:
    return tinted(rgb, NIGHT_FUR_TINT) if night else rgb


def band(frame: np.ndarray, top: float, foot: float, camera: Sequence[float] | None, step: int = 2) -> np.ndarray:
    """Pixels uint8 `[n, 3]` of a frame between two stage heights, every `step`-th of both directions.

    camera: the rectangle (x0, y0, x1, y1) of the stage that the frame shows; None: the whole height of it.
    """
    y0, y1 = (0.0, 1.0) if camera is None else (camera[1], camera[3])
    rows = len(frame)
    first, last = (round(min(1.0, max(0.0, (y - y0) / (y1 - y0))) * rows) for y in (top, foot))
    return frame[first:last:step, ::step].reshape(-1, 3)
