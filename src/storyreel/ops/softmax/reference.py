"""Softmax attention, written out: the specification. Any floating dtype; all tensors share it."""

import torch
from torch import Tensor


def attention(q: Tensor, k: Tensor, v: Tensor, window: int | None = None) -> Tensor:
    """Shapes as in `storyreel.ops.softmax`; each token over all tokens, or over itself and `window` - 1 before it."""
    scores = torch.einsum("bthd,bshd->bhts", q, k) / q.shape[-1] ** 0.5
    if window is not None:
        asks = torch.arange(k.shape[1] - q.shape[1], k.shape[1], device=q.device)[:, None]
        asked = torch.arange(k.shape[1], device=q.device)
        scores = scores.masked_fill((asked > asks) | (asked <= asks - window), -torch.inf)
    return torch.einsum("bhts,bshd->bthd", scores.softmax(-1), v)
