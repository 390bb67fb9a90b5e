"""GroupNorm and what follows it in plain torch, any dtype and device; the specification of the kernels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from storyreel.ops.group_norm.chunks import Chunks
from storyreel.ops.resize import Cells
from storyreel.ops.resize.reference import enlarge


def group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor,
    bias: Tensor,
    offset: Tensor | None,
    eps: float,
    chunks: Chunks,
    scale: Tensor | None,
    shift: Tensor | None,
    cells: Cells,
    silu: bool,
    lead: int,
    before: Tensor | None,
) -> Tensor:
    wide = torch.promote_types(x.dtype, torch.float32)
    lengths = [chunks.first, *[chunks.each] * (chunks.count - 1)]
    weight, bias = weight.to(wide), bias.to(wide)
    moved = x.to(wide) if offset is None else x.to(wide) + offset.to(wide)[:, None, None, None]
    parts = [F.group_norm(part, groups, weight, bias, eps) for part in moved.split(lengths, dim=2)]
    y = torch.cat(parts, dim=2)
    if scale is not None and shift is not None:
        y = y * enlarge(scale.to(wide), cells) + enlarge(shift.to(wide), cells)
    y = (F.silu(y) if silu else y).to(x.dtype)
    if not lead:
        return y
    return torch.cat([y[:, :, :1].expand(-1, -1, lead, -1, -1) if before is None else before, y], dim=2)
