"""Launches of both kernels, and what they are to autograd: each is the other's gradient.

Nothing here waits for the device, so that all of it can be captured in a CUDA graph.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from storyreel.ops.resize.cells import Cells
from storyreel.ops.resize.triton_kernels.kernels import gather, spread
from storyreel.ops.resize.triton_kernels.tiles import Tile, divided_up

ELEMENTS = 4096
"""Of a tile: 32 a thread, four loads of 16 bytes in flight in bfloat16."""
LAST = torch.channels_last_3d


def enlarge(x: Tensor, cells: Cells) -> Tensor:
    return _Enlarge.apply(x.contiguous(memory_format=LAST), cells)  # pyright: ignore[reportReturnType]


def average(x: Tensor, cells: Cells, border: int) -> Tensor:
    return _Average.apply(x.contiguous(memory_format=LAST), cells, border)  # pyright: ignore[reportReturnType]


class _Enlarge(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cells: Cells) -> Tensor:
        ctx.cells = cells
        return _spread(x, cells, border=0, average=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _gather(grads[0], ctx.cells, border=0, average=False), None


class _Average(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cells: Cells, border: int) -> Tensor:
        ctx.cells, ctx.border = cells, border
        return _gather(x, cells, border, average=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _spread(grads[0], ctx.cells, ctx.border, average=True), None, None


def _spread(coarse: Tensor, cells: Cells, border: int, average: bool) -> Tensor:
    coarse = coarse.contiguous(memory_format=LAST)
    batch, channels = coarse.shape[:2]
    fine = torch.empty((batch, channels, *cells.fine), dtype=coarse.dtype, device=coarse.device, memory_format=LAST)
    _launch(spread, coarse, fine, cells, border, average, cells.coarse[1] * cells.coarse[2])
    return fine


def _gather(fine: Tensor, cells: Cells, border: int, average: bool) -> Tensor:
    fine = fine.contiguous(memory_format=LAST)
    t, h, w = cells.coarse
    size = (*fine.shape[:2], t, h + border, w + border)
    coarse = torch.empty(size, dtype=fine.dtype, device=fine.device, memory_format=LAST)
    _launch(gather, coarse, fine, cells, border, average, (h + border) * (w + border))
    return coarse


def _launch(kernel: Any, coarse: Tensor, fine: Tensor, cells: Cells, border: int, average: bool, places: int) -> None:
    batch, channels = fine.shape[:2]
    tile = Tile.of(cells, channels, ELEMENTS)
    grid = (cells.coarse[0] * divided_up(places, tile.cells), tile.channel_blocks, batch)
    kernel[grid](
        coarse,
        fine,
        *cells.coarse,
        *cells.fine,
        BORDER=border,
        AVERAGE=average,
        ALONE=cells.alone,
        TIME=cells.time,
        ROWS=cells.rows,
        COLUMNS=cells.columns,
        CHANNELS=channels,
        CELL_BLOCK=tile.cells,
        VALUE_BLOCK=tile.values,
        CHANNEL_BLOCK=tile.channels,
        num_warps=4,
    )
