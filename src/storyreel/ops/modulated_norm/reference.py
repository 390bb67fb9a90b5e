"""The specification of the kernels in plain torch, any dtype and device. Shapes as for `modulated_norm`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def add_gated(x: Tensor, y: Tensor, gate: Tensor, lengths: Sequence[int]) -> Tensor:
    """gate in float32 (float64 for float64 x), as tables are below."""
    return (x.to(gate.dtype) + per_token(gate, lengths) * y.to(gate.dtype)).to(x.dtype)


def norm(x: Tensor, factor: Tensor, offset: Tensor, lengths: Sequence[int], eps: float) -> Tensor:
    standard = F.layer_norm(x.to(factor.dtype), x.shape[-1:], eps=eps)
    return (standard * per_token(factor, lengths) + per_token(offset, lengths)).to(x.dtype)


def per_token(table: Tensor, lengths: Sequence[int]) -> Tensor:
    """`[B, R, C]` to `[B, T, C]`; without an index, which would have to be sent to the device."""
    rows = table.split(1, dim=1)
    return torch.cat([rows[piece % len(rows)].expand(-1, length, -1) for piece, length in enumerate(lengths)], dim=1)
