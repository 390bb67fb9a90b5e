"""Furniture of bedroom and bathroom. Manners as in furniture_indoors.py."""

from __future__ import annotations

import skia

from storyreel.toons.furniture_indoors import GLASS, STEEL, WHITE, WOOD
from storyreel.toons.palette import RGB, darker, lighter
from storyreel.toons.pen import Pen
from storyreel.toons.shapes import blob, curve, mirrored, star


def bed(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    for x in (-0.46, 0.46):
        pen.box(x * w - 0.018, -0.06, x * w + 0.018, 0, darker(WOOD), 0.006)
    pen.box(-w * 0.5, -h, -w * 0.42, -0.03, WOOD, 0.02)
    pen.box(w * 0.43, -h * 0.62, w * 0.5, -0.03, WOOD, 0.02)
    pen.box(-w * 0.46, -h * 0.2, w * 0.46, -0.035, darker(WOOD, 0.1), 0.006)
    pen.box(-w * 0.43, -h * 0.42, w * 0.44, -h * 0.18, WHITE, 0.02)
    pen.inked(
        blob([(-w * 0.43, -h * 0.66), (-w * 0.2, -h * 0.7), (-w * 0.18, -h * 0.38), (-w * 0.42, -h * 0.36)]),
        (255, 252, 240),
    )
    quilt = skia.Path()
    quilt.moveTo(-w * 0.2, -h * 0.45)
    quilt.cubicTo(0, -h * 0.58, w * 0.3, -h * 0.5, w * 0.45, -h * 0.46)
    quilt.lineTo(w * 0.45, -h * 0.14)
    quilt.lineTo(-w * 0.24, -h * 0.14)
    quilt.close()
    pen.inked(quilt, rgb)
    pen.inside(quilt, lambda: _bars(pen, w, h, lighter(rgb, 0.4)))
    pen.polygon(
        [(-w * 0.23, -h * 0.47), (-w * 0.12, -h * 0.51), (-w * 0.15, -h * 0.14), (-w * 0.26, -h * 0.14)],
        lighter(rgb, 0.6),
        0.8,
    )


def _bars(pen: Pen, w: float, h: float, rgb: RGB) -> None:
    for x in (0.0, 0.16, 0.32):
        pen.line([(x * w, -h * 0.6), (x * w - 0.02, 0)], rgb, 0.026)


def wardrobe(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    for side in (-1, 1):
        pen.box(side * w * 0.38 - 0.02, -0.04, side * w * 0.38 + 0.02, 0, darker(rgb), 0.006)
    pen.box(-w * 0.47, -h * 0.95, w * 0.47, -0.03, rgb, 0.01)
    for side in (-1, 1):
        pen.box(
            min(side * 0.02, side * 0.42) * w,
            -h * 0.9,
            max(side * 0.02, side * 0.42) * w,
            -h * 0.10,
            lighter(rgb, 0.15),
            0.012,
            0.8,
        )
        pen.oval(side * w * 0.08, -h * 0.48, 0.013, 0.013, (255, 206, 80), 0.6)
    pen.inked(
        blob(mirrored([(0.0, -h * 1.04), (w * 0.44, -h * 1.0), (w * 0.58, -h * 0.9), (0.3 * w, -h * 0.92)])),
        darker(rgb, 0.1),
    )


def bedside_table(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(-w * 0.44, -h * 0.9, w * 0.44, -0.01, rgb, 0.006)
    pen.box(-w * 0.5, -h, w * 0.5, -h * 0.86, lighter(rgb, 0.15), 0.008)
    for y in (-0.74, -0.4):
        pen.box(-w * 0.34, y * h, w * 0.34, (y + 0.26) * h, darker(rgb, 0.14), 0.006, 0.7)
        pen.oval(0, (y + 0.13) * h, 0.011, 0.011, (255, 206, 80), 0.6)


def toy_chest(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.oval(-w * 0.22, -h * 0.86, 0.045, 0.045, (240, 96, 90))
    pen.oval(w * 0.2, -h * 0.88, 0.04, 0.04, (190, 134, 84))
    for side in (-1, 1):
        pen.oval(w * 0.2 + side * 0.032, -h * 1.03, 0.016, 0.016, (190, 134, 84), 0.8)
    pen.box(-w * 0.48, -h * 0.78, w * 0.48, -0.005, rgb, 0.014)
    pen.box(-w * 0.5, -h * 0.82, w * 0.5, -h * 0.58, lighter(rgb, 0.25), 0.012)
    pen.fill(star(0, -h * 0.28, 0.05), (255, 224, 100))


def mirror(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.oval(0, -h / 2, w / 2, h / 2, rgb)
    pen.oval(0, -h / 2, w * 0.39, h * 0.41, GLASS, 0.7)
    pen.line([(-w * 0.16, -h * 0.5), (w * 0.02, -h * 0.72)], WHITE, 0.016)
    pen.line([(-w * 0.04, -h * 0.42), (w * 0.12, -h * 0.62)], WHITE, 0.010)


def bath(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    for side in (-1, 1):
        pen.oval(side * w * 0.34, -0.025, 0.028, 0.025, (236, 190, 80))
    pen.stroke(curve((w * 0.40, -h * 0.7), (w * 0.40, -h * 1.25), (w * 0.28, -h * 1.08)), darker(STEEL, 0.5), 0.034)
    pen.stroke(curve((w * 0.40, -h * 0.7), (w * 0.40, -h * 1.25), (w * 0.28, -h * 1.08)), STEEL, 0.02)
    for x, r in ((-0.3, 0.036), (-0.2, 0.05), (-0.08, 0.04), (0.03, 0.052), (0.14, 0.038), (0.22, 0.03)):
        pen.oval(x * w, -h * 0.8, r, r, WHITE, 0.7)
    tub = skia.Path()
    tub.moveTo(-w * 0.47, -h * 0.72)
    tub.cubicTo(-w * 0.46, -h * 0.1, -w * 0.4, -0.035, -w * 0.28, -0.035)
    tub.lineTo(w * 0.28, -0.035)
    tub.cubicTo(w * 0.4, -0.035, w * 0.46, -h * 0.1, w * 0.47, -h * 0.72)
    tub.close()
    pen.inked(tub, rgb)
    pen.line([(-w * 0.34, -h * 0.5), (-w * 0.28, -h * 0.22)], lighter(rgb, 0.8), 0.018)
    pen.box(-w * 0.5, -h * 0.8, w * 0.5, -h * 0.66, lighter(rgb, 0.35), 0.022)


def toilet(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(-w * 0.42, -h, w * 0.42, -h * 0.52, rgb, 0.02)
    pen.box(-w * 0.46, -h * 1.03, w * 0.46, -h * 0.92, lighter(rgb, 0.3), 0.012)
    pen.box(-w * 0.32, -h * 0.84, -w * 0.14, -h * 0.78, STEEL, 0.006, 0.6)
    pen.polygon([(-w * 0.26, -h * 0.3), (w * 0.26, -h * 0.3), (w * 0.32, 0), (-w * 0.32, 0)], darker(rgb, 0.08))
    pen.inked(
        blob(
            [
                (-w * 0.52, -h * 0.52),
                (w * 0.52, -h * 0.52),
                (w * 0.44, -h * 0.2),
                (w * 0.1, -h * 0.14),
                (-w * 0.1, -h * 0.14),
                (-w * 0.44, -h * 0.2),
            ]
        ),
        rgb,
    )
    pen.oval(0, -h * 0.47, w * 0.44, h * 0.075, lighter(rgb, 0.4))
    pen.oval(0, -h * 0.465, w * 0.29, h * 0.04, (150, 196, 220), 0.7)


def basin(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.polygon([(-w * 0.12, -h * 0.7), (w * 0.12, -h * 0.7), (w * 0.2, 0), (-w * 0.2, 0)], darker(rgb, 0.08))
    pen.inked(
        blob(
            [
                (-w * 0.5, -h * 0.94),
                (w * 0.5, -h * 0.94),
                (w * 0.46, -h * 0.62),
                (w * 0.1, -h * 0.5),
                (-w * 0.1, -h * 0.5),
                (-w * 0.46, -h * 0.62),
            ]
        ),
        rgb,
    )
    pen.box(-w * 0.52, -h, w * 0.52, -h * 0.86, lighter(rgb, 0.3), 0.016)
    pen.stroke(curve((0, -h), (0, -h * 1.3), (w * 0.16, -h * 1.14)), darker(STEEL, 0.5), 0.03)
    pen.stroke(curve((0, -h), (0, -h * 1.3), (w * 0.16, -h * 1.14)), STEEL, 0.017)
    pen.box(w * 0.24, -h * 1.2, w * 0.4, -h, (120, 190, 236), 0.008, 0.8)
    pen.line([(w * 0.3, -h * 1.2), (w * 0.27, -h * 1.42)], (240, 96, 110), 0.012)


def towel_rail(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(-w / 2, -h, w / 2, -h * 0.9, STEEL, 0.01)
    pen.box(-w * 0.36, -h * 0.95, w * 0.3, 0, rgb, 0.012)
    for y in (-0.24, -0.14):
        pen.line([(-w * 0.34, y * h), (w * 0.28, y * h)], lighter(rgb, 0.55), 0.012)


def laundry_basket(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.inked(
        blob(
            [
                (-w * 0.42, -h * 0.8),
                (-w * 0.2, -h * 1.16),
                (w * 0.1, -h * 1.0),
                (w * 0.36, -h * 1.1),
                (w * 0.44, -h * 0.74),
            ]
        ),
        (120, 176, 230),
    )
    pen.polygon([(-w * 0.46, -h * 0.8), (w * 0.46, -h * 0.8), (w * 0.38, 0), (-w * 0.38, 0)], rgb)
    for row in range(3):
        for hole in range(5):
            pen.box(
                w * (-0.33 + 0.145 * hole),
                -h * (0.62 - 0.19 * row),
                w * (-0.25 + 0.145 * hole),
                -h * (0.52 - 0.19 * row),
                darker(rgb, 0.4),
                0.006,
                0,
            )
    pen.box(-w * 0.5, -h * 0.86, w * 0.5, -h * 0.72, lighter(rgb, 0.2), 0.012)
