"""Places as raster images: each is painted once a light and size, then sampled with the camera's matrix."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import skia

from storyreel.toons.catalogue import spec_of
from storyreel.toons.palette import NIGHT_ROOM_TINT, NIGHT_TINT
from storyreel.toons.pen import Pen, Tint
from storyreel.toons.rooms import draw_furniture, paint_far, paint_near
from storyreel.toons.script import Furniture, Place, TimeOfDay

SAMPLING = skia.SamplingOptions(skia.FilterMode.kLinear)
MARGIN = 0.16
"""How far a piece of furniture may reach beyond its size (aerials, taps, steam)."""


class Scenery:
    """The images of one place in one light, `scale` pixels a unit: `far` (out of doors), `near` and pieces."""

    def __init__(self, place: Place, key: str, time_of_day: TimeOfDay, scale: float) -> None:
        self.place = place
        self.key = key
        self.lit = time_of_day == "night"
        self.scale = scale
        self.far = None if place.indoors else self._image(0.0, 0.0, place.width, 0.72, self._paint_far)
        self.near = self._image(0.0, 0.0, place.width, 1.0, self._paint_near)
        self._pieces: dict[Furniture, tuple[skia.Image, float, float]] = {}

    def _paint_far(self, pen: Pen) -> None:
        paint_far(pen, self.place, self.key, self.lit)

    def _paint_near(self, pen: Pen) -> None:
        paint_near(pen, self.place, self.key, self.lit)

    def _image(self, x0: float, y0: float, x1: float, y1: float, paint: Callable[[Pen], None]) -> skia.Image:
        pixels = np.zeros((math.ceil((y1 - y0) * self.scale), math.ceil((x1 - x0) * self.scale), 4), np.uint8)
        surface = skia.Surface(pixels)
        canvas = surface.getCanvas()
        canvas.scale(self.scale, self.scale)
        canvas.translate(-x0, -y0)
        paint(Pen(canvas, self.scale, self._tint() if self.lit else None, ink=None))
        return surface.makeImageSnapshot()

    def _tint(self) -> Tint:
        return NIGHT_ROOM_TINT if self.place.indoors else NIGHT_TINT

    def piece(self, furniture: Furniture) -> tuple[skia.Image, float, float]:
        """(image, x, y of its corner in stage units) of one piece of furniture, on the pixel grid of `near`."""
        found = self._pieces.get(furniture)
        if found is None:
            spec = spec_of(furniture.kind)
            x0 = math.floor((furniture.x - spec.width / 2 - MARGIN) * self.scale) / self.scale
            y0 = math.floor((spec.top - MARGIN) * self.scale) / self.scale
            image = self._image(
                x0,
                y0,
                furniture.x + spec.width / 2 + MARGIN,
                spec.bottom + 0.05,
                lambda pen: draw_furniture(pen, furniture, self.lit, False),
            )
            found = self._pieces[furniture] = (image, x0, y0)
        return found

    def draw(self, canvas: skia.Canvas, image: skia.Image, x: float = 0.0, y: float = 0.0) -> None:
        """An image of this scenery with its corner at (x, y), on a canvas in stage units."""
        canvas.save()
        canvas.translate(x, y)
        canvas.scale(1 / self.scale, 1 / self.scale)
        canvas.drawImage(image, 0, 0, SAMPLING, None)
        canvas.restore()
