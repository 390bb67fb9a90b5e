"""Houses and what stands around them. Manners as in furniture_indoors.py."""

from __future__ import annotations

import skia

from storyreel.toons.furniture_indoors import DARK, GLASS, LIGHT, STEEL, WHITE
from storyreel.toons.furniture_nature import GREEN
from storyreel.toons.palette import RGB, darker, lighter, mix
from storyreel.toons.pen import Pen
from storyreel.toons.shapes import arch, blob, curve, polygon

ROOF: RGB = (196, 92, 74)


def _pane(pen: Pen, x0: float, y0: float, x1: float, y1: float, frame: RGB, lit: bool) -> None:
    """A window of a house: lit at night."""
    pen.box(x0 - 0.012, y0 - 0.012, x1 + 0.012, y1 + 0.012, frame, 0.006)
    if lit:
        tint, pen.tint = pen.tint, None
        pen.box(x0, y0, x1, y1, LIGHT, 0.004, 0.7)
        pen.tint = tint
        pen.glow((x0 + x1) / 2, (y0 + y1) / 2, 0.16, (255, 190, 90), 90)
    else:
        pen.box(x0, y0, x1, y1, GLASS, 0.004, 0.7)
        pen.line([(x0 + 0.015, y1 - 0.03), (x0 + 0.045, y0 + 0.02)], WHITE, 0.012)
    pen.line([((x0 + x1) / 2, y0), ((x0 + x1) / 2, y1)], frame, 0.010)
    pen.line([(x0, (y0 + y1) / 2), (x1, (y0 + y1) / 2)], frame, 0.010)


