"""Both changes of size in plain torch, any dtype and device; the specification of the kernels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from storyreel.ops.resize.cells import Cells


def enlarge(x: Tensor, cells: Cells) -> Tensor:
    first, rest = x[:, :, : cells.alone], x[:, :, cells.alone :]
    parts = [_repeat(rest, (cells.time, cells.rows, cells.columns))]
    if cells.alone:
        parts.insert(0, _repeat(first, (1, cells.rows, cells.columns)))
    return torch.cat(parts, dim=2) if cells.alone else parts[0]


def _repeat(x: Tensor, times: tuple[int, int, int]) -> Tensor:
    """Every value so many times along time, height and width; F.interpolate takes longer, its gradient much longer."""
    t, h, w = times
    spread = x[:, :, :, None, :, None, :, None].expand(-1, -1, -1, t, -1, h, -1, w)
    size = [length * by for length, by in zip(x.shape[-3:], times, strict=True)]
    return spread.reshape(*x.shape[:2], *size)


def average(x: Tensor, cells: Cells, border: int) -> Tensor:
    first, rest = x.split([cells.alone, x.shape[2] - cells.alone], dim=2)
    if cells.time > 1:
        rest = rest.unflatten(2, (-1, cells.time)).mean(dim=3)
    return F.pad(torch.cat([first, rest], dim=2), (0, border, 0, border))
