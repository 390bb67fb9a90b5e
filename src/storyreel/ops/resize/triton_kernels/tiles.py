# ruff: noqa: ANN001, ANN201
# pyright: basic, reportGeneralTypeIssues=false, reportMissingImports=false, reportAttributeAccessIssue=false
"""How programs share a video among them: a tile is some neighbouring cells of one coarse frame, and some channels.

In memory a frame is `[height, width, C]`. Axes of a tile are cells, values of a cell in one frame, channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import triton
import triton.language as tl

from storyreel.ops.resize.cells import Cells


def divided_up(number: int, by: int) -> int:
    return -(-number // by)


def power_of_two(number: int) -> int:
    """The smallest that is no less."""
    return 1 << (number - 1).bit_length()


@dataclass(frozen=True)
class Tile:
    """cells, values (of a cell in a frame) and channels of a tile, powers of two; channel_blocks: tiles to cover C."""

    cells: int
    values: int
    channels: int
    channel_blocks: int

    @classmethod
    def of(cls, cells: Cells, channels: int, elements: int) -> Tile:
        """A tile of about `elements`: 16 bytes a load and few idle lanes, for any number of channels."""
        values = power_of_two(cells.rows * cells.columns)
        fitting = [block for block in (64, 32) if channels % block == 0]
        block = fitting[0] if fitting else min(64, power_of_two(channels))
        while values * block > elements and block > 16:
            block //= 2
        count = power_of_two(cells.coarse[1] * cells.coarse[2])
        return cls(max(1, min(elements // (values * block), count)), values, block, divided_up(channels, block))


@triton.jit
def places_of_cells(cell, columns_of_cells, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Where in a frame of the fine video each cell `[cells]` begins, in values."""
    return (cell // columns_of_cells) * ROWS * width + (cell % columns_of_cells) * COLUMNS


@triton.jit
def places_in_cell(width, VALUES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """(how far behind the cell's first each value `[VALUES]` of a frame lies, which of them there are)."""
    value = tl.arange(0, VALUES)
    return (value // COLUMNS) * width + value % COLUMNS, value < ROWS * COLUMNS


@triton.jit
def frames_of_cell(t, ALONE: tl.constexpr, TIME: tl.constexpr):
    """(first frame of the fine video, number of frames) of the cells of coarse frame t."""
    begin, count = t * TIME, TIME
    if ALONE:
        begin = tl.where(t == 0, 0, 1 + (t - 1) * TIME)
        count = tl.where(t == 0, 1, TIME)
    return begin, count


@triton.jit
def frame_start(frame, size):
    """Offset of a frame in a video, in 64 bits."""
    return frame.to(tl.int64) * size
