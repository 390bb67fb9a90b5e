"""Noise, targets and noise levels of diffusion training: pure functions.

v-prediction (arXiv 2202.00512): x_t = a x + s e and v = a e - s x with a^2 = alpha_bar(t), s^2 = 1 - alpha_bar(t).
"""

from __future__ import annotations

import torch
from torch import Tensor

from storyreel.geometry import TokenLayout


def per_latent(values: Tensor, layout: TokenLayout) -> Tensor:
    """Values a segment `[B, S]` to values a latent frame `[B, F]`: 13 of the first segment, 12 of each later one."""
    lengths = torch.tensor([len(layout.latents_of(i)) for i in range(layout.segments)], device=values.device)
    return values.repeat_interleave(lengths, dim=1, output_size=layout.latents)


def add_noise(latents: Tensor, noise: Tensor, alpha_bar: Tensor) -> tuple[Tensor, Tensor]:
    """Noisy latents and the v-target; latents and noise `[B, F, C, H, W]`, alpha_bar `[B, F]` float32."""
    signal = alpha_bar.sqrt()[:, :, None, None, None].to(latents.dtype)
    spread = (1 - alpha_bar).sqrt()[:, :, None, None, None].to(latents.dtype)
    return signal * latents + spread * noise, signal * noise - spread * latents


def draw_noise_levels(
    batch: int, segments: int, steps: int, clean_prefix_share: float, generator: torch.Generator, power: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Noise levels `[B, S]` (int64, 0 cleanest) and loss weights `[B, S]` (float32) of a batch, on the CPU.

    Levels are `steps * u ** power` for u stratified over the batch: with a power above 1 little noise is drawn more
    often than much, which suits a picture that shows through less of it than a video. With probability
    `clean_prefix_share` a sample of several segments has its first 1 to S - 1 segments at the cleanest level without a
    loss on them, and a level of its own for each later one: a memory that never sees anything clean has nothing to
    store (arXiv 2505.20171 loses 2.9 dB without such prefixes).
    """
    strata = (torch.randperm(batch, generator=generator) + torch.rand(batch, generator=generator)) / batch
    levels = (strata**power * steps).long().clamp(max=steps - 1)[:, None].repeat(1, segments)
    weights = torch.ones(batch, segments)
    if segments > 1:
        prefixed = torch.rand(batch, generator=generator) < clean_prefix_share
        lengths = torch.randint(1, segments, (batch,), generator=generator)
        clean = prefixed[:, None] & (torch.arange(segments)[None] < lengths[:, None])
        own = (torch.rand(batch, segments, generator=generator) ** power * steps).long().clamp(max=steps - 1)
        levels = torch.where(prefixed[:, None], own, levels)
        levels, weights = levels.masked_fill(clean, 0), weights.masked_fill(clean, 0.0)
    return levels, weights


def weighted_error(prediction: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Mean squared error over latent frames with weights `[B, F]`; prediction and target `[B, F, C, H, W]`."""
    error = (prediction.float() - target.float()).square().mean(dim=(2, 3, 4))
    return (error * weights).sum() / weights.sum()
