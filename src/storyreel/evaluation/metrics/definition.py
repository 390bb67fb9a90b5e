"""What a metric is, and what one says of one video."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Metric:
    """A number for each video. `better` says which way is good; `source` is where the definition comes from."""

    name: str
    unit: str
    better: Better
    definition: str
    source: str = "ours"


@dataclass(frozen=True)
class Measured:
    """A metric of one video; `why` says what is missing where `value` is None. Shares keep `right` and `count`."""

    value: float | None
    why: str = ""
    right: int | None = None
    count: int | None = None


def number(value: float, why: str = "") -> Measured:
    """A plain number; NaN, which is a mean of nothing, is a missing one, and `why` says of what."""
    return Measured(None, why) if math.isnan(value) else Measured(float(value))


def missing(why: str) -> Measured:
    """No value, and why."""
    return Measured(None, why)


def share(right: int, count: int, why: str) -> Measured:
    """`right` of `count`; missing, with `why`, where there is nothing to count."""
    return Measured(right / count, "", right, count) if count else missing(why)
