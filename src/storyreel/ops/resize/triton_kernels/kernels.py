# ruff: noqa: ANN001, ANN201
# pyright: basic, reportGeneralTypeIssues=false, reportMissingImports=false, reportAttributeAccessIssue=false
"""The two kernels: every value of the coarse video to its cell, and every cell's sum to the coarse video.

Grid: tiles of the coarse video's frames, blocks of channels, videos of the batch. The coarse video may be wider and
higher than its cells, by a border that takes zeros and gives nothing.
"""

import triton
import triton.language as tl

from storyreel.ops.resize.triton_kernels.tiles import frame_start, frames_of_cell, places_in_cell, places_of_cells


@triton.jit
def spread(
    coarse,
    fine,
    t,
    h,
    w,
    frames,
    height,
    width,
    BORDER: tl.constexpr,
    AVERAGE: tl.constexpr,
    ALONE: tl.constexpr,
    TIME: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
    CELL_BLOCK: tl.constexpr,
    VALUE_BLOCK: tl.constexpr,
    CHANNEL_BLOCK: tl.constexpr,
):
    """fine `[B, T, H, W, C]` = coarse `[B, t, h + BORDER, w + BORDER, C]`, shared among a cell's frames if AVERAGE."""
    tiles = tl.cdiv(h * w, CELL_BLOCK)
    time = tl.program_id(0) // tiles
    cell = (tl.program_id(0) % tiles) * CELL_BLOCK + tl.arange(0, CELL_BLOCK)
    channel = tl.program_id(1) * CHANNEL_BLOCK + tl.arange(0, CHANNEL_BLOCK)
    video = tl.program_id(2)
    own = (cell < h * w)[:, None] & (channel < CHANNELS)[None, :]
    place = (cell // w) * (w + BORDER) + cell % w
    source = coarse + frame_start(video * t + time, (h + BORDER) * (w + BORDER) * CHANNELS)
    value = tl.load(source + place[:, None] * CHANNELS + channel[None, :], mask=own)
    inside, exists = places_in_cell(width, VALUE_BLOCK, ROWS, COLUMNS)
    place = places_of_cells(cell, w, width, ROWS, COLUMNS)[:, None] + inside[None, :]
    at = place[:, :, None] * CHANNELS + channel[None, None, :]
    mask = own[:, None, :] & exists[None, :, None]
    begin, count = frames_of_cell(time, ALONE, TIME)
    if AVERAGE:
        value = (value.to(tl.float32) / count).to(fine.dtype.element_ty)
    spreads = tl.broadcast_to(value[:, None, :], CELL_BLOCK, VALUE_BLOCK, CHANNEL_BLOCK)
    for number in range(TIME):
        frame = begin + number
        target = fine + frame_start(video * frames + frame, height * width * CHANNELS)
        tl.store(target + at, spreads, mask=mask & (number < count))


@triton.jit
def gather(
    coarse,
    fine,
    t,
    h,
    w,
    frames,
    height,
    width,
    BORDER: tl.constexpr,
    AVERAGE: tl.constexpr,
    ALONE: tl.constexpr,
    TIME: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
    CELL_BLOCK: tl.constexpr,
    VALUE_BLOCK: tl.constexpr,
    CHANNEL_BLOCK: tl.constexpr,
):
    """coarse = the sum of each cell of fine, divided by its frames if AVERAGE; zeros in the border."""
    row = w + BORDER
    places = (h + BORDER) * row
    tiles = tl.cdiv(places, CELL_BLOCK)
    time = tl.program_id(0) // tiles
    place = (tl.program_id(0) % tiles) * CELL_BLOCK + tl.arange(0, CELL_BLOCK)
    channel = tl.program_id(1) * CHANNEL_BLOCK + tl.arange(0, CHANNEL_BLOCK)
    video = tl.program_id(2)
    there = (place < places)[:, None] & (channel < CHANNELS)[None, :]
    inner = (place // row < h) & (place % row < w)
    inside, exists = places_in_cell(width, VALUE_BLOCK, ROWS, COLUMNS)
    values = places_of_cells(place, row, width, ROWS, COLUMNS)[:, None] + inside[None, :]
    at = values[:, :, None] * CHANNELS + channel[None, None, :]
    mask = (there & inner[:, None])[:, None, :] & exists[None, :, None]
    total = tl.zeros([CELL_BLOCK, VALUE_BLOCK, CHANNEL_BLOCK], tl.float32)
    begin, count = frames_of_cell(time, ALONE, TIME)
    for number in range(TIME):
        frame = begin + number
        source = fine + frame_start(video * frames + frame, height * width * CHANNELS)
        total += tl.load(source + at, mask=mask & (number < count), other=0.0).to(tl.float32)
    own = tl.sum(total, axis=1)
    if AVERAGE:
        own = own / count
    target = coarse + frame_start(video * t + time, places * CHANNELS)
    tl.store(target + place[:, None] * CHANNELS + channel[None, :], own, mask=there)
