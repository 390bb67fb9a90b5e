"""Shares with Wilson's interval."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """`right` of `count`."""

    right: int
    count: int

    @property
    def value(self) -> float:
        return self.right / self.count

    def interval(self) -> tuple[float, float]:
        """95% Wilson score interval."""
        z, n, p = 1.96, self.count, self.value
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)

    def __str__(self) -> str:
        low, high = self.interval()
        return f"{100 * self.value:.1f}% [{100 * low:.1f}, {100 * high:.1f}] of {self.count}"
