"""Launches of the kernels, and what they are to autograd.

Nothing here waits for the device, so that all of it can be captured in a CUDA graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from storyreel.ops.group_norm.chunks import Chunks
from storyreel.ops.group_norm.triton_kernels.backward import cell_sums, group_means, input_gradient
from storyreel.ops.group_norm.triton_kernels.forward import channel_sums, group_moments, normalise
from storyreel.ops.resize.cells import Cells
from storyreel.ops.resize.triton_kernels.tiles import Tile, divided_up, power_of_two

LAST = torch.channels_last_3d
ELEMENTS = 2048
"""Of a tile: 16 a thread, so that the backward's two sums of each leave registers for three programs at once."""
PROGRAMS = 132 * 16
"""Of a launch, where there is so much work: 16 programs of four warps a multiprocessor of an H200 hide its latency."""

REGISTERS = {"normalise": 96, "cell_sums": 168, "input_gradient": 128}
"""At most, a thread: the most programs at once that spill nothing. ptxas alone takes 220 for `cell_sums`."""


@dataclass(frozen=True)
class Problem:
    """All of a call but its tensors. in_cells: `chunks` in frames of `cells.coarse`."""

    groups: int
    eps: float
    chunks: Chunks
    cells: Cells
    in_cells: Chunks
    silu: bool
    lead: int


def group_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    offset: Tensor | None,
    scale: Tensor | None,
    shift: Tensor | None,
    before: Tensor | None,
    problem: Problem,
) -> Tensor:
    """As the op's `group_norm`; every tensor in memory as the kernels want it, copied where it is not."""
    x = x.contiguous(memory_format=LAST)
    row = x.shape[1]
    if scale is not None and shift is not None:
        if _alike_rows(scale, shift):
            row = scale.stride(4)
        else:
            scale, shift = scale.contiguous(memory_format=LAST), shift.contiguous(memory_format=LAST)
    offset = None if offset is None else offset.contiguous()
    tensors = (x, weight.contiguous(), bias.contiguous(), offset, scale, shift, before)
    return _GroupNorm.apply(*tensors, row, problem)  # pyright: ignore[reportReturnType]


def _alike_rows(scale: Tensor, shift: Tensor) -> bool:
    """Whether both have their channels side by side and their cells one row after the other, equally far apart."""
    _, _, t, h, w = scale.shape
    row = scale.stride(4)
    strides = (t * h * w * row, 1, h * w * row, w * row, row)
    return scale.stride() == shift.stride() == strides


