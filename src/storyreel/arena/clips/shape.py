"""The size, frame rate and length that all clips of a story get."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from storyreel.arena.clips.source import Source
from storyreel.errors import DataError

MOST_PIXELS = 1920 * 1080
LEAST_SIDE = 16
MOST_CROPPED = Fraction(1, 4)
"""Of a picture's width; videos whose shapes differ more are not comparable side by side."""


@dataclass(frozen=True)
class ClipShape:
    """What a story's clips have in common: even sides in pixels, frames a second, number of frames."""

    width: int
    height: int
    rate: Fraction
    frames: int

    @property
    def seconds(self) -> float:
        return float(self.frames / self.rate)


def common_shape(story: str, sources: Sequence[Source]) -> ClipShape:
    """The least height, the narrowest shape and the lowest frame rate of `sources`; of wider ones the middle is kept.

    Nothing is enlarged, so no method's pictures are made sharper or softer than a rival's would be at that size.
    DataError: lengths differ by more than a frame, pictures of too different shapes, a side under 16 pixels.
    """
    rate = min(source.rate for source in sources)
    shortest = min(sources, key=lambda source: source.seconds)
    longest = max(sources, key=lambda source: source.seconds)
    # Times in files are rounded to a tick, so a difference of a frame may be a little more.
    if longest.seconds - shortest.seconds > Fraction(101, 100) / rate:
        raise DataError(
            f"{story}: {longest.path} lasts {float(longest.seconds):.3f} s and {shortest.path} "
            f"{float(shortest.seconds):.3f} s, but lengths must agree within a frame ({float(1 / rate):.3f} s). "
            "Cut the longer one."
        )
    widest = max(sources, key=_aspect)
    narrowest = min(sources, key=_aspect)
    aspect = _aspect(narrowest)
    if 1 - aspect / _aspect(widest) > MOST_CROPPED:
        raise DataError(
            f"{story}: {widest.path} is {widest.width}x{widest.height} and {narrowest.path} "
            f"{narrowest.width}x{narrowest.height}, shapes too different to stand side by side. Crop them alike."
        )
    height = Fraction(min(source.height for source in sources))
    if height * height * aspect > MOST_PIXELS:
        height = Fraction(math.sqrt(MOST_PIXELS / aspect))
    width, height = _even(height * aspect), _even(height)
    if min(width, height) < LEAST_SIDE:
        raise DataError(f"{story}: a picture of {width}x{height} is too small to be judged. Give larger videos.")
    return ClipShape(width, height, rate, max(1, math.floor(shortest.seconds * rate + Fraction(1, 2))))


def _aspect(source: Source) -> Fraction:
    return Fraction(source.width, source.height)


def _even(side: Fraction) -> int:
    return int(side / 2 + Fraction(1, 100)) * 2
