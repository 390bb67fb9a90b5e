"""Furniture of any room, of the kitchen and of the living room.

Every function draws at (0, 0), the middle of the foot, for its width and height, y running down; `lit` is
night, when lamps, screens and fires shine.
"""

from __future__ import annotations

import math

import skia

from storyreel.toons.palette import RGB, darker, lighter, mix
from storyreel.toons.pen import Pen
from storyreel.toons.shapes import arch, blob, curve, polygon

WHITE: RGB = (250, 250, 248)
STEEL: RGB = (184, 194, 206)
DARK: RGB = (62, 54, 72)
GLASS: RGB = (180, 226, 248)
LEAF: RGB = (78, 168, 84)
LIGHT: RGB = (255, 226, 140)
WOOD: RGB = (168, 108, 66)
WATER: RGB = (120, 204, 240)


def window(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    """By day sky and a cloud, by night the moon and stars; curtains in a lighter shade of the frame."""
    pen.box(-w * 0.42, -h, w * 0.42, 0, rgb, 0.012)
    x0, y0, x1, y1 = -w * 0.36, -h * 0.93, w * 0.36, -h * 0.08
    if lit:
        _night_pane(pen, x0, y0, x1, y1)
    else:
        pen.gradient(x0, y0, x1, y1, (108, 192, 250), (208, 240, 255))
        for x, y, r in ((-0.12, -0.42, 0.09), (0.0, -0.48, 0.11), (0.13, -0.41, 0.08)):
            pen.oval(x * w, y * h, r * w, r * w * 0.7, WHITE, 0)
    pen.box(-w * 0.02, y0, w * 0.02, y1, rgb, 0, 0)
    pen.box(x0, -h * 0.54, x1, -h * 0.50, rgb, 0, 0)
    pen.box(-w * 0.48, -h * 0.06, w * 0.48, h * 0.04, lighter(rgb), 0.008)
    cloth = lighter(mix(rgb, (255, 90, 90), 0.55), 0.15)
    for side in (-1, 1):
        pen.inked(
            polygon(
                [
                    (side * w * 0.5, -h * 1.02),
                    (side * w * 0.14, -h * 1.02),
                    (side * w * 0.34, -h * 0.5),
                    (side * w * 0.46, -h * 0.06),
                    (side * w * 0.5, -h * 0.06),
                ]
            ),
            cloth,
        )
        pen.line([(side * w * 0.42, -h * 0.95), (side * w * 0.44, -h * 0.12)], darker(cloth), 0.006)
    pen.box(-w * 0.54, -h * 1.08, w * 0.54, -h * 0.99, darker(cloth, 0.15), 0.01)


def _night_pane(pen: Pen, x0: float, y0: float, x1: float, y1: float) -> None:
    tint, pen.tint = pen.tint, None
    pen.gradient(x0, y0, x1, y1, (24, 30, 92), (72, 70, 150))
    w, h = x1 - x0, y1 - y0
    pen.oval(x0 + w * 0.72, y0 + h * 0.28, h * 0.14, h * 0.14, (255, 244, 190), 0)
    pen.oval(x0 + w * 0.72 - h * 0.06, y0 + h * 0.25, h * 0.12, h * 0.12, (34, 40, 104), 0)
    for x, y in ((0.16, 0.22), (0.34, 0.62), (0.22, 0.8), (0.82, 0.74)):
        pen.oval(x0 + w * x, y0 + h * y, 0.006, 0.006, (255, 250, 210), 0)
    pen.tint = tint


def picture(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(-w / 2, -h, w / 2, 0, rgb, 0.008)
    pen.box(-w * 0.39, -h * 0.87, w * 0.39, -h * 0.13, lighter(rgb, 0.75), 0.004, 0.7)
    pen.inside(
        polygon([(-w * 0.38, -h * 0.86), (w * 0.38, -h * 0.86), (w * 0.38, -h * 0.14), (-w * 0.38, -h * 0.14)]),
        lambda: _landscape(pen, w, h, rgb),
    )


def _landscape(pen: Pen, w: float, h: float, rgb: RGB) -> None:
    pen.oval(w * 0.18, -h * 0.66, w * 0.09, w * 0.09, (255, 206, 70), 0)
    pen.oval(-w * 0.2, -h * 0.04, w * 0.34, h * 0.42, mix(rgb, (80, 170, 110), 0.6), 0)
    pen.oval(w * 0.24, 0, w * 0.34, h * 0.36, mix(rgb, (60, 140, 160), 0.6), 0)


def clock(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.oval(0, -h / 2, w / 2, h / 2, rgb)
    pen.oval(0, -h / 2, w * 0.37, h * 0.37, WHITE, 0.7)
    for hour in range(4):
        angle = math.tau * hour / 4
        pen.oval(math.sin(angle) * w * 0.29, -h / 2 - math.cos(angle) * h * 0.29, 0.006, 0.006, DARK, 0)
    pen.line([(w * 0.16, -h * 0.62), (0, -h / 2), (0, -h * 0.78)], DARK, 0.011)


def door(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(-w / 2, -h, w / 2, 0, lighter(rgb, 0.55), 0.006)
    pen.box(-w * 0.41, -h * 0.95, w * 0.41, 0, rgb, 0.004)
    for top, low in ((-0.88, -0.54), (-0.46, -0.1)):
        for side in (-1, 1):
            pen.box(
                min(side * 0.07, side * 0.33) * w,
                top * h,
                max(side * 0.07, side * 0.33) * w,
                low * h,
                darker(rgb, 0.16),
                0.006,
                0.7,
            )
    pen.oval(w * 0.32, -h * 0.46, 0.016, 0.016, (255, 206, 80), 0.8)


def mouse_hole(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.inked(arch(w, h), lighter(rgb, 0.2))
    pen.inked(arch(w * 0.82, h * 0.9), (48, 34, 50))
    pen.inside(arch(w * 0.82, h * 0.9), lambda: pen.oval(0, 0, w * 0.36, h * 0.12, (86, 62, 70), 0))


def lamp(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(-0.008, -h * 0.7, 0.008, -0.02, STEEL, 0, 0.8)
    pen.oval(0, -0.02, w * 0.3, 0.02, STEEL)
    shade = polygon([(-w * 0.26, -h), (w * 0.26, -h), (w * 0.48, -h * 0.66), (-w * 0.48, -h * 0.66)])
    if lit:
        tint, pen.tint = pen.tint, None
        pen.inked(shade, mix(rgb, LIGHT, 0.65))
        pen.tint = tint
        pen.glow(0, -h * 0.75, 0.55, (255, 214, 120), 130)
    else:
        pen.inked(shade, rgb)


def plant(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    for angle, size in ((-62, 0.62), (62, 0.62), (-32, 0.84), (32, 0.84), (0, 0.95)):
        pen.canvas.save()
        pen.canvas.translate(0, -h * 0.34)
        pen.canvas.rotate(angle)
        pen.inked(
            blob(
                [
                    (0, 0.02),
                    (w * 0.24, -h * 0.22 * size),
                    (w * 0.06, -h * 0.68 * size),
                    (-w * 0.06, -h * 0.68 * size),
                    (-w * 0.24, -h * 0.22 * size),
                ]
            ),
            LEAF,
        )
        pen.line([(0, -0.02), (0, -h * 0.5 * size)], darker(LEAF, 0.25), 0.006)
        pen.canvas.restore()
    pen.polygon([(-w * 0.34, -h * 0.36), (w * 0.34, -h * 0.36), (w * 0.24, 0), (-w * 0.24, 0)], rgb)
    pen.box(-w * 0.4, -h * 0.42, w * 0.4, -h * 0.32, lighter(rgb, 0.2), 0.008)


def stove(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(-w / 2, -h * 0.94, w / 2, -0.015, rgb, 0.012)
    pen.box(-w * 0.52, -h, w * 0.52, -h * 0.9, DARK, 0.008)
    for x in (-0.34, -0.12, 0.12, 0.34):
        pen.oval(x * w, -h * 0.8, 0.016, 0.016, darker(rgb, 0.5), 0.7)
    pen.box(-w * 0.38, -h * 0.66, w * 0.38, -h * 0.16, darker(rgb, 0.3), 0.014)
    pen.box(-w * 0.29, -h * 0.54, w * 0.29, -h * 0.24, (255, 158, 64) if lit else (74, 58, 74), 0.01, 0.7)
    pen.box(-w * 0.32, -h * 0.64, w * 0.32, -h * 0.60, STEEL, 0.006, 0.5)
    pen.box(-w * 0.36, -h * 1.24, -w * 0.02, -h * 1.0, (226, 82, 76), 0.012)
    pen.oval(-w * 0.19, -h * 1.25, w * 0.19, 0.014, (190, 60, 60))
    pen.oval(-w * 0.19, -h * 1.30, 0.012, 0.012, DARK, 0.6)
    pen.line([(-w * 0.02, -h * 1.14), (w * 0.16, -h * 1.17)], DARK, 0.016)


def fridge(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(-w / 2, -h, w / 2, -0.01, rgb, 0.035)
    pen.line([(-w / 2, -h * 0.66), (w / 2, -h * 0.66)], darker(rgb, 0.5), pen.outline)
    for top, low in ((-0.90, -0.74), (-0.56, -0.34)):
        pen.box(-w * 0.38, top * h, -w * 0.29, low * h, STEEL, 0.01, 0.8)
    pen.line([(w * 0.36, -h * 0.92), (w * 0.36, -h * 0.74)], lighter(rgb, 0.7), 0.014)
    pen.oval(w * 0.06, -h * 0.5, 0.018, 0.018, (240, 90, 90), 0.6)
    pen.box(-w * 0.02, -h * 0.48, w * 0.22, -h * 0.34, WHITE, 0.003, 0.6)


def table(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    for x in (-0.4, 0.4):
        pen.polygon(
            [(x * w - 0.022, -h * 0.8), (x * w + 0.022, -h * 0.8), (x * w + 0.015, 0), (x * w - 0.015, 0)],
            darker(rgb, 0.12),
        )
    pen.box(-w * 0.46, -h * 0.82, w * 0.46, -h * 0.62, darker(rgb, 0.2), 0.004)
    cloth = skia.Path()
    cloth.moveTo(-w * 0.5, -h)
    cloth.lineTo(w * 0.5, -h)
    cloth.lineTo(w * 0.51, -h * 0.74)
    for index in range(8):
        x = w * (0.51 - index * 0.1275)
        cloth.quadTo(x - w * 0.064, -h * 0.56, x - w * 0.1275, -h * 0.74)
    cloth.close()
    pen.inked(cloth, (252, 250, 246))
    red = mix((226, 72, 72), rgb, 0.25)
    for index in range(8):
        x = w * (-0.47 + index * 0.1275)
        pen.box(x, -h * 0.985, x + w * 0.05, -h * 0.72, red, 0, 0)
    pen.box(-w * 0.52, -h * 1.02, w * 0.52, -h * 0.93, lighter(rgb, 0.1), 0.01)


def sink(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(-w / 2, -h * 0.9, w / 2, -0.01, rgb, 0.008)
    for side in (-1, 1):
        pen.box(
            min(side * 0.04, side * 0.44) * w,
            -h * 0.74,
            max(side * 0.04, side * 0.44) * w,
            -h * 0.12,
            darker(rgb, 0.12),
            0.01,
            0.7,
        )
        pen.oval(side * w * 0.09, -h * 0.45, 0.012, 0.012, STEEL, 0.6)
    pen.stroke(curve((0, -h * 0.95), (0, -h * 1.5), (w * 0.16, -h * 1.22)), darker(STEEL, 0.5), 0.034)
    pen.stroke(curve((0, -h * 0.95), (0, -h * 1.5), (w * 0.16, -h * 1.22)), STEEL, 0.02)
    pen.box(-w * 0.54, -h, w * 0.54, -h * 0.86, lighter(STEEL, 0.4), 0.01)
    pen.oval(w * 0.3, -h * 1.04, w * 0.09, 0.022, (120, 190, 236), 0.8)


def cupboard(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(-w / 2, -h, w / 2, 0, rgb, 0.008)
    for side in (-1, 1):
        pen.box(
            min(side * 0.03, side * 0.45) * w,
            -h * 0.9,
            max(side * 0.03, side * 0.45) * w,
            -h * 0.1,
            lighter(rgb, 0.18),
            0.008,
            0.8,
        )
        pen.oval(side * w * 0.08, -h * 0.28, 0.012, 0.012, STEEL, 0.6)


def sofa(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    for side in (-1, 1):
        pen.box(side * w * 0.38 - 0.02, -0.04, side * w * 0.38 + 0.02, 0, darker(WOOD), 0.006)
    pen.box(-w * 0.46, -h, w * 0.46, -h * 0.2, darker(rgb, 0.12), 0.05)
    pen.line([(0, -h * 0.92), (0, -h * 0.5)], darker(rgb, 0.4), 0.007)
    for side in (-1, 1):
        pen.oval(side * w * 0.2, -h * 0.72, 0.009, 0.009, darker(rgb, 0.4), 0)
    pen.box(-w * 0.42, -h * 0.46, 0, -h * 0.22, lighter(rgb, 0.14), 0.025)
    pen.box(0, -h * 0.46, w * 0.42, -h * 0.22, lighter(rgb, 0.14), 0.025)
    pen.box(-w * 0.46, -h * 0.26, w * 0.46, -0.03, rgb, 0.02)
    for side in (-1, 1):
        pen.box(side * w * 0.44 - w * 0.07, -h * 0.62, side * w * 0.44 + w * 0.07, -0.02, lighter(rgb, 0.05), 0.045)


def armchair(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    for side in (-1, 1):
        pen.box(side * w * 0.34 - 0.02, -0.04, side * w * 0.34 + 0.02, 0, darker(WOOD), 0.006)
    pen.box(-w * 0.4, -h, w * 0.4, -h * 0.2, darker(rgb, 0.12), 0.075)
    for x, y in ((-0.16, -0.78), (0.16, -0.78), (0.0, -0.64)):
        pen.oval(x * w, y * h, 0.009, 0.009, darker(rgb, 0.4), 0)
    pen.box(-w * 0.36, -h * 0.44, w * 0.36, -h * 0.2, lighter(rgb, 0.16), 0.03)
    pen.box(-w * 0.4, -h * 0.25, w * 0.4, -0.03, rgb, 0.02)
    for side in (-1, 1):
        pen.box(side * w * 0.4 - w * 0.1, -h * 0.6, side * w * 0.4 + w * 0.1, -0.02, lighter(rgb, 0.05), 0.042)


def television(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(-w * 0.46, -h * 0.34, w * 0.46, -0.01, darker(WOOD, 0.1), 0.01)
    pen.line([(0, -h * 0.3), (0, -0.03)], darker(WOOD, 0.5), 0.007)
    for side in (-1, 1):
        pen.oval(side * w * 0.07, -h * 0.18, 0.010, 0.010, (255, 206, 80), 0.5)
        pen.line([(0, -h * 0.9), (side * w * 0.24, -h * 1.18)], DARK, 0.010)
        pen.oval(side * w * 0.24, -h * 1.18, 0.012, 0.012, STEEL, 0.6)
    pen.box(-w * 0.42, -h * 0.96, w * 0.42, -h * 0.36, rgb, 0.035)
    if lit:
        tint, pen.tint = pen.tint, None
        pen.box(-w * 0.35, -h * 0.89, w * 0.20, -h * 0.43, (150, 220, 250), 0.04)
        pen.tint = tint
        pen.glow(-w * 0.06, -h * 0.65, 0.34, (90, 160, 220), 90)
    else:
        pen.box(-w * 0.35, -h * 0.89, w * 0.20, -h * 0.43, (116, 156, 176), 0.04)
    pen.line([(-w * 0.26, -h * 0.76), (-w * 0.16, -h * 0.84)], WHITE, 0.014)
    for y in (-0.8, -0.66):
        pen.oval(w * 0.31, y * h, 0.016, 0.016, DARK, 0.6)
    for y in (-0.54, -0.5, -0.46):
        pen.line([(w * 0.27, y * h), (w * 0.36, y * h)], darker(rgb, 0.5), 0.006)


def bookcase(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(-w / 2, -h, w / 2, -0.01, rgb, 0.008)
    colours: list[RGB] = [
        (214, 74, 70),
        (84, 136, 204),
        (246, 204, 84),
        (92, 166, 98),
        (150, 112, 190),
        (244, 226, 190),
    ]
    for shelf in range(3):
        low = -h * (0.06 + 0.31 * shelf)
        pen.box(-w * 0.44, low - h * 0.26, w * 0.44, low, darker(rgb, 0.4), 0.004, 0.7)
        x = -w * 0.42
        for book in range(9):
            pick = (book * 5 + shelf * 7) % 6
            wide, tall = w * (0.07 + 0.012 * (pick % 3)), h * (0.17 + 0.012 * ((book + shelf) % 4))
            if (book + shelf) % 7 != 5:
                pen.box(x, low - tall, x + wide, low, colours[pick], 0.003, 0.6)
            x += wide + w * 0.008


def fireplace(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(-w * 0.46, -h * 0.92, w * 0.46, 0, rgb, 0.006)
    for row in range(5):
        for brick in range(5):
            x = -w * 0.44 + w * 0.19 * brick + (w * 0.06 if row % 2 else 0)
            pen.line(
                [(x, -h * (0.12 + 0.17 * row)), (min(w * 0.44, x + w * 0.11), -h * (0.12 + 0.17 * row))],
                darker(rgb, 0.3),
                0.006,
            )
    pen.inked(arch(w * 0.56, h * 0.66), (58, 40, 48))
    tint, pen.tint = pen.tint, None
    for x, tall, colour in (
        (0.0, 0.46, (255, 120, 40)),
        (-0.10, 0.30, (255, 150, 50)),
        (0.10, 0.33, (255, 150, 50)),
        (0.0, 0.26, (255, 220, 90)),
    ):
        flame = blob(
            [
                (x * w, -h * (tall + 0.12)),
                (x * w + w * 0.12, -h * 0.2),
                (x * w + w * 0.07, -h * 0.02),
                (x * w - w * 0.07, -h * 0.02),
                (x * w - w * 0.12, -h * 0.2),
            ]
        )
        pen.fill(flame, colour)
    pen.tint = tint
    for side in (-1, 1):
        pen.line([(-side * w * 0.16, -0.045), (side * w * 0.16, -0.02)], darker(WOOD, 0.3), 0.026)
    pen.box(-w * 0.54, -h, w * 0.54, -h * 0.88, darker(WOOD, 0.05), 0.01)
    if lit:
        pen.glow(0, -h * 0.25, 0.5, (255, 140, 50), 120)
