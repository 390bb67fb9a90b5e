"""Black bars around a picture, measured over samples of the film."""

from __future__ import annotations

import numpy as np

DARK = 30
"""A row or column whose pixels, but for the brightest 2%, never exceed this in any channel (of 255) is black."""
PERCENTILE = 98
LEAST_SHARE = 0.01
"""Bars thinner than this share of a side are the ragged edge of a transfer, not bars."""
MARGIN_PIXELS = 2


class BarMeter:
    """Brightness that each row and column ever had. Dark frames prove nothing, so the maximum over frames counts."""

    def __init__(self, height: int, width: int) -> None:
        self.rows = np.zeros(height, np.float32)
        self.columns = np.zeros(width, np.float32)

    def look(self, frame: np.ndarray) -> None:
        """Takes in one sample, uint8 `[height, width, 3]` RGB."""
        bright = frame.max(axis=2)
        self.rows = np.maximum(self.rows, np.percentile(bright, PERCENTILE, axis=1))
        self.columns = np.maximum(self.columns, np.percentile(bright, PERCENTILE, axis=0))

    def box(self) -> tuple[int, int, int, int]:
        """(x, y, width, height) of the picture, even numbers; the whole frame where nothing was ever bright."""
        y, height = _span(self.rows)
        x, width = _span(self.columns)
        return x, y, width, height


def _span(brightness: np.ndarray) -> tuple[int, int]:
    size = len(brightness)
    bright = np.flatnonzero(brightness > DARK)
    start, stop = (int(bright[0]), int(bright[-1]) + 1) if len(bright) else (0, size)
    # The edge of a bar is soft: two pixels more go with it.
    start = start + MARGIN_PIXELS if start > LEAST_SHARE * size else 0
    stop = stop - MARGIN_PIXELS if size - stop > LEAST_SHARE * size else size
    start += start % 2
    if stop - start < size // 4:
        return 0, size // 2 * 2
    return start, (stop - start) // 2 * 2
