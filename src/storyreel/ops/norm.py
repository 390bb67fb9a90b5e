"""Norms a head at a time. Letters: B batch, T tokens, H heads, D head width."""

import torch
from torch import Tensor


def unit(x: Tensor, smallest: float = 1e-12) -> Tensor:
    """x `[..., D]` with length 1 over its last axis; shorter than `smallest` is divided by that. Keeps the dtype."""
    return torch.nn.functional.normalize(x, dim=-1, eps=smallest)


def head_layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """LayerNorm of x `[B, T, H, D]` over D, with weight and bias `[H, D]` of each head's own."""
    return torch.nn.functional.layer_norm(x, x.shape[-1:], eps=eps) * weight + bias
