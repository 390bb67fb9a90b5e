"""Decays between the tokens of a chunk. Letters: L tokens of a chunk."""

import torch
from torch import Tensor


def decay_between(sums: Tensor) -> Tensor:
    """What is left at token t of what token s wrote: `[..., L, L]`, exp(sums_t - sums_s) where s <= t, else 0.

    sums `[..., L]`: running sums of log decays. The upper half, which could overflow, is cut off before exp.
    """
    between = sums[..., :, None] - sums[..., None, :]
    future = torch.ones(between.shape[-2:], dtype=torch.bool, device=sums.device).triu(1)
    return between.masked_fill(future, -torch.inf).exp()
