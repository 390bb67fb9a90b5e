"""Outlines that many drawings share, as skia paths."""

from __future__ import annotations

import math

import skia

Point = tuple[float, float]


def polygon(points: list[Point], close: bool = True) -> skia.Path:
    path = skia.Path()
    path.moveTo(*points[0])
    for point in points[1:]:
        path.lineTo(*point)
    if close:
        path.close()
    return path


def blob(points: list[Point]) -> skia.Path:
    """A smooth closed curve: it touches the middle of each side of the polygon of `points`."""
    path = skia.Path()
    last = points[-1]
    path.moveTo((last[0] + points[0][0]) / 2, (last[1] + points[0][1]) / 2)
    for index, point in enumerate(points):
        after = points[(index + 1) % len(points)]
        path.quadTo(point[0], point[1], (point[0] + after[0]) / 2, (point[1] + after[1]) / 2)
    path.close()
    return path


def mirrored(points: list[Point]) -> list[Point]:
    """The points of a right half (from top to bottom) with their mirror images: the outline of something symmetric."""
    return points + [(-x, y) for x, y in reversed(points) if x]


def curve(start: Point, control: Point, end: Point) -> skia.Path:
    path = skia.Path()
    path.moveTo(*start)
    path.quadTo(*control, *end)
    return path


def crescent(path: skia.Path, dx: float, dy: float) -> skia.Path:
    """The part of a shape that its copy moved by (dx, dy) leaves bare: the side away from the light."""
    moved = skia.Path(path)
    moved.offset(dx, dy)
    return skia.Op(path, moved, skia.PathOp.kDifference_PathOp)


def shifted(path: skia.Path, x: float, y: float) -> skia.Path:
    moved = skia.Path(path)
    moved.offset(x, y)
    return moved


def arch(w: float, h: float) -> skia.Path:
    """A doorway with a round top, standing at the origin."""
    path = skia.Path()
    path.moveTo(-w / 2, 0)
    path.lineTo(-w / 2, -h + w / 2)
    path.cubicTo(-w / 2, -h - w * 0.02, w / 2, -h - w * 0.02, w / 2, -h + w / 2)
    path.lineTo(w / 2, 0)
    path.close()
    return path


def star(x: float, y: float, r: float, turn: float = 0.0) -> skia.Path:
    """A five-pointed star around (x, y)."""
    points = [
        (x + math.sin(a) * size, y - math.cos(a) * size)
        for i in range(10)
        for a, size in [(math.tau * i / 10 + turn, r if i % 2 == 0 else r * 0.45)]
    ]
    return polygon(points)


def heart(x: float, y: float, r: float) -> skia.Path:
    """A heart of half width r around (x, y)."""
    path = skia.Path()
    path.moveTo(x, y + r)
    path.cubicTo(x - r * 1.7, y - r * 0.2, x - r * 0.8, y - r * 1.3, x, y - r * 0.4)
    path.cubicTo(x + r * 0.8, y - r * 1.3, x + r * 1.7, y - r * 0.2, x, y + r)
    path.close()
    return path


def cloud_shape(w: float, h: float, puffs: tuple[tuple[float, float, float], ...]) -> skia.Path:
    """Overlapping circles (x, height, radius; shares of w, h, h) as one outline."""
    whole = skia.Path()
    for x, y, r in puffs:
        circle = skia.Path()
        circle.addOval(skia.Rect(x * w - r * h * 0.95, -y * h - r * h, x * w + r * h * 0.95, min(0.0, -y * h + r * h)))
        whole = skia.Op(whole, circle, skia.PathOp.kUnion_PathOp)
    return whole
