"""Attention over a window, a block of tokens after the other, on any device.

A block of L tokens asks its own L keys and the window - 1 before them, under one band-shaped mask that all blocks
share: no more than L (L + window) scores a head at a time. The backward pass takes the blocks again, so that nothing of
them is kept. Letters as in `storyreel.ops.softmax`.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import scaled_dot_product_attention

# Shorter blocks meet fewer masked scores: (L + window) / window of the work. Longer ones keep a processor's cores busy.
LONGEST_BLOCK, SHORTEST_BLOCK = 1024, 64


def window_attention(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """Shapes as in `storyreel.ops.softmax.window_attention`; y like q."""
    if window >= k.shape[1] == q.shape[1]:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
    return _WindowAttention.apply(q, k, v, window)  # pyright: ignore[reportReturnType]


class _WindowAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
        ctx.save_for_backward(q, k, v)
        ctx.window = window
        return torch.cat([_attend(q[:, a], k[:, b], v[:, b], mask) for a, b, mask in _blocks(q, k, window)], dim=1)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, dy: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v = ctx.saved_tensors
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for asks, asked, mask in _blocks(q, k, ctx.window):
            a, b, c = (x.detach().requires_grad_() for x in (q[:, asks], k[:, asked], v[:, asked]))
            with torch.enable_grad():
                y = _attend(a, b, c, mask)
            da, db, dc = torch.autograd.grad(y, (a, b, c), dy[:, asks])
            dq[:, asks] = da
            dk[:, asked] += db
            dv[:, asked] += dc
        return dq, dk, dv, None


def _blocks(q: Tensor, k: Tensor, window: int) -> Iterator[tuple[slice, slice, Tensor]]:
    """Of each block: which tokens ask, which are asked, and bool `[L, keys]`: who sees whom."""
    tokens, ahead = q.shape[1], k.shape[1] - q.shape[1]
    rows = min(LONGEST_BLOCK, max(SHORTEST_BLOCK, window), tokens)
    columns = min(rows + window - 1, k.shape[1])
    back = torch.arange(rows, device=q.device)[:, None] - torch.arange(columns, device=q.device) + (columns - rows)
    band = (back >= 0) & (back < window)
    for start in range(0, tokens, rows):
        end = min(start + rows, tokens)
        first = max(0, ahead + start - window + 1)
        yield slice(start, end), slice(first, ahead + end), band[start - end :, first - ahead - end :]


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), mask).transpose(1, 2)
