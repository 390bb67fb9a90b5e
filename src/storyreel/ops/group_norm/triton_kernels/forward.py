# ruff: noqa: ANN001, ANN201, SIM102
# pyright: basic, reportGeneralTypeIssues=false, reportMissingImports=false, reportAttributeAccessIssue=false
"""Forward: sums of each channel, moments of each group, and the result. The mathematics is in the op's README."""

import triton
import triton.language as tl

from storyreel.ops.group_norm.triton_kernels.pieces import (
    channels_of_groups,
    chunk_frames,
    line_of_cells,
    line_of_channels,
    sum_of_splits,
)
from storyreel.ops.resize.triton_kernels.tiles import frame_start, frames_of_cell, places_in_cell, places_of_cells
from storyreel.ops.ttt.triton_kernels.pieces import sigmoid


@triton.jit
def channel_sums(
    x,
    sums,
    frames,
    area,
    first,
    each,
    chunks,
    steps,
    CHANNELS: tl.constexpr,
    VALUE_BLOCK: tl.constexpr,
    CHANNEL_BLOCK: tl.constexpr,
):
    """Sums of x - p and its square, where p is the channel's first value: a large mean costs no digits.

    Grid: splits of a lane's values, blocks of channels, lanes. sums: `[lanes, splits, 2, C]`.
    """
    lane = tl.program_id(2)
    begin_frame, count = chunk_frames(lane % chunks, first, each)
    values = count * area
    begin = tl.program_id(0) * steps * VALUE_BLOCK
    channel = tl.program_id(1) * CHANNEL_BLOCK + tl.arange(0, CHANNEL_BLOCK)
    live = channel < CHANNELS
    source = x + frame_start((lane // chunks) * frames + begin_frame, area * CHANNELS)
    pivot = tl.load(source + channel, mask=live, other=0.0).to(tl.float32)[None, :]
    one = tl.zeros([VALUE_BLOCK, CHANNEL_BLOCK], tl.float32)
    two = tl.zeros([VALUE_BLOCK, CHANNEL_BLOCK], tl.float32)
    step = 0
    while step < steps:  # not range: the interpreter cannot, with NumPy 2.4
        start = begin + step * VALUE_BLOCK
        value = start + tl.arange(0, VALUE_BLOCK)
        mask = (value < values)[:, None] & live[None, :]
        here = source + frame_start(start, CHANNELS)
        at = tl.arange(0, VALUE_BLOCK)[:, None] * CHANNELS + channel[None, :]
        difference = tl.where(mask, tl.load(here + at, mask=mask, other=0.0).to(tl.float32) - pivot, 0.0)
        one += difference
        two += difference * difference
        step += 1
    target = sums + (lane * tl.num_programs(0) + tl.program_id(0)) * 2 * CHANNELS + channel
    tl.store(target, tl.sum(one, axis=0), mask=live)
    tl.store(target + CHANNELS, tl.sum(two, axis=0), mask=live)


@triton.jit
def group_moments(
    x,
    sums,
    moments,
    offset,
    away,
    splits,
    frames,
    area,
    first,
    each,
    chunks,
    eps,
    OFFSET: tl.constexpr,
    CHANNELS: tl.constexpr,
    SIZE: tl.constexpr,
    GROUP_BLOCK: tl.constexpr,
    SIZE_BLOCK: tl.constexpr,
    SPLIT_BLOCK: tl.constexpr,
):
    """Mean of each channel's group less its offset, and inverse deviation, `[lanes, 2, C]`.

    Grid: lanes, blocks of groups.
    away `[lanes, C]`, only if OFFSET: how far the channel's own mean lies from its group's.
    """
    lane = tl.program_id(0)
    begin_frame, count = chunk_frames(lane % chunks, first, each)
    values = (count * area).to(tl.float32)
    channel, live = channels_of_groups(CHANNELS, SIZE, GROUP_BLOCK, SIZE_BLOCK)
    one, two = sum_of_splits(sums, splits, channel, live, CHANNELS, GROUP_BLOCK, SIZE_BLOCK, SPLIT_BLOCK)
    source = x + frame_start((lane // chunks) * frames + begin_frame, area * CHANNELS)
    own_mean = tl.load(source + channel, mask=live, other=0.0).to(tl.float32) + one / values
    own_offset = tl.zeros([GROUP_BLOCK, SIZE_BLOCK], tl.float32)
    if OFFSET:
        own_offset = tl.load(offset + channel, mask=live, other=0.0).to(tl.float32)
    own_mean += own_offset
    mean = tl.sum(own_mean, axis=1)[:, None] / SIZE
    own_away = own_mean - mean
    squares = tl.where(live, two - one * one / values + values * own_away * own_away, 0.0)
    inverse = tl.rsqrt(tl.sum(squares, axis=1)[:, None] / (values * SIZE) + eps)
    target = moments + lane * 2 * CHANNELS + channel
    if OFFSET:
        tl.store(away + lane * CHANNELS + channel, own_away, mask=live)
    tl.store(target, mean - own_offset, mask=live)
    tl.store(target + CHANNELS, tl.broadcast_to(inverse, GROUP_BLOCK, SIZE_BLOCK), mask=live)


@triton.jit
def normalise(
    x,
    y,
    moments,
    weight,
    bias,
    scale,
    shift,
    stride,
    t,
    h,
    w,
    frames,
    height,
    width,
    first,
    each,
    chunks,
    steps,
    MODULATED: tl.constexpr,
    SILU: tl.constexpr,
    LEAD: tl.constexpr,
    REPEAT: tl.constexpr,
    ALONE: tl.constexpr,
    TIME: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
    CELL_BLOCK: tl.constexpr,
    VALUE_BLOCK: tl.constexpr,
    CHANNEL_BLOCK: tl.constexpr,
):
    """y `[B, LEAD + T, H, W, C]` behind its first LEAD frames, which if REPEAT become copies of the next.

    Grid: programs that share a lane's tiles, blocks of channels, lanes. scale, shift: `[B, t, h, w]` rows of C,
    `stride` apart; first and each count the frames t of the chunks.
    """
    lane = tl.program_id(2)
    video = lane // chunks
    begin_time, count_time = chunk_frames(lane % chunks, first, each)
    channel = tl.program_id(1) * CHANNEL_BLOCK + tl.arange(0, CHANNEL_BLOCK)
    live = channel < CHANNELS
    factor, offset = line_of_channels(moments, weight, bias, lane, channel, live, CHANNELS)
    inside, exists = places_in_cell(width, VALUE_BLOCK, ROWS, COLUMNS)
    size = height * width * CHANNELS
    tiles = tl.cdiv(h * w, CELL_BLOCK)
    step = 0
    while step < steps:  # not range: the interpreter cannot, with NumPy 2.4
        tile = tl.program_id(0) + step * tl.num_programs(0)
        time = begin_time + tile // tiles
        cell = (tile % tiles) * CELL_BLOCK + tl.arange(0, CELL_BLOCK)
        own = ((cell < h * w) & (tile < count_time * tiles))[:, None] & live[None, :]
        place = places_of_cells(cell, w, width, ROWS, COLUMNS)[:, None] + inside[None, :]
        at = place[:, :, None] * CHANNELS + channel[None, None, :]
        mask = own[:, None, :] & exists[None, :, None]
        by, plus = factor[None, :], offset[None, :]
        if MODULATED:
            row = frame_start((video * t + time) * h * w, stride) + cell[:, None] * stride + channel[None, :]
            by, plus = line_of_cells(scale + row, shift + row, own, by, plus)
        begin, count = frames_of_cell(time, ALONE, TIME)
        for number in range(TIME):
            frame, here = begin + number, mask & (number < count)
            value = tl.load(x + frame_start(video * frames + frame, size) + at, mask=here, other=0.0).to(tl.float32)
            value = value * by[:, None, :] + plus[:, None, :]
            if SILU:
                value = value * sigmoid(value)
            target = y + frame_start(video * (frames + LEAD) + LEAD + frame, size) + at
            value = value.to(y.dtype.element_ty)
            tl.store(target, value, mask=here)
            if REPEAT:
                if frame == 0:
                    for lead in tl.static_range(LEAD):
                        copy = y + frame_start(video * (frames + LEAD) + lead, size) + at
                        tl.store(copy, value, mask=here)
        step += 1
