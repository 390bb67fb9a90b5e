"""A two-layer network with GELU (tanh form) over many tokens, without its hidden values of all tokens at once.

At width 3072 those of 351,168 tokens are 8.6 GB, once before and once behind GELU. Here they are of `chunk` tokens; the
backward pass computes them again.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from storyreel.ops.linear import linear

CHUNK = 16_384
"""Tokens: enough that a GPU's matrix products are as fast as at any length. 0.4 GB of hidden values at width 12288."""

CHUNK_ON_CPU = 1024
"""Tokens, without gradients: hidden values of 5 MiB at width 320, which never leave the cache."""


def feed_forward(
    x: Tensor, w1: Tensor, b1: Tensor | None, w2: Tensor, b2: Tensor | None, *, chunk: int = CHUNK
) -> Tensor:
    """`gelu(x w1^T + b1) w2^T + b2`: x `[..., C]` and the weights of nn.Linear, `[F, C]` and `[C, F]`, in one dtype.

    Gradients flow to all; those of weights are added up over chunks in float32 (float64 for float64).
    """
    rows = x.reshape(-1, x.shape[-1])
    if len(rows) <= chunk:
        y = F.linear(F.gelu(F.linear(rows, w1, b1), approximate="tanh"), w2, b2)
        return y.view(*x.shape[:-1], len(w2))
    y: Any = _FeedForward.apply(rows, w1, b1, w2, b2, chunk)
    return y.view(*x.shape[:-1], len(w2))


def feed_forward_on_cpu(
    x: Tensor,
    w1: Tensor,
    b1: Tensor | None,
    w2: Tensor,
    b2: Tensor | None,
    *,
    products: torch.dtype = torch.float32,
    chunk: int = CHUNK_ON_CPU,
) -> Tensor:
    """As `feed_forward`, without gradients, by the CPU's fastest products of matrices, in the dtype `products`."""
    w1, w2 = w1.to(products), w2.to(products)
    y = x.new_empty(math.prod(x.shape[:-1]), len(w2))
    for rows, out in zip(x.reshape(-1, x.shape[-1]).split(chunk), y.split(chunk), strict=True):
        out.copy_(linear(linear(rows.to(products), w1, b1, gelu=True), w2, b2))
    return y.view(*x.shape[:-1], len(w2))


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        x, w1, b1, w2, b2, chunk = args
        ctx.save_for_backward(x, w1, b1, w2, b2)
        ctx.chunk = chunk
        y = x.new_empty(len(x), len(w2))
        for rows, out in zip(x.split(chunk), y.split(chunk), strict=True):
            hidden = F.gelu(F.linear(rows, w1, b1), approximate="tanh")
            if b2 is None:
                torch.mm(hidden, w2.mT, out=out)
            else:
                torch.addmm(b2, hidden, w2.mT, out=out)
            del hidden  # before the next one is there
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, w1, b1, w2, b2 = ctx.saved_tensors
        wide = torch.promote_types(x.dtype, torch.float32)
        sums = [None if w is None else torch.zeros_like(w, dtype=wide) for w in (w1, b1, w2, b2)]
        dx = torch.empty_like(x)
        for rows, given, out in zip(x.split(ctx.chunk), dy.split(ctx.chunk), dx.split(ctx.chunk), strict=True):
            hidden = F.linear(rows, w1, b1)
            slope = torch.ops.aten.gelu_backward(given @ w2, hidden, approximate="tanh")
            torch.mm(slope, w1, out=out)
            parts = (
                slope.mT @ rows,
                slope.sum(0, dtype=wide),
                given.mT @ F.gelu(hidden, approximate="tanh"),
                given.sum(0, dtype=wide),
            )
            for total, part in zip(sums, parts, strict=True):
                if total is not None:
                    total += part
        return dx, *(None if total is None else total.to(x.dtype) for total in sums), None
