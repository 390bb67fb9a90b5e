"""The twelve things that can be carried, each a few flat shapes, and the bites taken out of those that can be eaten.

A prop stands at (0, 0): the middle of its lower edge, y running down. Sizes are in catalogue.PROP_SIZE.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import skia

from storyreel.toons.catalogue import MAX_BITES, PROP_SIZE
from storyreel.toons.palette import RGB, darker, lighter
from storyreel.toons.pen import Pen
from storyreel.toons.script import PropKind
from storyreel.toons.shapes import Point, blob, curve, polygon

CRUST: RGB = (236, 172, 88)
CHEESE: RGB = (255, 212, 66)
STEM: RGB = (74, 160, 72)
METAL: RGB = (196, 202, 214)
WOOD: RGB = (176, 112, 66)
WHITE: RGB = (255, 252, 244)


class Part(NamedTuple):
    """One shape of a prop. `line` is a factor on the outline (0: none, -1: outline alone), bites take `food` away,
    `thick` > 0 makes a stroke of it."""

    path: skia.Path
    rgb: RGB
    line: float = 1.0
    food: bool = False
    thick: float = 0.0


def _oval(x: float, y: float, rx: float, ry: float) -> skia.Path:
    path = skia.Path()
    path.addOval(skia.Rect(x - rx, y - ry, x + rx, y + ry))
    return path


def _box(x0: float, y0: float, x1: float, y1: float, radius: float = 0.0) -> skia.Path:
    path = skia.Path()
    path.addRoundRect(skia.Rect(x0, y0, x1, y1), radius, radius)
    return path


def _pie(w: float, h: float, rgb: RGB) -> list[Part]:
    dish = polygon([(-w * 0.48, -h * 0.38), (w * 0.48, -h * 0.38), (w * 0.34, 0), (-w * 0.34, 0)])
    dome = skia.Path()
    dome.moveTo(-w * 0.44, -h * 0.4)
    dome.cubicTo(-w * 0.4, -h * 1.15, w * 0.4, -h * 1.15, w * 0.44, -h * 0.4)
    dome.close()
    parts = [Part(dome, CRUST, food=True)]
    parts += [
        Part(
            curve((x * w, -h * 0.82), (x * w * 1.1, -h * 0.66), (x * w * 1.15, -h * 0.52)),
            darker(CRUST, 0.4),
            food=True,
            thick=0.014,
        )
        for x in (-0.2, 0.0, 0.2)
    ]
    parts.append(Part(dish, rgb))
    rim = skia.Path()
    for index in range(7):
        rim = skia.Op(
            rim, _oval(w * (index / 6 - 0.5) * 0.9, -h * 0.40, w * 0.10, h * 0.125), skia.PathOp.kUnion_PathOp
        )
    return [*parts, Part(rim, lighter(CRUST, 0.25), 0.8, food=True)]


def _cheese(w: float, h: float, rgb: RGB) -> list[Part]:
    side = polygon([(-w * 0.5, -h * 0.55), (w * 0.5, -h * 0.55), (w * 0.5, 0), (-w * 0.5, 0)])
    top = polygon([(-w * 0.5, -h * 0.55), (w * 0.22, -h), (w * 0.5, -h * 0.55)])
    holes = [(-0.28, -0.3, 0.09), (0.06, -0.2, 0.07), (0.3, -0.36, 0.08)]
    parts = [Part(side, CHEESE, food=True), Part(top, lighter(CHEESE, 0.4), food=True)]
    parts += [Part(_oval(x * w, y * h, r * w, r * w), darker(CHEESE, 0.3), 0, food=True) for x, y, r in holes]
    return [*parts, Part(_box(-w * 0.56, -h * 0.1, w * 0.56, h * 0.04, 0.01), rgb)]


def _ball(w: float, h: float, rgb: RGB) -> list[Part]:
    r = w / 2
    band = skia.Path()
    band.moveTo(-r * 0.97, -r * 1.25)
    band.quadTo(0, -r * 0.75, r * 0.97, -r * 1.25)
    band.lineTo(r * 0.97, -r * 0.75)
    band.quadTo(0, -r * 0.2, -r * 0.97, -r * 0.75)
    band.close()
    round_ = _oval(0, -r, r, r)
    inner = skia.Op(band, round_, skia.PathOp.kIntersect_PathOp)
    return [
        Part(round_, rgb, 0),
        Part(inner, WHITE, 0),
        Part(_oval(-r * 0.35, -r * 1.5, r * 0.2, r * 0.15), lighter(rgb, 0.7), 0),
        Part(round_, rgb, -1),
    ]


def _book(w: float, h: float, rgb: RGB) -> list[Part]:
    parts = [
        Part(
            polygon(
                [
                    (-w * 0.5, -h),
                    (0, -h * 0.86),
                    (w * 0.5, -h),
                    (w * 0.5, -h * 0.08),
                    (0, h * 0.04),
                    (-w * 0.5, -h * 0.08),
                ]
            ),
            rgb,
        )
    ]
    for side in (-1, 1):
        page = skia.Path()
        page.moveTo(0, -h * 0.8)
        page.quadTo(side * w * 0.2, -h * 1.02, side * w * 0.43, -h * 0.9)
        page.lineTo(side * w * 0.43, -h * 0.16)
        page.quadTo(side * w * 0.2, -h * 0.24, 0, -h * 0.06)
        page.close()
        parts.append(Part(page, WHITE, 0.6))
        parts += [
            Part(
                polygon([(side * w * 0.1, -h * y), (side * w * 0.36, -h * (y + 0.03))], close=False),
                (170, 160, 170),
                thick=0.008,
            )
            for y in (0.68, 0.52, 0.36)
        ]
    return parts


def _cake(w: float, h: float, rgb: RGB) -> list[Part]:
    sponge = _box(-w * 0.42, -h * 0.56, w * 0.42, -h * 0.06, 0.012)
    icing = skia.Path()
    icing.moveTo(-w * 0.44, -h * 0.6)
    icing.lineTo(-w * 0.44, -h * 0.36)
    for index in range(4):
        x = -w * 0.44 + w * 0.22 * index
        icing.cubicTo(
            x,
            -h * (0.2 if index % 2 else 0.12),
            x + w * 0.22,
            -h * (0.2 if index % 2 else 0.12),
            x + w * 0.22,
            -h * 0.36,
        )
    icing.lineTo(w * 0.44, -h * 0.6)
    icing.quadTo(0, -h * 0.72, -w * 0.44, -h * 0.6)
    icing.close()
    return [
        Part(_box(-w * 0.5, -h * 0.1, w * 0.5, 0, 0.01), WHITE),
        Part(_box(-w * 0.03, -h * 0.88, w * 0.03, -h * 0.6), WHITE, 0.7, food=True),
        Part(_oval(0, -h * 0.93, w * 0.045, h * 0.075), (255, 176, 40), 0.7, food=True),
        Part(sponge, (250, 220, 160), food=True),
        Part(icing, rgb, food=True),
        Part(_oval(w * 0.26, -h * 0.66, w * 0.075, w * 0.075), (220, 40, 60), 0.7, food=True),
        Part(_oval(-w * 0.26, -h * 0.66, w * 0.075, w * 0.075), (220, 40, 60), 0.7, food=True),
    ]


def _fish(w: float, h: float, rgb: RGB) -> list[Part]:
    """It looks to the left; eaten, it leaves head, bones and tail."""
    body = blob(
        [
            (-w * 0.56, -h * 0.5),
            (-w * 0.2, -h * 1.12),
            (w * 0.26, -h * 0.72),
            (w * 0.36, -h * 0.45),
            (w * 0.2, -h * 0.12),
            (-w * 0.2, h * 0.1),
        ]
    )
    tail = polygon([(w * 0.24, -h * 0.45), (w * 0.5, -h * 0.86), (w * 0.42, -h * 0.42), (w * 0.5, -h * 0.02)])
    left = skia.Path()
    left.addRect(skia.Rect(-w, -h * 1.5, -w * 0.14, h))
    head = skia.Op(body, left, skia.PathOp.kIntersect_PathOp)
    bones = polygon([(-w * 0.3, -h * 0.45), (w * 0.36, -h * 0.45)], close=False)
    for x in (-0.04, 0.08, 0.20):
        bones.addPath(polygon([(x * w, -h * 0.7), (x * w + 0.004, -h * 0.2)], close=False))
    return [
        Part(bones, WHITE, 1, thick=0.012), Part(tail, rgb), Part(body, rgb, food=True), Part(head, rgb),
        Part(body, rgb, 0, food=True), Part(_oval(-w * 0.04, -h * 0.2, w * 0.2, h * 0.16), lighter(rgb, 0.6), 0,
        food=True),
        Part(curve((-w * 0.12, -h * 0.8), (-w * 0.02, -h * 0.5), (-w * 0.12, -h * 0.2)), darker(rgb, 0.5),
        thick=0.008, line=0),
        Part(_oval(-w * 0.28, -h * 0.58, w * 0.065, w * 0.065), WHITE, 0.6), Part(_oval(-w * 0.29, -h * 0.58,
        w * 0.03, w * 0.03), (30, 20, 30), 0),
    ]  # fmt: skip


def _flower(w: float, h: float, rgb: RGB) -> list[Part]:
    y, r = -h * 0.74, w * 0.26
    petals = [
        Part(_oval(r * 1.05 * math.cos(a), y + r * 1.05 * math.sin(a), r * 0.78, r * 0.78), rgb, 0.8)
        for a in (math.tau * (i / 5 - 0.25) for i in range(5))
    ]
    leaf = blob([(0, -h * 0.12), (w * 0.2, -h * 0.34), (w * 0.46, -h * 0.32), (w * 0.3, -h * 0.1)])
    return [
        Part(curve((0, 0), (-w * 0.08, -h * 0.3), (0, y)), STEM, 1, thick=0.018),
        Part(leaf, STEM, 0.7),
        *petals,
        Part(_oval(0, y, r * 0.72, r * 0.72), (255, 216, 60), 0.7),
    ]


def _balloon(w: float, h: float, rgb: RGB) -> list[Part]:
    y = -h * 0.74
    knot = polygon([(-w * 0.1, y + w * 0.72), (w * 0.1, y + w * 0.72), (0, y + w * 0.56)])
    skin = skia.Path()
    skin.moveTo(0, y - w * 0.56)
    skin.cubicTo(w * 0.66, y - w * 0.56, w * 0.6, y + w * 0.28, 0, y + w * 0.64)
    skin.cubicTo(-w * 0.6, y + w * 0.28, -w * 0.66, y - w * 0.56, 0, y - w * 0.56)
    skin.close()
    string = skia.Path()
    string.moveTo(0, y + w * 0.68)
    string.cubicTo(w * 0.14, y + w * 1.0, -w * 0.12, -h * 0.16, 0, 0)
    return [
        Part(string, (250, 250, 250), 0, thick=0.008),
        Part(knot, rgb, 0.8),
        Part(skin, rgb),
        Part(_oval(-w * 0.2, y - w * 0.22, w * 0.11, w * 0.17), lighter(rgb, 0.75), 0),
    ]


def _umbrella(w: float, h: float, rgb: RGB) -> list[Part]:
    canopy = skia.Path()
    canopy.moveTo(-w * 0.5, -h * 0.56)
    canopy.cubicTo(-w * 0.44, -h * 1.1, w * 0.44, -h * 1.1, w * 0.5, -h * 0.56)
    for index in range(4):
        x = w * (0.5 - index * 0.25)
        canopy.quadTo(x - w * 0.125, -h * 0.68, x - w * 0.25, -h * 0.56)
    canopy.close()
    panel = skia.Path()
    panel.moveTo(-w * 0.25, -h * 0.56)
    panel.quadTo(-w * 0.2, -h * 0.9, 0, -h * 0.96)
    panel.quadTo(w * 0.2, -h * 0.9, w * 0.25, -h * 0.56)
    panel.quadTo(w * 0.125, -h * 0.68, 0, -h * 0.56)
    panel.quadTo(-w * 0.125, -h * 0.68, -w * 0.25, -h * 0.56)
    panel.close()
    handle = skia.Path()
    handle.moveTo(0, -h * 0.96)
    handle.lineTo(0, -h * 0.06)
    handle.quadTo(0, h * 0.05, w * 0.09, -h * 0.03)
    return [
        Part(handle, WOOD, 1, thick=0.016),
        Part(canopy, rgb, 0),
        Part(panel, lighter(rgb, 0.62), 0),
        Part(canopy, rgb, -1),
    ]


def _key(w: float, h: float, rgb: RGB) -> list[Part]:
    y, r = -h * 0.5, h * 0.44
    ring = _oval(-w * 0.5 + r, y, r, r)
    shaft = polygon([(-w * 0.06, y - h * 0.13), (w * 0.5, y - h * 0.13), (w * 0.5, y + h * 0.42), (w * 0.38,
    y + h * 0.42), (w * 0.38, y + h * 0.13),
                     (w * 0.28, y + h * 0.13), (w * 0.28, y + h * 0.34), (w * 0.18, y + h * 0.34), (w * 0.18,
                     y + h * 0.13), (-w * 0.06, y + h * 0.13)])  # fmt: skip
    whole = skia.Op(ring, shaft, skia.PathOp.kUnion_PathOp)
    return [Part(skia.Op(whole, _oval(-w * 0.5 + r, y, r * 0.45, r * 0.45), skia.PathOp.kDifference_PathOp), rgb)]


def _drum(w: float, h: float, rgb: RGB) -> list[Part]:
    half = w * 0.46
    side = skia.Path()
    side.moveTo(-half, -h * 0.8)
    side.lineTo(-half, -h * 0.16)
    side.quadTo(0, h * 0.1, half, -h * 0.16)
    side.lineTo(half, -h * 0.8)
    side.close()
    zigzag = polygon(
        [(-half, -h * 0.2), (-half * 0.5, -h * 0.62), (0, -h * 0.1), (half * 0.5, -h * 0.62), (half, -h * 0.2)],
        close=False,
    )
    return [
        Part(side, rgb),
        Part(zigzag, (255, 224, 120), thick=0.012),
        Part(_oval(0, -h * 0.8, half * 1.03, h * 0.19), WHITE),
    ]


def _apple(w: float, h: float, rgb: RGB) -> list[Part]:
    body = blob(
        [
            (0, -h * 0.66),
            (w * 0.36, -h * 0.92),
            (w * 0.6, -h * 0.5),
            (w * 0.36, h * 0.04),
            (0, h * 0.0),
            (-w * 0.36, h * 0.04),
            (-w * 0.6, -h * 0.5),
            (-w * 0.36, -h * 0.92),
        ]
    )
    leaf = blob([(0, -h * 0.8), (w * 0.16, -h * 1.04), (w * 0.42, -h * 1.0), (w * 0.26, -h * 0.8)])
    core = blob(
        [
            (-w * 0.26, -h * 0.86),
            (w * 0.26, -h * 0.86),
            (w * 0.04, -h * 0.46),
            (w * 0.28, 0),
            (-w * 0.28, 0),
            (-w * 0.04, -h * 0.46),
        ]
    )
    return [
        Part(curve((0, -h * 0.7), (0, -h * 0.86), (-w * 0.06, -h)), WOOD, 1, thick=0.012), Part(core, (255, 240,
        200)), Part(body, rgb, food=True),
        Part(_oval(-w * 0.24, -h * 0.56, w * 0.09, h * 0.12), lighter(rgb, 0.65), 0, food=True), Part(leaf, STEM, 0.8),
    ]  # fmt: skip


_SHAPES: dict[PropKind, Callable[[float, float, RGB], list[Part]]] = {
    "pie": _pie, "cheese": _cheese, "ball": _ball, "book": _book, "cake": _cake, "fish": _fish, "flower": _flower,
    "balloon": _balloon, "umbrella": _umbrella, "key": _key, "drum": _drum, "apple": _apple,
}  # fmt: skip

GRIP: dict[PropKind, Point] = {
    "pie": (0.0, 0.0), "cheese": (0.0, -0.04), "ball": (0.0, -0.03), "book": (0.0, -0.07), "cake": (0.0, 0.0),
    "fish": (0.03, -0.05),
    "flower": (0.0, -0.03), "balloon": (0.0, 0.0), "umbrella": (0.0, -0.05), "key": (-0.05, -0.045), "drum": (0.0,
    -0.02), "apple": (0.0, -0.04),
}  # fmt: skip
"""Where a hand holds it, from the middle of its lower edge."""

BOTH_HANDS: frozenset[PropKind] = frozenset(("pie", "ball", "book", "cake", "drum"))


def _bite_path(kind: PropKind, bites: int) -> skia.Path:
    """What so many bites have taken: scallops from the right side on."""
    w, h = PROP_SIZE[kind]
    whole = skia.Path()
    reach = w * (0.26 * bites if bites < MAX_BITES else 1.5)
    left = w * 0.54 - reach
    whole.addRect(skia.Rect(left + h * 0.16, -h * 1.3, w * 0.9, h * 0.3))
    for level in (-0.12, -0.4, -0.68, -0.96):
        whole.addCircle(left + h * 0.17, h * level, h * 0.17)
    return skia.Op(whole, skia.Path(), skia.PathOp.kUnion_PathOp)


@functools.lru_cache(maxsize=512)
def parts_of(kind: PropKind, rgb: RGB, bites: int = 0) -> tuple[Part, ...]:
    """The shapes of a prop in drawing order, with its bites taken out."""
    parts = _SHAPES[kind](*PROP_SIZE[kind], rgb)
    if not bites:
        return tuple(parts)
    bitten = _bite_path(kind, bites)
    kept = []
    for part in parts:
        if part.food and part.thick:
            if part.path.getBounds().right() < bitten.getBounds().left():
                kept.append(part)
        elif part.food:
            left = skia.Op(part.path, bitten, skia.PathOp.kDifference_PathOp)
            if not left.isEmpty():
                kept.append(part._replace(path=left))
        else:
            kept.append(part)
    return tuple(kept)


def draw_prop(pen: Pen, kind: PropKind, rgb: RGB, bites: int = 0) -> None:
    """A prop at the origin of the pen's canvas."""
    for part in parts_of(kind, rgb, bites):
        if part.thick and part.line and not part.food:
            pen.hose(part.path, part.rgb, part.thick)
        elif part.thick:
            pen.stroke(part.path, part.rgb, part.thick)
        elif part.line < 0:
            pen.stroke(part.path, pen.line_colour(part.rgb), pen.outline)
        else:
            pen.fill(part.path, part.rgb)
            if part.line:
                pen.stroke(part.path, pen.line_colour(part.rgb), pen.outline * part.line)
