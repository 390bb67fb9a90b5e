"""Heads and faces: ears, muzzles and beaks, and the eyes, brows and mouths that show a mood."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import skia

from storyreel.toons.palette import INK, RGB
from storyreel.toons.pen import Pen
from storyreel.toons.shapes import Point, blob, crescent, curve, mirrored
from storyreel.toons.stance import Pose

if TYPE_CHECKING:
    from storyreel.toons.cast import Look
from storyreel.toons.builds import Build

WHITE: RGB = (255, 255, 255)
MOUTH: RGB = (120, 22, 44)
TONGUE: RGB = (246, 108, 128)
PINK: RGB = (255, 168, 178)
BLUSH: RGB = (255, 128, 128)
BEAK: RGB = (255, 150, 30)
BLACK: RGB = (38, 26, 40)


def draw_head(pen: Pen, look: Look, pose: Pose, build: Build, at: Point) -> None:
    """The head with its middle at `at`, drawn on a canvas in figure units."""
    pen.canvas.save()
    pen.canvas.translate(*at)
    pen.canvas.rotate(pose.head_tilt)
    _ears(pen, look, pose, build)
    _skull(pen, look, pose, build)
    shift = build.head[0] * 0.30 * abs(pose.turn)
    if look.species == "duck":
        _eyes(pen, look, pose, build, shift * 0.9)
        _beak(pen, pose, build, shift)
    else:
        _eyes(pen, look, pose, build, shift)
        _muzzle(pen, look, pose, build, shift * 1.45)
    _brows(pen, look, pose, build, shift)
    pen.canvas.restore()


@functools.lru_cache(maxsize=16)
def _skull_path(species: str, rx: float, ry: float) -> skia.Path:
    if species == "cat":
        path = skia.Path()
        path.moveTo(0, -ry)
        for side in (1, -1):
            points = (
                [(0.6, -1), (1.0, -0.66), (1.0, -0.05)] if side == 1 else [(-0.6, 1.0), (-0.86, 0.72), (-0.86, 0.72)]
            )
            path.cubicTo(*[value for x, y in points for value in (x * rx, y * ry)])
            if side == 1:
                path.lineTo(1.17 * rx, 0.36 * ry)
                path.lineTo(0.98 * rx, 0.42 * ry)
                path.lineTo(1.06 * rx, 0.72 * ry)
                path.lineTo(0.86 * rx, 0.72 * ry)
                path.cubicTo(0.86 * rx, 0.72 * ry, 0.6 * rx, ry, 0, ry)
        path.lineTo(-1.06 * rx, 0.72 * ry)
        path.lineTo(-0.98 * rx, 0.42 * ry)
        path.lineTo(-1.17 * rx, 0.36 * ry)
        path.lineTo(-1.0 * rx, -0.05 * ry)
        path.cubicTo(-1.0 * rx, -0.66 * ry, -0.6 * rx, -ry, 0, -ry)
        path.close()
        return path
    if species == "dog":
        half = [(0.42, -1.1), (0.98, -0.72), (1.08, 0.3), (0.98, 0.95), (0.45, 1.1)]
        return blob(mirrored([(x * rx, y * ry) for x, y in half]))
    path = skia.Path()
    path.addOval(skia.Rect(-rx, -ry, rx, ry))
    return path


@functools.lru_cache(maxsize=16)
def _skull_shade(species: str, rx: float, ry: float) -> skia.Path:
    return crescent(_skull_path(species, rx, ry), -0.16 * rx, -0.18 * ry)


def _skull(pen: Pen, look: Look, pose: Pose, build: Build) -> None:
    rx, ry = build.head
    path = _skull_path(look.species, rx, ry)
    pen.fill(path, look.fur)
    pen.fill(_skull_shade(look.species, rx, ry), look.shade)
    shift = rx * 0.3 * abs(pose.turn)
    if look.species == "cat":
        for x in (-0.2, 0.0, 0.2):
            pen.line(
                [(rx * x * 1.15 + shift * 0.6, -ry * 0.86), (rx * x + shift * 0.7, -ry * (0.56 if x else 0.48))],
                look.dark,
                pen.outline * 1.25,
            )
    elif look.species == "dog":
        pen.oval(build.eye[0] + shift, build.eye[1] * 1.1, build.eye[2] * 1.5, build.eye[3] * 1.35, look.dark, 0)
    elif look.species == "duck":
        for x, y in ((-0.25, -1.28), (0.05, -1.42), (0.32, -1.22)):
            pen.hose(curve((0, -ry * 0.92), (rx * x * 0.4, -ry * 1.25), (rx * x, ry * y)), look.fur, pen.outline * 1.3)
    pen.stroke(path, pen.line_colour(look.fur), pen.outline)
    if look.species in ("mouse", "rabbit", "duck") or pose.smile > 0.8:
        for side in (-1, 1):
            pen.oval(side * rx * 0.62 + shift * 0.9, ry * 0.42, rx * 0.17, ry * 0.12, BLUSH, 0, 130)


def _ears(pen: Pen, look: Look, pose: Pose, build: Build) -> None:
    rx, ry = build.head
    droop = max(-0.4, min(1.2, pose.ears))
    back = -rx * 0.12 * abs(pose.turn)
    for side in (1, -1):
        pen.canvas.save()
        if look.species == "cat":
            pen.canvas.translate(side * rx * 0.60 + back, -ry * 0.62)
            pen.canvas.rotate(side * (14 + 38 * droop))
            _ear(
                pen,
                [(-0.42, 0.35), (-0.36, -0.5), (0.02, -1.12), (0.10, -1.12), (0.48, -0.5), (0.5, 0.35)],
                rx * 0.72,
                look.fur,
                PINK,
                sharp=True,
            )
        elif look.species == "mouse":
            pen.canvas.translate(side * rx * (0.86 + 0.05 * droop) + back, -ry * (0.92 - 0.42 * max(0.0, droop)))
            pen.oval(0, 0, rx * 0.66, rx * 0.68, look.fur)
            pen.oval(0, rx * 0.04, rx * 0.43, rx * 0.45, PINK, 0)
        elif look.species == "rabbit":
            pen.canvas.translate(side * rx * 0.40 + back, -ry * 0.72)
            pen.canvas.rotate(side * (9 + 62 * max(0.0, droop)) - 7 * abs(pose.turn))
            _ear(
                pen,
                [(-0.22, 0.15), (-0.33, -0.9), (-0.24, -1.95), (0.24, -1.95), (0.33, -0.9), (0.22, 0.15)],
                rx,
                look.fur,
                PINK,
            )
        elif look.species == "dog":
            pen.canvas.translate(side * rx * 0.86 + back, -ry * 0.72)
            pen.canvas.rotate(-side * (16 - 14 * droop))
            shape = [
                (-side * 0.25, -0.28),
                (side * 0.42, -0.3),
                (side * 0.62, 0.55),
                (side * 0.42, 1.35),
                (-side * 0.1, 1.3),
                (-side * 0.25, 0.4),
            ]
            pen.inked(blob([(x * rx, y * ry) for x, y in shape]), look.dark)
        pen.canvas.restore()


def _ear(pen: Pen, shape: list[Point], size: float, fur: RGB, inner: RGB, sharp: bool = False) -> None:
    path = _ear_path(tuple(shape), size, sharp)
    pen.inked(path, fur)
    pen.canvas.save()
    pen.canvas.translate(0, -size * 0.02)
    pen.canvas.scale(0.56, 0.72 if sharp else 0.8)
    pen.fill(path, inner)
    pen.canvas.restore()


@functools.lru_cache(maxsize=16)
def _ear_path(shape: tuple[Point, ...], size: float, sharp: bool) -> skia.Path:
    points = [(x * size, y * size) for x, y in shape]
    if not sharp:
        return blob(points)
    path = skia.Path()
    path.moveTo(*points[0])
    path.quadTo(*points[1], *points[2])
    path.lineTo(*points[3])
    path.quadTo(*points[4], *points[5])
    path.close()
    return path


def _eyes(pen: Pen, look: Look, pose: Pose, build: Build, shift: float) -> None:
    x, y, rx, ry = build.eye
    turn = abs(pose.turn)
    for side in (1, -1):
        narrow = 1 - (0.22 if side == 1 else 0.04) * turn
        wide_x, wide_y = rx * narrow * (0.5 + 0.5 * pose.wide), ry * pose.wide
        middle = side * x * (1 - 0.1 * turn) + shift
        if pose.dizzy > 0.5:
            _cross(pen, middle, y, wide_x, wide_y)
        elif pose.grin > 0.5 or pose.lids > 0.9:
            _closed(pen, middle, y, wide_x, wide_y, up=pose.grin > 0.5)
        else:
            _open_eye(pen, look, pose, (middle, y, wide_x, wide_y), side, turn)


def _cross(pen: Pen, x: float, y: float, rx: float, ry: float) -> None:
    pen.oval(x, y, rx, ry, WHITE)
    for tilt in (1, -1):
        pen.line([(x - rx * 0.5, y - tilt * ry * 0.5), (x + rx * 0.5, y + tilt * ry * 0.5)], BLACK, pen.outline)


def _closed(pen: Pen, x: float, y: float, rx: float, ry: float, up: bool) -> None:
    bend = -0.75 if up else 0.6
    low = y + ry * 0.28
    pen.stroke(
        curve((x - rx * 0.85, low), (x, low + ry * bend * 1.6), (x + rx * 0.85, low)),
        pen.ink or INK,
        pen.outline * 1.35,
    )


def _open_eye(pen: Pen, look: Look, pose: Pose, eye: tuple[float, float, float, float], side: int, turn: float) -> None:
    x, y, rx, ry = eye
    pen.oval(x, y, rx, ry, WHITE)
    gaze = max(-1.0, min(1.0, pose.gaze_x * (1 if turn else 0) + 0.55 * turn - 0.28 * side * (1 - turn)))
    size = pose.pupil
    px, py = x + gaze * rx * 0.42, y + (0.12 + 0.4 * pose.gaze_y) * ry
    pen.oval(px, py, rx * 0.54 * size, ry * 0.60 * size, BLACK, 0)
    pen.oval(px - rx * 0.14, py - ry * 0.24 * size, rx * 0.2, ry * 0.19, WHITE, 0)
    if pose.lids > 0.04:
        level = -1 + 2 * pose.lids
        angle = math.degrees(math.asin(max(-1.0, min(1.0, level))))
        tilt = -side * 14 * pose.brow
        path = skia.Path()
        path.addArc(skia.Rect(x - rx, y - ry, x + rx, y + ry), 180 - angle + tilt, 180 + 2 * angle)
        path.close()
        pen.inked(path, look.fur)


def _brows(pen: Pen, look: Look, pose: Pose, build: Build, shift: float) -> None:
    x, y, rx, ry = build.eye
    strength = max(abs(pose.brow), abs(pose.brow_y)) * 2
    if strength < 0.25:
        return
    high = y - ry * (1.02 * pose.wide + 0.2 + 0.35 * pose.brow_y)
    high = max(high, -build.head[1] * 0.94)
    for side in (1, -1):
        middle = side * x * 1.06 + shift
        tilt = pose.brow * ry * 0.34
        inner = (middle - side * rx * 0.75, high + tilt)
        outer = (middle + side * rx * 0.75, high - tilt)
        bend = (middle, high - ry * 0.22 * (1 - abs(pose.brow)))
        pen.stroke(curve(inner, bend, outer), pen.ink or INK, pen.outline * min(1.45, 0.7 + 0.5 * strength))


def _muzzle(pen: Pen, look: Look, pose: Pose, build: Build, shift: float) -> None:
    rx, ry = build.head
    species = look.species
    y = ry * {"cat": 0.42, "mouse": 0.42, "dog": 0.36, "rabbit": 0.42}[species]
    if species == "dog":
        shift *= 1.25
        pen.oval(shift, ry * 0.42, rx * 0.62, ry * 0.46, look.light)
        y = ry * 0.52
    else:
        puff = rx * (0.30 if species == "cat" else 0.26)
        for side in (-1, 1):
            pen.oval(shift + side * puff * 0.72, y, puff, puff * 0.80, look.light, 0)
    _mouth(pen, pose, shift, y + ry * 0.05, rx * (0.36 if species == "dog" else 0.30), ry * 0.46)
    if species == "rabbit" and pose.mouth < 0.7:
        top = y + ry * (0.10 + 0.14 * pose.smile * (pose.mouth < 0.05))
        pen.box(shift - rx * 0.085, top, shift + rx * 0.085, top + ry * 0.24, WHITE, rx * 0.02, 0.6)
    _nose(pen, species, shift, y, rx, ry)
    if species in ("cat", "mouse"):
        for side in (-1, 1):
            for rise in (-0.16, 0.12):
                start = (shift + side * rx * 0.48, y + ry * rise * 0.5)
                end = (shift * 0.6 + side * rx * 1.22, y + ry * (rise * 1.7 - 0.04))
                pen.line([start, end], pen.ink or INK, pen.outline * 0.55)


def _nose(pen: Pen, species: str, x: float, y: float, rx: float, ry: float) -> None:
    if species == "dog":
        pen.oval(x + rx * 0.10, y - ry * 0.42, rx * 0.25, ry * 0.19, BLACK, 0.6)
        pen.oval(x + rx * 0.03, y - ry * 0.48, rx * 0.07, ry * 0.05, WHITE, 0)
    elif species == "mouse":
        pen.oval(x + rx * 0.06, y - ry * 0.26, rx * 0.20, ry * 0.19, (244, 84, 112), 0.8)
        pen.oval(x + rx * 0.0, y - ry * 0.32, rx * 0.06, ry * 0.05, WHITE, 0)
    else:
        size = rx * (0.13 if species == "cat" else 0.11)
        pen.inked(
            blob([(x - size * 1.5, y - ry * 0.36), (x + size * 1.5, y - ry * 0.36), (x, y - ry * 0.36 + size * 2.1)]),
            (244, 100, 128),
            0.7,
        )


def _mouth(pen: Pen, pose: Pose, x: float, y: float, half: float, deep: float) -> None:
    bend = pose.smile * deep * 0.55
    left, right = (x - half, y - bend * 0.35), (x + half, y - bend * 0.35)
    if pose.mouth < 0.06:
        pen.stroke(curve(left, (x, y + bend), right), pen.ink or INK, pen.outline)
        return
    narrow = 1 - 0.38 * pose.mouth * (pose.smile < 0.2)
    left, right = (x - half * narrow, left[1]), (x + half * narrow, right[1])
    depth = deep * (0.25 + 1.15 * pose.mouth)
    upper = y + bend * 0.35 - (deep * 0.35 if pose.smile < 0 else 0) * pose.mouth
    path = skia.Path()
    path.moveTo(*left)
    path.quadTo(x, upper, *right)
    path.cubicTo(right[0], y + depth * 1.15, left[0], y + depth * 1.15, *left)
    path.close()
    pen.fill(path, MOUTH)
    if pose.mouth > 0.25:
        pen.oval(x, y + depth * 0.56, half * narrow * 0.55, depth * 0.25, TONGUE, 0)
    pen.stroke(path, pen.ink or INK, pen.outline)


def _beak(pen: Pen, pose: Pose, build: Build, shift: float) -> None:
    rx, ry = build.head
    x, y = shift * 1.7, ry * 0.30
    half = rx * (0.62 - 0.05 * abs(pose.turn))
    gape = ry * (0.10 + 0.62 * pose.mouth)
    corner = y - ry * 0.12 * pose.smile
    lower = skia.Path()
    lower.moveTo(x - half * 0.74, corner)
    lower.cubicTo(x - half * 0.6, y + gape * 1.5, x + half * 0.6, y + gape * 1.5, x + half * 0.74, corner)
    lower.close()
    pen.inked(lower, MOUTH if pose.mouth > 0.12 else (232, 120, 20))
    if pose.mouth > 0.25:
        pen.oval(x, y + gape * 0.72, half * 0.34, gape * 0.22, TONGUE, 0)
    path = blob([(x - half * 0.5, y - ry * 0.42), (x + half * 0.5, y - ry * 0.42), (x + half * 1.25,
    corner + ry * 0.02),
                 (x + half * 0.5, y + ry * 0.24), (x - half * 0.5, y + ry * 0.24), (x - half * 1.25,
                 corner + ry * 0.02)])  # fmt: skip
    pen.inked(path, BEAK)
    for side in (-1, 1):
        pen.oval(x + side * half * 0.2, y - ry * 0.2, rx * 0.03, ry * 0.035, (150, 70, 10), 0)
