"""Classifier-free guidance that rises from 1 to its maximum while a video is denoised [P].

The first step sees noise alone and decides what is where; strong guidance there burns colours. A scale of exactly 1
needs no unconditional branch, so the first step also costs half.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from storyreel.errors import ConfigError, refusal

if TYPE_CHECKING:
    from torch import Tensor


def guidance_scales(steps: int, maximum: float, power: float = 1.0) -> list[float]:
    """The scale of each step: half a cosine wave from exactly 1 to exactly `maximum` (a single step has the maximum).

    `power` bends the rise: CogVideoX's dynamic guidance has 5, late and steep, which suits 50 steps; with some ten
    steps that would leave most of them unguided, hence 1. ConfigError for a maximum below 1 or that is no number.
    """
    check_guidance(maximum)
    if steps == 1:
        return [float(maximum)]
    rise = [(1 - math.cos(math.pi * (step / (steps - 1)) ** power)) / 2 for step in range(steps)]
    return [1 + (maximum - 1) * part for part in rise]


def check_guidance(maximum: float) -> None:
    """ConfigError for a maximum below 1 or that is no number."""
    if not (math.isfinite(maximum) and maximum >= 1):
        raise ConfigError(refusal("guidance", maximum, "it must be 1 (none) or more", "Try 4"))


def guided(unconditional: Tensor, conditional: Tensor, scale: float) -> Tensor:
    """The prediction moved away from the unconditional one: `unconditional + scale * (conditional - unconditional)`."""
    return unconditional + scale * (conditional - unconditional)
