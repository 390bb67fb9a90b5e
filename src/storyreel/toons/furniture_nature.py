"""What stands in gardens, on beaches and in forests. Manners as in furniture_indoors.py."""

from __future__ import annotations

import math

import skia

from storyreel.toons.furniture_indoors import LIGHT, WHITE, WOOD
from storyreel.toons.palette import RGB, darker, lighter, mix
from storyreel.toons.pen import Pen
from storyreel.toons.shapes import arch, blob, cloud_shape, curve, mirrored, polygon

GREEN: RGB = (92, 184, 84)
SAND: RGB = (244, 208, 130)
BARK: RGB = (142, 94, 62)


def flowerbed(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    spots = [(-0.42, 0.62), (-0.25, 0.92), (-0.08, 0.7), (0.09, 0.95), (0.26, 0.72), (0.42, 0.9)]
    for x, tall in spots:
        pen.stroke(curve((x * w, 0), (x * w * 1.03, -h * 0.4), (x * w, -h * tall)), GREEN, 0.014)
        pen.inked(
            blob([(x * w, -h * 0.2), (x * w + 0.035, -h * 0.42), (x * w + 0.055, -h * 0.36), (x * w + 0.03, -h * 0.2)]),
            GREEN,
            0.7,
        )
    for x, tall in spots:
        for petal in range(5):
            angle = math.tau * petal / 5
            pen.oval(x * w + 0.024 * math.cos(angle), -h * tall + 0.024 * math.sin(angle), 0.021, 0.021, rgb, 0.8)
        pen.oval(x * w, -h * tall, 0.017, 0.017, (255, 216, 60) if rgb[0] < 250 or rgb[2] > 120 else (150, 90, 50), 0.6)
    pen.inked(
        blob(
            [
                (-w * 0.54, -h * 0.06),
                (-w * 0.4, -h * 0.36),
                (0, -h * 0.28),
                (w * 0.4, -h * 0.36),
                (w * 0.54, -h * 0.06),
                (w * 0.3, h * 0.06),
                (-w * 0.3, h * 0.06),
            ]
        ),
        (126, 84, 60),
    )
    for index in range(6):
        pen.oval(w * (-0.42 + 0.168 * index), -0.012, 0.042, 0.026, (186, 186, 194))


def bush(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.inked(
        cloud_shape(
            w, h, ((-0.32, 0.34, 0.36), (-0.12, 0.66, 0.40), (0.16, 0.68, 0.36), (0.34, 0.34, 0.36), (0.0, 0.30, 0.42))
        ),
        rgb,
    )
    for x, y in ((-0.2, -0.62), (0.1, -0.72), (0.28, -0.42), (-0.06, -0.4), (-0.34, -0.34)):
        pen.stroke(curve((x * w - 0.03, y * h), (x * w, y * h - 0.035), (x * w + 0.03, y * h)), darker(rgb, 0.3), 0.010)
    for x, y in ((-0.1, -0.8), (0.24, -0.66), (-0.3, -0.5), (0.05, -0.52)):
        pen.oval(x * w, y * h, 0.014, 0.014, (240, 84, 96), 0.6)


def _crown(pen: Pen, w: float, h: float, rgb: RGB, trunk: float) -> None:
    """A leaf tree: trunk and a round crown with light on its left."""
    pen.inked(polygon([(-trunk, 0), (-trunk * 0.6, -h * 0.5), (trunk * 0.6, -h * 0.5), (trunk, 0)]), BARK)
    puffs = (
        (-0.26, 0.66, 0.22),
        (0.26, 0.66, 0.22),
        (0.0, 0.58, 0.22),
        (-0.14, 0.8, 0.2),
        (0.15, 0.8, 0.2),
        (0.0, 0.72, 0.25),
    )
    shape = cloud_shape(w, h, puffs)
    pen.fill(shape, rgb)
    pen.inside(shape, lambda: pen.oval(-w * 0.08, -h * 0.82, w * 0.3, h * 0.2, lighter(rgb, 0.22), 0))
    for x, y in ((-0.2, 0.62), (0.16, 0.7), (0.0, 0.54), (0.28, 0.6), (-0.02, 0.82)):
        pen.stroke(
            curve((x * w - 0.03, -y * h), (x * w, -y * h + 0.03), (x * w + 0.03, -y * h)), darker(rgb, 0.3), 0.009
        )
    pen.stroke(shape, pen.line_colour(rgb), pen.outline)


def apple_tree(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    _crown(pen, w, h, rgb, 0.05)
    for x, y in ((-0.28, 0.68), (-0.1, 0.6), (0.1, 0.74), (0.28, 0.62), (-0.08, 0.84), (0.18, 0.54)):
        pen.oval(x * w, -y * h, 0.026, 0.026, (236, 60, 60))


def tree(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    _crown(pen, w, h, rgb, 0.036)


def oak(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    _crown(pen, w, h, rgb, 0.075)
    pen.oval(0.0, -h * 0.26, 0.028, 0.04, (64, 40, 44), 0.8)


def parasol(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.inked(
        blob(
            [
                (-w * 0.5, -0.02),
                (-w * 0.3, -0.05),
                (w * 0.3, -0.05),
                (w * 0.5, -0.02),
                (w * 0.4, 0.02),
                (-w * 0.4, 0.02),
            ]
        ),
        lighter(rgb, 0.45),
        0.8,
    )
    pen.line([(0, -h * 0.95), (0, -0.02)], darker(WOOD, 0.4), 0.030)
    pen.line([(0, -h * 0.95), (0, -0.02)], lighter(WOOD, 0.5), 0.016)
    top = -h
    for index, share in enumerate((1.0, 0.6, 0.2)):
        colour = rgb if index != 1 else WHITE
        dome = skia.Path()
        dome.moveTo(-w * 0.5 * share, top + h * 0.36)
        dome.cubicTo(
            -w * 0.42 * share, top - h * 0.06, w * 0.42 * share, top - h * 0.06, w * 0.5 * share, top + h * 0.36
        )
        dome.quadTo(w * 0.25 * share, top + h * 0.30, 0, top + h * 0.36)
        dome.quadTo(-w * 0.25 * share, top + h * 0.30, -w * 0.5 * share, top + h * 0.36)
        dome.close()
        pen.inked(dome, colour)
    pen.oval(0, top, 0.016, 0.016, rgb)


def palm(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    trunk = skia.Path()
    trunk.moveTo(-0.05, 0)
    trunk.quadTo(-0.07, -h * 0.5, 0.03, -h * 0.76)
    pen.stroke(trunk, darker(BARK, 0.5), 0.066)
    pen.stroke(trunk, lighter(BARK, 0.25), 0.05)
    for share in (0.15, 0.3, 0.45, 0.6):
        x = -0.055 - 0.02 * share + 0.08 * share**3
        pen.line([(x - 0.018, -h * share), (x + 0.022, -h * share + 0.008)], darker(BARK, 0.3), 0.008)
    for dx, dy in ((-0.5, -0.50), (0.5, -0.54), (-0.42, -0.84), (0.42, -0.86), (-0.2, -1.02), (0.2, -1.02)):
        frond = blob(
            [
                (0.02, -h * 0.72),
                (dx * w * 0.4, -h * (-dy + 0.16)),
                (dx * w, dy * h),
                (dx * w * 1.0, dy * h + 0.03),
                (dx * w * 0.4, -h * (-dy - 0.02)),
                (0.03, -h * 0.7),
            ]
        )
        pen.inked(frond, rgb)
    for x in (0.0, 0.05):
        pen.oval(x, -h * 0.72, 0.024, 0.024, (120, 76, 50))


def sandcastle(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    def tower(x: float, half: float, tall: float) -> None:
        pen.polygon([(x - half, 0), (x - half * 0.9, -tall), (x + half * 0.9, -tall), (x + half, 0)], SAND)
        for part in (-0.75, 0.0, 0.75):
            pen.box(
                x + half * part - half * 0.24,
                -tall - 0.026,
                x + half * part + half * 0.24,
                -tall + 0.002,
                SAND,
                0.002,
                0.8,
            )

    pen.line([(0, -h * 0.78), (0, -h * 1.1)], darker(WOOD), 0.010)
    pen.polygon([(0, -h * 1.12), (0.09, -h * 1.02), (0, -h * 0.92)], (234, 70, 74), 0.8)
    tower(0, w * 0.2, h * 0.76)
    tower(-w * 0.34, w * 0.14, h * 0.5)
    tower(w * 0.34, w * 0.14, h * 0.5)
    pen.inked(arch(w * 0.17, h * 0.34), darker(SAND, 0.5), 0.8)


def deck_chair(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.line([(-w * 0.44, 0), (w * 0.36, -h * 0.5)], WOOD, 0.024)
    pen.line([(w * 0.4, 0), (-w * 0.46, -h)], WOOD, 0.024)
    cloth = polygon(
        [
            (-w * 0.5, -h),
            (-w * 0.36, -h),
            (-w * 0.02, -h * 0.36),
            (w * 0.42, -h * 0.46),
            (w * 0.4, -h * 0.32),
            (-w * 0.1, -h * 0.2),
        ]
    )
    pen.inked(cloth, rgb)
    pen.stroke(curve((-w * 0.4, -h * 0.9), (-w * 0.06, -h * 0.3), (w * 0.36, -h * 0.38)), lighter(rgb, 0.65), 0.016)


def boat(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    hull = skia.Path()
    hull.moveTo(-w * 0.5, -h * 0.86)
    hull.quadTo(-w * 0.4, -h * 0.1, -w * 0.26, -0.01)
    hull.lineTo(w * 0.26, -0.01)
    hull.quadTo(w * 0.42, -h * 0.1, w * 0.52, -h * 0.98)
    hull.quadTo(0, -h * 0.62, -w * 0.5, -h * 0.86)
    hull.close()
    pen.line([(-w * 0.1, -h * 0.95), (w * 0.3, -h * 0.3)], darker(WOOD, 0.3), 0.022)
    pen.inked(hull, rgb)
    pen.inside(
        hull, lambda: pen.stroke(curve((-w * 0.55, -h * 0.62), (0, -h * 0.36), (w * 0.55, -h * 0.72)), WHITE, h * 0.13)
    )
    pen.stroke(hull, pen.line_colour(rgb), pen.outline)
    pen.oval(w * 0.2, -h * 0.28, 0.032, 0.032, WHITE, 0.8)


def rock(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    shape = blob(
        [
            (-w * 0.5, h * 0.04),
            (-w * 0.52, -h * 0.5),
            (-w * 0.22, -h * 1.04),
            (w * 0.14, -h * 1.06),
            (w * 0.46, -h * 0.74),
            (w * 0.54, h * 0.02),
        ]
    )
    pen.fill(shape, rgb)
    pen.inside(shape, lambda: pen.oval(-w * 0.16, -h * 0.86, w * 0.3, h * 0.3, lighter(rgb, 0.25), 0))
    pen.stroke(shape, pen.line_colour(rgb), pen.outline)
    pen.line([(w * 0.1, -h * 0.5), (w * 0.2, -h * 0.36), (w * 0.16, -h * 0.2)], darker(rgb, 0.35), 0.010)
    pen.inked(blob([(-w * 0.5, 0), (-w * 0.4, -h * 0.18), (-w * 0.26, -h * 0.1), (-w * 0.2, 0.01)]), GREEN, 0.7)


def pine(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(-0.035, -h * 0.2, 0.035, 0, BARK, 0.004)
    for index, (low, top, half) in enumerate(((0.12, 0.52, 0.5), (0.36, 0.76, 0.39), (0.60, 1.0, 0.28))):
        skirt = skia.Path()
        skirt.moveTo(0, -h * top)
        skirt.quadTo(w * half * 0.4, -h * (low + 0.14), w * half, -h * low)
        for step in range(4):
            x = w * half * (1 - step * 0.5)
            skirt.quadTo(x - w * half * 0.25, -h * (low - 0.07), x - w * half * 0.5, -h * low)
        skirt.quadTo(-w * half * 0.4, -h * (low + 0.14), 0, -h * top)
        skirt.close()
        pen.inked(skirt, mix(rgb, lighter(rgb, 0.3), index * 0.4))


def mushroom(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.inked(
        blob(
            mirrored(
                [(0.0, -h * 0.62), (w * 0.18, -h * 0.6), (w * 0.2, -h * 0.2), (w * 0.3, h * 0.02), (0.0, h * 0.03)]
            )
        ),
        (252, 240, 216),
    )
    cap = skia.Path()
    cap.moveTo(-w * 0.52, -h * 0.46)
    cap.cubicTo(-w * 0.5, -h * 1.16, w * 0.5, -h * 1.16, w * 0.52, -h * 0.46)
    cap.quadTo(0, -h * 0.3, -w * 0.52, -h * 0.46)
    cap.close()
    pen.inked(cap, rgb)
    for x, y, r in ((-0.24, 0.62, 0.09), (0.04, 0.82, 0.10), (0.26, 0.58, 0.08), (0.02, 0.52, 0.06)):
        pen.oval(x * w, -y * h, r * w, r * w * 0.85, WHITE, 0)


def log(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(-w * 0.46, -h * 0.92, w * 0.44, 0, BARK, 0.05)
    for y, x0, x1 in ((0.7, -0.3, 0.06), (0.4, -0.38, -0.1), (0.24, 0.0, 0.26), (0.56, 0.12, 0.3)):
        pen.line([(x0 * w, -y * h), (x1 * w, -y * h)], darker(BARK, 0.35), 0.009)
    pen.oval(w * 0.40, -h * 0.46, h * 0.36, h * 0.46, (232, 190, 130))
    pen.oval(w * 0.40, -h * 0.46, h * 0.2, h * 0.27, (206, 156, 100), 0.6)
    pen.inked(
        blob([(-w * 0.4, -h * 0.86), (-w * 0.3, -h * 1.1), (-w * 0.08, -h * 1.04), (-w * 0.02, -h * 0.86)]), GREEN, 0.8
    )


def stump(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.polygon(
        [
            (-w * 0.4, -h * 0.86),
            (w * 0.4, -h * 0.86),
            (w * 0.5, 0),
            (w * 0.2, -0.02),
            (0, 0.01),
            (-w * 0.2, -0.02),
            (-w * 0.5, 0),
        ],
        BARK,
    )
    for x in (-0.22, 0.04, 0.24):
        pen.line([(x * w, -h * 0.6), (x * w * 1.1, -h * 0.24)], darker(BARK, 0.35), 0.009)
    pen.oval(0, -h * 0.86, w * 0.42, h * 0.15, (232, 190, 130))
    pen.oval(0, -h * 0.86, w * 0.22, h * 0.07, (206, 156, 100), 0.6)


def tent(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.polygon([(-w * 0.5, 0), (0, -h), (w * 0.5, 0)], rgb)
    inside = LIGHT if lit else darker(rgb, 0.6)
    pen.polygon([(-w * 0.17, 0), (0, -h * 0.72), (w * 0.17, 0)], inside)
    for side in (-1, 1):
        pen.polygon(
            [(side * w * 0.01, -h * 0.74), (side * w * 0.24, -h * 0.1), (side * w * 0.13, -h * 0.02)],
            lighter(rgb, 0.3),
            0.8,
        )
        pen.line([(side * w * 0.3, -h * 0.4), (side * w * 0.34, -h * 0.1)], lighter(rgb, 0.5), 0.014)
    pen.line([(-0.02, -h * 1.04), (0.0, -h), (0.02, -h * 1.04)], darker(WOOD, 0.3), 0.014)
    if lit:
        pen.glow(0, -h * 0.2, 0.3, (255, 200, 110), 110)
