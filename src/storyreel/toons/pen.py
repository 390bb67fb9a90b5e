"""A pen on a skia canvas: filled shapes with bold outlines, limbs like hoses, colours in the light of the scene.

Everything is in stage units; the canvas' matrix makes pixels of them. Paints are kept, since making them costs as much
as a small shape.
"""

from __future__ import annotations

from collections.abc import Callable

import skia

from storyreel.toons.palette import INK, RGB, darker, tinted
from storyreel.toons.shapes import Point, polygon

Tint = tuple[float, float, float]

OUTLINE = 0.0115
"""Width of the ink line of a character, in stage units."""
THINNEST_OUTLINE_PIXELS = 1.2


class Pen:
    """Draws on `canvas`, whose matrix maps stage units; `scale` is pixels a unit, `tint` the light (night) or None.

    With `ink` None each shape is outlined in a darker shade of itself, as painted scenery is.
    """

    def __init__(self, canvas: skia.Canvas, scale: float, tint: Tint | None = None, ink: RGB | None = INK) -> None:
        self.canvas = canvas
        self.tint = tint
        self.ink = ink
        share = 1.0 if ink is not None else 0.62
        self.outline = max(OUTLINE * share, THINNEST_OUTLINE_PIXELS * share / scale)
        self._paints: dict[tuple[RGB, float, int], skia.Paint] = {}
        self._shades: dict[RGB, RGB] = {}

    def paint(self, rgb: RGB, width: float = 0.0, alpha: int = 255) -> skia.Paint:
        """The paint of a colour: a fill, or with a `width` a stroke."""
        key = (rgb, width, alpha)
        paint = self._paints.get(key)
        if paint is None:
            paint = skia.Paint(AntiAlias=True, Color=argb(self.shade(rgb), alpha))
            if width:
                paint.setStyle(skia.Paint.kStroke_Style)
                paint.setStrokeWidth(width)
                paint.setStrokeCap(skia.Paint.kRound_Cap)
                paint.setStrokeJoin(skia.Paint.kRound_Join)
            if len(self._paints) > 4096:
                self._paints.clear()
            self._paints[key] = paint
        return paint

    def shade(self, rgb: RGB) -> RGB:
        """A colour as this light shows it."""
        return tinted(rgb, self.tint) if self.tint else rgb

    def line_colour(self, rgb: RGB) -> RGB:
        """The colour of the outline around a shape."""
        if self.ink is not None:
            return self.ink
        shade = self._shades.get(rgb)
        if shade is None:
            shade = self._shades[rgb] = darker(rgb, 0.55)
        return shade

    def fill(self, path: skia.Path, rgb: RGB, alpha: int = 255) -> None:
        self.canvas.drawPath(path, self.paint(rgb, 0.0, alpha))

    def stroke(self, path: skia.Path, rgb: RGB, width: float, alpha: int = 255) -> None:
        self.canvas.drawPath(path, self.paint(rgb, width, alpha))

    def inked(self, path: skia.Path, rgb: RGB, width: float = 1.0) -> None:
        """Filled and outlined; `width` is a factor on the usual line."""
        self.canvas.drawPath(path, self.paint(rgb))
        self.canvas.drawPath(path, self.paint(self.line_colour(rgb), self.outline * width))

    def oval(self, x: float, y: float, rx: float, ry: float, rgb: RGB, width: float = 1.0, alpha: int = 255) -> None:
        """An ellipse around (x, y); `width` 0 leaves out the outline."""
        rect = skia.Rect(x - rx, y - ry, x + rx, y + ry)
        self.canvas.drawOval(rect, self.paint(rgb, 0.0, alpha))
        if width:
            self.canvas.drawOval(rect, self.paint(self.line_colour(rgb), self.outline * width))

    def box(
        self, x0: float, y0: float, x1: float, y1: float, rgb: RGB, radius: float = 0.0, width: float = 1.0
    ) -> None:
        """A rectangle with round corners; `width` 0 leaves out the outline."""
        rect = skia.Rect(x0, y0, x1, y1)
        self.canvas.drawRoundRect(rect, radius, radius, self.paint(rgb))
        if width:
            self.canvas.drawRoundRect(rect, radius, radius, self.paint(self.line_colour(rgb), self.outline * width))

    def polygon(self, points: list[Point], rgb: RGB, width: float = 1.0) -> None:
        path = polygon(points)
        self.fill(path, rgb)
        if width:
            self.stroke(path, self.line_colour(rgb), self.outline * width)

    def line(self, points: list[Point], rgb: RGB, width: float, alpha: int = 255) -> None:
        self.stroke(polygon(points, close=False), rgb, width, alpha)

    def hose(self, path: skia.Path, rgb: RGB, width: float) -> None:
        """An open path as a thick limb with an outline."""
        self.canvas.drawPath(path, self.paint(self.line_colour(rgb), width + 2 * self.outline))
        self.canvas.drawPath(path, self.paint(rgb, width))

    def shadow(self, x: float, y: float, rx: float, ry: float, alpha: int = 70) -> None:
        """A soft shadow on the ground, as two ellipses."""
        self.oval(x, y, rx, ry, INK, 0, alpha // 2)
        self.oval(x, y, rx * 0.74, ry * 0.7, INK, 0, alpha // 2)

    def glow(self, x: float, y: float, radius: float, rgb: RGB, alpha: int) -> None:
        """Light around a lamp: added to what lies below, whatever the light of the scene."""
        fade = [argb(rgb, alpha), argb(rgb, alpha // 3), argb(rgb, 0)]
        shader = skia.GradientShader.MakeRadial(skia.Point(x, y), radius, fade, [0.0, 0.45, 1.0])
        self.canvas.drawCircle(x, y, radius, skia.Paint(Shader=shader, BlendMode=skia.BlendMode.kPlus))

    def gradient(
        self, x0: float, y0: float, x1: float, y1: float, top: RGB, bottom: RGB, alphas: Point = (255, 255)
    ) -> None:
        """A rectangle whose colour runs from `top` to `bottom`."""
        colours = [argb(self.shade(top), int(alphas[0])), argb(self.shade(bottom), int(alphas[1]))]
        shader = skia.GradientShader.MakeLinear([skia.Point(0, y0), skia.Point(0, y1)], colours)
        self.canvas.drawRect(skia.Rect(x0, y0, x1, y1), skia.Paint(Shader=shader))

    def inside(self, path: skia.Path, draw: Callable[[], None]) -> None:
        """What `draw` draws, cut off at the rim of `path`."""
        self.canvas.save()
        self.canvas.clipPath(path, skia.ClipOp.kIntersect, True)
        draw()
        self.canvas.restore()


def argb(rgb: RGB, alpha: int = 255) -> int:
    """A colour as skia's 32-bit number."""
    return (alpha << 24) | (rgb[0] << 16) | (rgb[1] << 8) | rgb[2]