class _GroupNorm(torch.autograd.Function):
    """(x, weight, bias, offset, scale, shift, before, elements from a row of scale to the next, problem) to y."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        x, weight, bias, offset, scale, shift, before, row, problem = args
        moments, away = _moments(x, offset, problem)
        batch, channels, frames, height, width = x.shape
        size = (batch, channels, problem.lead + frames, height, width)
        y = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=LAST)
        if before is not None:
            y[:, :, : problem.lead].copy_(before)
        ctx.problem, ctx.how = problem, (problem.lead > 0 and before is None, row)
        _launch(normalise, x, problem, ctx.how, (x, y, moments, weight, bias), scale, shift)
        ctx.save_for_backward(x, moments, away, weight, bias, offset, scale, shift)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, moments, away, weight, bias, offset, scale, shift = ctx.saved_tensors
        problem: Problem = ctx.problem
        dy = grads[0].contiguous(memory_format=LAST)
        dscale, dshift = (
            None if given is None else torch.empty(given.shape, dtype=given.dtype, device=x.device, memory_format=LAST)
            for given in (scale, shift)
        )
        splits, _ = _shares(x, problem)
        sums = torch.empty(len(moments), splits, 2, x.shape[1], device=x.device)
        inputs = (x, dy, moments, weight, bias)
        _launch(cell_sums, x, problem, ctx.how, inputs, scale, shift, dscale, dshift, sums)
        totals, means = moments.new_empty(len(moments), 3, x.shape[1]), torch.empty_like(moments)
        inputs = (sums, weight, moments, away, totals, means, splits)
        _launch_groups(group_means, x, problem, offset is not None, inputs)
        dx = None
        if ctx.needs_input_grad[0]:
            dx = torch.empty_like(x)
            inputs = (x, dy, moments, means, weight, bias)
            _launch(input_gradient, x, problem, ctx.how, inputs, scale, shift, dx)
        dbias, dweight, doffset = totals.sum(0).unbind()
        doffset = None if offset is None else doffset.to(offset.dtype)
        dbefore = dy[:, :, : problem.lead].clone() if ctx.needs_input_grad[6] else None
        return dx, dweight.to(weight.dtype), dbias.to(bias.dtype), doffset, dscale, dshift, dbefore, None, None


def _moments(x: Tensor, offset: Tensor | None, problem: Problem) -> tuple[Tensor, Tensor]:
    """What `group_moments` says of every chunk: moments `[B * chunks, 2, C]`, away `[B * chunks, C]`."""
    batch, channels, frames, height, width = x.shape
    chunks, lanes = problem.chunks, batch * problem.chunks.count
    flat = Cells.between((1, height, width), (1, height, width))
    tile = Tile.of(flat, channels, 2 * ELEMENTS)
    values = max(chunks.first, chunks.each) * height * width
    wanted = divided_up(PROGRAMS, lanes * tile.channel_blocks)
    splits = max(1, min(wanted, divided_up(values, 2 * tile.cells)))
    sums = torch.empty(lanes, splits, 2, channels, device=x.device)
    moments, away = (torch.empty(size, device=x.device) for size in ((lanes, 2, channels), (lanes, channels)))
    kernel: Any = channel_sums
    kernel[(splits, tile.channel_blocks, lanes)](
        x,
        sums,
        frames,
        height * width,
        chunks.first,
        chunks.each,
        chunks.count,
        divided_up(values, splits * tile.cells),
        CHANNELS=channels,
        VALUE_BLOCK=tile.cells,
        CHANNEL_BLOCK=tile.channels,
        num_warps=4,
    )
    given = x if offset is None else offset
    inputs = (x, sums, moments, given, away, splits, frames)
    _launch_groups(group_moments, x, problem, offset is not None, inputs, problem.eps)
    return moments, away


def _shares(x: Tensor, problem: Problem) -> tuple[int, int]:
    """(how many programs share the tiles of a lane, how many of them each takes), as `_launch` has it."""
    tile = Tile.of(problem.cells, x.shape[1], ELEMENTS)
    _, h, w = problem.cells.coarse
    tiles = max(problem.in_cells.first, problem.in_cells.each) * divided_up(h * w, tile.cells)
    lanes = len(x) * problem.in_cells.count
    steps = divided_up(tiles, max(1, min(tiles, PROGRAMS // (lanes * tile.channel_blocks))))
    return divided_up(tiles, steps), steps


def _launch(
    kernel: Any,
    x: Tensor,
    problem: Problem,
    how: tuple[bool, int],
    inputs: tuple[Tensor, ...],
    scale: Tensor | None,
    shift: Tensor | None,
    *outputs: Tensor | None,
) -> None:
    """how: whether the frames in front are copies of the first, elements from one row of scale or shift to the next."""
    cells, chunks = problem.cells, problem.in_cells
    tile = Tile.of(cells, x.shape[1], ELEMENTS)
    # Kernels of a norm without modulation read none of these, but Triton wants an address for each.
    given = [x if tensor is None else tensor for tensor in (scale, shift)]
    made = [x if tensor is None else tensor for tensor in outputs]
    repeat, row = how
    programs, steps = _shares(x, problem)
    grid = (programs, tile.channel_blocks, len(x) * chunks.count)
    kernel[grid](
        *inputs,
        *given,
        row,
        *made,
        *cells.coarse,
        *cells.fine,
        chunks.first,
        chunks.each,
        chunks.count,
        steps,
        MODULATED=scale is not None,
        SILU=problem.silu,
        LEAD=problem.lead,
        REPEAT=repeat,
        ALONE=cells.alone,
        TIME=cells.time,
        ROWS=cells.rows,
        COLUMNS=cells.columns,
        CHANNELS=x.shape[1],
        CELL_BLOCK=tile.cells,
        VALUE_BLOCK=tile.values,
        CHANNEL_BLOCK=tile.channels,
        num_warps=4,
        maxnreg=REGISTERS[kernel.__name__],
    )


def _launch_groups(
    kernel: Any, x: Tensor, problem: Problem, offset: bool, inputs: tuple[Any, ...], *more: float
) -> None:
    """A kernel that adds up all splits of a lane, for some of its groups."""
    channels, chunks = x.shape[1], problem.chunks
    size = channels // problem.groups
    size_block = power_of_two(size)
    group_block = min(power_of_two(problem.groups), max(1, 32 // size_block))
    kernel[(len(x) * chunks.count, divided_up(problem.groups, group_block))](
        *inputs,
        x.shape[3] * x.shape[4],
        chunks.first,
        chunks.each,
        chunks.count,
        *more,
        OFFSET=offset,
        CHANNELS=channels,
        SIZE=size,
        GROUP_BLOCK=group_block,
        SIZE_BLOCK=size_block,
        SPLIT_BLOCK=64,
        num_warps=4,
    )
