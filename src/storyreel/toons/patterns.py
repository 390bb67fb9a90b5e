"""Wallpapers, tiles and boards: what repeats on walls and floors."""

from __future__ import annotations

import math

import skia

from storyreel.toons.palette import RGB, darker, lighter
from storyreel.toons.pen import Pen
from storyreel.toons.shapes import blob, heart, polygon


def wallpaper(pen: Pen, pattern: str, rgb: RGB, width: float, bottom: float) -> None:
    """The wall from the ceiling down to `bottom` in a colour, with a pattern in a lighter shade of it."""
    pen.box(0, 0, width, bottom, rgb, 0, 0)
    tone = lighter(rgb, 0.46)
    if pattern == "stripes":
        for index in range(math.ceil(width / 0.14)):
            pen.box(index * 0.14, 0, index * 0.14 + 0.07, bottom, tone, 0, 0)
    elif pattern == "checks":
        for row in range(math.ceil(bottom / 0.09)):
            for column in range(row % 2, math.ceil(width / 0.09), 2):
                pen.box(column * 0.09, row * 0.09, column * 0.09 + 0.09, min(bottom, row * 0.09 + 0.09), tone, 0, 0)
    elif pattern != "plain":
        _sprinkle(pen, _MOTIFS[pattern], tone if pattern != "hearts" else darker(rgb, 0.2), width, bottom)


def _sprinkle(pen: Pen, motif: skia.Path, rgb: RGB, width: float, bottom: float) -> None:
    """A motif at every second corner of a grid."""
    step = 0.075
    whole = skia.Path()
    for row in range(math.ceil(bottom / step) + 1):
        for column in range(row % 2, math.ceil(width / step) + 1, 2):
            whole.addPath(motif, column * step, row * step + 0.04)
    pen.canvas.save()
    pen.canvas.clipRect(skia.Rect(0, 0, width, bottom))
    pen.fill(whole, rgb)
    pen.canvas.restore()


def _dot() -> skia.Path:
    path = skia.Path()
    path.addCircle(0, 0, 0.024)
    return path


_MOTIFS: dict[str, skia.Path] = {
    "dots": _dot(),
    "diamonds": polygon([(0.0, -0.05), (0.034, 0.0), (0.0, 0.05), (-0.034, 0.0)]),
    "hearts": heart(0, 0, 0.026),
}


def tiles(pen: Pen, width: float, top: float, bottom: float, rgb: RGB, size: float, line: RGB) -> None:
    """Wall tiles with joints."""
    pen.box(0, top, width, bottom, rgb, 0, 0)
    for index in range(1, math.ceil((bottom - top) / size)):
        pen.line([(0, top + index * size), (width, top + index * size)], line, 0.007)
    for index in range(math.ceil(width / size)):
        pen.line([(index * size, top), (index * size, bottom)], line, 0.007)


def slant(x: float, width: float, top: float) -> float:
    """Where a line of the floor that meets the lower edge at x meets the wall: lines run to a point in the middle."""
    return width / 2 + (x - width / 2) * top


def floor_checks(pen: Pen, width: float, top: float, one: RGB, two: RGB, size: float = 0.22) -> None:
    """A chequered floor in perspective."""
    pen.box(0, top, width, 1, one, 0, 0)
    rows = [0.0, 0.2, 0.46, 0.82, 1.3]
    depth = 1 - top
    count = math.ceil(width / size) + 4
    for row in range(4):
        y0, y1 = top + depth * rows[row] / 1.3, top + depth * rows[row + 1] / 1.3
        near, far = 0.72 + 0.28 * rows[row + 1] / 1.3, 0.72 + 0.28 * rows[row] / 1.3
        for column in range(-2, count):
            if (column + row) % 2:
                x0, x1 = column * size, (column + 1) * size
                points = [
                    (slant(x0, width, far), y0),
                    (slant(x1, width, far), y0),
                    (slant(x1, width, near), y1),
                    (slant(x0, width, near), y1),
                ]
                pen.polygon(points, two, 0)


def floor_boards(pen: Pen, width: float, top: float, rgb: RGB) -> None:
    """Planks that run towards the viewer."""
    pen.box(0, top, width, 1, rgb, 0, 0)
    dark = darker(rgb, 0.24)
    for index in range(-3, math.ceil(width / 0.16) + 4):
        x = index * 0.16
        if index % 2:
            points = [(slant(x, width, 0.74), top), (slant(x + 0.16, width, 0.74), top), (x + 0.16, 1.0), (x, 1.0)]
            pen.polygon(points, lighter(rgb, 0.09), 0)
        pen.line([(slant(x, width, 0.74), top), (x, 1.0)], dark, 0.006)
        y = top + (1 - top) * (0.25 + 0.5 * (index * 7 % 5) / 5)
        share = 0.74 + 0.26 * (y - top) / (1 - top)
        pen.line([(slant(x, width, share), y), (slant(x + 0.16, width, share), y)], dark, 0.006)


def hills(pen: Pen, width: float, base: float, rgb: RGB, tall: float, seed: float) -> None:
    """A row of round hills whose feet are at `base`."""
    for index in range(-1, math.ceil(width / 0.5) + 1):
        x = index * 0.5 + 0.2 * math.sin(seed * 9 + index * 2.3)
        high = tall * (0.75 + 0.25 * math.sin(seed * 7 + index * 1.7))
        shape = blob([(x - 0.5, base + 0.1), (x - 0.32, base - high), (x + 0.32, base - high), (x + 0.5, base + 0.1)])
        pen.inked(shape, rgb if index % 2 else lighter(rgb, 0.12))


def peaks(pen: Pen, width: float, base: float, rgb: RGB, tall: float, seed: float) -> None:
    """Mountains with white tops."""
    for index in range(-1, math.ceil(width / 0.42) + 1):
        x = index * 0.42 + 0.1 * math.sin(seed * 9 + index * 2.9)
        high = tall * (0.8 + 0.3 * math.sin(seed * 5 + index * 2.1))
        half = 0.34
        pen.polygon(
            [(x - half, base + 0.02), (x, base - high), (x + half, base + 0.02)], rgb if index % 2 else darker(rgb, 0.1)
        )
        cap = 0.34
        tip = base - high
        low = tip + high * cap
        pen.polygon(
            [
                (x, tip),
                (x + half * cap, low),
                (x + half * cap * 0.4, low - 0.02),
                (x, low + 0.02),
                (x - half * cap * 0.4, low - 0.02),
                (x - half * cap, low),
            ],
            (250, 252, 255),
            0,
        )
