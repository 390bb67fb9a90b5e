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

    from storyreel.geometry import TokenLayout
    from storyreel.models.transformer import StoryreelTransformer3DModel


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


def guided_velocity(
    transformer: StoryreelTransformer3DModel,
    x: Tensor,
    text: Tensor,
    time: int,
    scale: float,
    layout: TokenLayout,
    *,
    in_turn: bool = False,
) -> Tensor:
    """The guided velocity, float32 `[N, F, C, H, W]`, of N videos at noisy latents x of that shape.

    text `[2, N, S, L, D]`: unconditional, then conditional, in the transformer's dtype. Both go through the transformer
    as one batch, in_turn one after the other, which takes half the memory; at scale 1 the conditional one is enough.
    """
    import torch

    text = text[1:] if scale == 1 else text
    inputs = x.to(transformer.dtype)

    def predict(text: Tensor) -> Tensor:
        rows = text.flatten(0, 1)
        times = torch.full((len(rows),), time, device=x.device)
        return transformer(inputs.repeat(len(text), 1, 1, 1, 1), rows, times, layout).float()

    velocity = torch.cat([predict(branch) for branch in text.split(1)]) if in_turn else predict(text)
    if scale == 1:
        return velocity
    unconditional, conditional = velocity.chunk(2)
    return guided(unconditional, conditional, scale)