def shed(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(-w * 0.42, -h * 0.66, w * 0.42, 0, rgb, 0.004)
    for index in range(1, 8):
        x = w * (-0.42 + 0.105 * index)
        pen.line([(x, -h * 0.64), (x, -0.01)], darker(rgb, 0.3), 0.006)
    pen.box(-w * 0.3, -h * 0.56, 0.0, 0, darker(rgb, 0.25), 0.006)
    pen.line([(-w * 0.28, -h * 0.06), (-0.02, -h * 0.5)], darker(rgb, 0.5), 0.016)
    pen.oval(-0.03, -h * 0.28, 0.012, 0.012, STEEL, 0.6)
    _pane(pen, w * 0.1, -h * 0.5, w * 0.34, -h * 0.28, lighter(rgb, 0.4), lit)
    pen.polygon(
        [(-w * 0.54, -h * 0.6), (0, -h), (w * 0.54, -h * 0.6), (w * 0.5, -h * 0.54), (-w * 0.5, -h * 0.54)],
        darker(mix(rgb, (90, 90, 110), 0.6), 0.1),
    )


def bench(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    for side in (-1, 1):
        pen.box(side * w * 0.4 - 0.014, -h * 0.95, side * w * 0.4 + 0.014, 0, DARK, 0.006, 0.7)
    for y in (-1.0, -0.8, -0.6):
        pen.box(-w / 2, y * h, w / 2, y * h + h * 0.15, rgb, 0.01)
    pen.box(-w * 0.52, -h * 0.42, w * 0.52, -h * 0.24, lighter(rgb, 0.15), 0.012)


def wheelbarrow(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.inked(
        blob([(-w * 0.3, -h * 0.7), (-w * 0.1, -h * 1.12), (w * 0.2, -h * 1.06), (w * 0.36, -h * 0.7)]), (150, 104, 70)
    )
    pen.line([(-w * 0.5, -h * 0.66), (w * 0.3, -h * 0.3)], DARK, 0.022)
    pen.polygon([(-w * 0.36, -h * 0.82), (w * 0.5, -h * 0.82), (w * 0.26, -h * 0.3), (-w * 0.24, -h * 0.3)], rgb)
    pen.line([(-w * 0.2, -h * 0.3), (-w * 0.24, 0)], DARK, 0.02)
    pen.oval(w * 0.3, -h * 0.22, h * 0.22, h * 0.22, DARK)
    pen.oval(w * 0.3, -h * 0.22, h * 0.10, h * 0.10, STEEL, 0.7)


def _facade(pen: Pen, w: float, h: float, wall: RGB, roof: RGB) -> None:
    pen.box(-w * 0.45, -h * 0.7, w * 0.45, 0, wall, 0.004)
    for x, y in ((-0.38, 0.12), (0.3, 0.52), (-0.1, 0.6), (0.36, 0.3), (-0.4, 0.4)):
        pen.line([(x * w, -y * h), (x * w + 0.035, -y * h)], darker(wall, 0.2), 0.008)
    pen.polygon([(-w * 0.52, -h * 0.66), (-w * 0.34, -h), (w * 0.34, -h), (w * 0.52, -h * 0.66)], roof)
    for row in range(1, 3):
        y = -h * (0.66 + 0.115 * row)
        half = w * (0.52 - 0.06 * row)
        for tile in range(8):
            x = -half + tile * half / 4
            pen.stroke(curve((x, y), (x + half / 8, y + 0.03), (x + half / 4, y)), darker(roof, 0.3), 0.007)


def _entrance(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    """A house wall with a door in the middle, a bell to its right and a window to its left."""
    _facade(pen, w, h, (250, 236, 206), ROOF)
    pen.box(-0.12, -h * 0.60, 0.12, 0, lighter(rgb, 0.65), 0.006)
    pen.box(-0.095, -h * 0.56, 0.095, 0, rgb, 0.006)
    for y in (-0.5, -0.24):
        pen.box(-0.06, y * h, 0.06, (y + 0.17) * h, darker(rgb, 0.2), 0.008, 0.7)
    pen.oval(0.066, -h * 0.27, 0.014, 0.014, (255, 206, 80), 0.7)
    pen.box(-0.16, -0.022, 0.16, 0.004, (200, 200, 206), 0.004)
    _pane(pen, -w * 0.41, -h * 0.5, -w * 0.25, -h * 0.26, WHITE, lit)
    if lit:
        pen.glow(0, -h * 0.62, 0.24, (255, 200, 110), 90)


def door_bell(pen: Pen) -> None:
    """A brass bell push around the origin."""
    pen.box(-0.024, -0.036, 0.024, 0.036, (255, 206, 80), 0.01)
    pen.oval(0, 0, 0.013, 0.013, (226, 50, 60), 0.7)


def back_door(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    _entrance(pen, w, h, rgb, lit)
    pen.box(w * 0.24, -h * 0.16, w * 0.40, 0, (206, 110, 70), 0.006)
    pen.inked(blob([(w * 0.22, -h * 0.16), (w * 0.26, -h * 0.3), (w * 0.38, -h * 0.3), (w * 0.42, -h * 0.16)]), GREEN)


def front_door(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    _entrance(pen, w, h, rgb, lit)
    for x in (-0.17, 0.17):
        pen.polygon([(x - 0.03, -0.07), (x + 0.03, -0.07), (x + 0.022, 0), (x - 0.022, 0)], (206, 110, 70))
        pen.oval(x, -0.10, 0.042, 0.045, GREEN)


def house(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(w * 0.16, -h * 1.1, w * 0.26, -h * 0.8, ROOF, 0.004)
    _facade(pen, w, h, lighter(rgb, 0.25), darker(mix(rgb, ROOF, 0.6), 0.1))
    pen.box(-0.06, -h * 0.42, 0.06, 0, darker(rgb, 0.25), 0.006)
    pen.oval(0.036, -h * 0.2, 0.010, 0.010, (255, 206, 80), 0.6)
    for side in (-1, 1):
        x = side * w * 0.27
        _pane(pen, x - 0.055, -h * 0.55, x + 0.055, -h * 0.30, WHITE, lit)
        pen.box(x - 0.075, -h * 0.26, x + 0.075, -h * 0.18, (196, 116, 76), 0.006, 0.8)
        for bloom in (-0.05, 0.0, 0.05):
            pen.oval(x + bloom, -h * 0.28, 0.018, 0.018, (248, 110, 140), 0.6)


def shop(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(-w * 0.46, -h, w * 0.46, 0, (244, 226, 196), 0.006)
    pen.box(-w * 0.5, -h * 1.03, w * 0.5, -h * 0.92, darker(rgb, 0.2), 0.008)
    pen.box(-w * 0.3, -h * 0.86, w * 0.3, -h * 0.72, rgb, 0.02)
    for x in (-0.2, -0.1, 0.0, 0.1, 0.2):
        pen.oval(x * w, -h * 0.79, 0.02, 0.024, lighter(rgb, 0.8), 0)
    _pane(pen, -w * 0.40, -h * 0.46, w * 0.06, -h * 0.12, darker(rgb, 0.2), lit)
    pen.box(w * 0.16, -h * 0.5, w * 0.38, 0, darker(rgb, 0.3), 0.006)
    _pane(pen, w * 0.2, -h * 0.44, w * 0.34, -h * 0.22, lighter(rgb, 0.3), lit)
    for index in range(8):
        x = w * (-0.5 + 0.125 * index)
        pen.polygon(
            [
                (x, -h * 0.68),
                (x + w * 0.125, -h * 0.68),
                (x + w * 0.135, -h * 0.52),
                (x + w * 0.0625, -h * 0.47),
                (x - w * 0.01, -h * 0.52),
            ],
            rgb if index % 2 else WHITE,
            0.8,
        )


def lamp_post(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(-0.015, -h * 0.84, 0.015, -0.01, darker(rgb, 0.35), 0.004, 0.8)
    pen.box(-0.04, -0.06, 0.04, 0, darker(rgb, 0.35), 0.01)
    head = polygon([(-0.045, -h * 0.84), (0.045, -h * 0.84), (0.066, -h * 0.97), (-0.066, -h * 0.97)])
    if lit:
        tint, pen.tint = pen.tint, None
        pen.inked(head, LIGHT)
        pen.tint = tint
        pen.glow(0, -h * 0.9, 0.46, (255, 206, 110), 150)
    else:
        pen.inked(head, (255, 246, 214))
    pen.polygon([(-0.08, -h * 0.965), (0.08, -h * 0.965), (0.0, -h * 1.04)], darker(rgb, 0.35))


def letter_box(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    pen.box(-w * 0.34, -h * 0.1, w * 0.34, 0, darker(rgb, 0.4), 0.004)
    pen.inked(arch(w * 0.84, h * 0.96), rgb)
    pen.box(-w * 0.26, -h * 0.66, w * 0.26, -h * 0.58, DARK, 0.006, 0.6)
    pen.box(-w * 0.24, -h * 0.48, w * 0.24, -h * 0.24, WHITE, 0.004, 0.7)
    pen.line([(-w * 0.2, -h * 0.46), (0, -h * 0.34), (w * 0.2, -h * 0.46)], DARK, 0.007)


def car(pen: Pen, w: float, h: float, rgb: RGB, lit: bool) -> None:
    body = skia.Path()
    body.moveTo(-w * 0.5, -h * 0.16)
    body.cubicTo(-w * 0.5, -h * 0.6, -w * 0.44, -h * 0.62, -w * 0.34, -h * 0.62)
    body.cubicTo(-w * 0.26, -h * 1.08, -w * 0.16, -h, 0, -h)
    body.cubicTo(w * 0.16, -h, w * 0.2, -h * 0.86, w * 0.26, -h * 0.62)
    body.cubicTo(w * 0.46, -h * 0.6, w * 0.5, -h * 0.5, w * 0.5, -h * 0.16)
    body.close()
    pen.inked(body, rgb)
    for points in (
        [(-0.26, 0.62), (-0.2, 0.86), (-0.02, 0.9), (-0.02, 0.62)],
        [(0.02, 0.62), (0.02, 0.9), (0.12, 0.86), (0.2, 0.62)],
    ):
        pen.polygon([(x * w, -y * h) for x, y in points], LIGHT if lit else GLASS, 0.8)
    pen.line([(0, -h * 0.58), (0, -h * 0.22)], darker(rgb, 0.4), 0.007)
    pen.line([(0.03, -h * 0.5), (0.075, -h * 0.5)], DARK, 0.012)
    pen.box(-w * 0.52, -h * 0.24, w * 0.52, -h * 0.12, STEEL, 0.016)
    for side in (-1, 1):
        pen.oval(side * w * 0.28, -h * 0.17, h * 0.2, h * 0.2, DARK)
        pen.oval(side * w * 0.28, -h * 0.17, h * 0.09, h * 0.09, STEEL, 0.7)
    pen.oval(w * 0.45, -h * 0.44, 0.02, 0.026, (255, 240, 170), 0.8)
    if lit:
        pen.glow(w * 0.5, -h * 0.44, 0.2, (255, 226, 140), 120)
