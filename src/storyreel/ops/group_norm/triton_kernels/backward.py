# ruff: noqa: ANN001, ANN201
# pyright: basic, reportGeneralTypeIssues=false, reportMissingImports=false, reportAttributeAccessIssue=false
"""Backward: sums of each cell and channel, means of each group, and the gradient of x. See the op's README."""

import triton
import triton.language as tl

from storyreel.ops.group_norm.triton_kernels.pieces import (
    channels_of_groups,
    chunk_frames,
    line_of_cells,
    line_of_channels,
    load_gradient,
    per_channel,
    sum_of_splits,
)
from storyreel.ops.resize.triton_kernels.tiles import frame_start, frames_of_cell, places_in_cell, places_of_cells
from storyreel.ops.ttt.triton_kernels.pieces import sigmoid


@triton.jit
def times_silu_slope(gradient, value):
    part = sigmoid(value)
    out = value * part
    return gradient * (part + out - out * part)


@triton.jit
def cell_sums(
    x,
    dy,
    moments,
    weight,
    bias,
    scale,
    shift,
    stride,
    dscale,
    dshift,
    sums,
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
    """dscale and dshift, each `[B, t, h, w, C]`, and sums of dn and dn * s of each channel, `[lanes, splits, 2, C]`.

    n is what the norm gives, s what it gives without weight and bias. Grid as for `normalise`.
    """
    lane = tl.program_id(2)
    video = lane // chunks
    begin_time, count_time = chunk_frames(lane % chunks, first, each)
    channel = tl.program_id(1) * CHANNEL_BLOCK + tl.arange(0, CHANNEL_BLOCK)
    live = channel < CHANNELS
    factor, offset = line_of_channels(moments, weight, bias, lane, channel, live, CHANNELS)
    mean = per_channel(moments, lane, 0, channel, live, CHANNELS)
    inverse = per_channel(moments, lane, 1, channel, live, CHANNELS)[None, :]
    inside, exists = places_in_cell(width, VALUE_BLOCK, ROWS, COLUMNS)
    size = height * width * CHANNELS
    tiles = tl.cdiv(h * w, CELL_BLOCK)
    one = tl.zeros([CELL_BLOCK, VALUE_BLOCK, CHANNEL_BLOCK], tl.float32)
    two = tl.zeros([CELL_BLOCK, VALUE_BLOCK, CHANNEL_BLOCK], tl.float32)
    total_one = tl.zeros([CELL_BLOCK, CHANNEL_BLOCK], tl.float32)
    total_two = tl.zeros([CELL_BLOCK, CHANNEL_BLOCK], tl.float32)
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
            coarse = (video * t + time) * h * w
            row = frame_start(coarse, stride) + cell[:, None] * stride + channel[None, :]
            by, plus = line_of_cells(scale + row, shift + row, own, by, plus)
            one = tl.zeros([CELL_BLOCK, VALUE_BLOCK, CHANNEL_BLOCK], tl.float32)
            two = tl.zeros([CELL_BLOCK, VALUE_BLOCK, CHANNEL_BLOCK], tl.float32)
        begin, count = frames_of_cell(time, ALONE, TIME)
        for number in range(TIME):
            frame, here = begin + number, mask & (number < count)
            value = tl.load(x + frame_start(video * frames + frame, size) + at, mask=here, other=0.0).to(tl.float32)
            gradient = load_gradient(dy, video, frame, frames, size, at, here, LEAD, REPEAT)
            if SILU:
                gradient = times_silu_slope(gradient, value * by[:, None, :] + plus[:, None, :])
            one += gradient
            two += gradient * (value - mean[None, None, :])
        if MODULATED:
            own_one, own_two = tl.sum(one, axis=1), tl.sum(two, axis=1) * inverse
            at = frame_start(coarse, CHANNELS) + cell[:, None] * CHANNELS + channel[None, :]
            tl.store(dshift + at, own_one, mask=own)
            own_weight = tl.load(weight + channel, mask=live, other=0.0).to(tl.float32)[None, :]
            own_bias = tl.load(bias + channel, mask=live, other=0.0).to(tl.float32)[None, :]
            tl.store(dscale + at, own_two * own_weight + own_one * own_bias, mask=own)
            own_scale = tl.load(scale + row, mask=own, other=0.0).to(tl.float32)
            total_one += own_one * own_scale
            total_two += own_two * own_scale
        step += 1
    if not MODULATED:
        total_one, total_two = tl.sum(one, axis=1), tl.sum(two, axis=1) * inverse
    target = sums + (lane * tl.num_programs(0) + tl.program_id(0)) * 2 * CHANNELS + channel
    tl.store(target, tl.sum(total_one, axis=0), mask=live)
    tl.store(target + CHANNELS, tl.sum(total_two, axis=0), mask=live)


@triton.jit
def group_means(
    sums,
    weight,
    moments,
    away,
    totals,
    means,
    splits,
    area,
    first,
    each,
    chunks,
    OFFSET: tl.constexpr,
    CHANNELS: tl.constexpr,
    SIZE: tl.constexpr,
    GROUP_BLOCK: tl.constexpr,
    SIZE_BLOCK: tl.constexpr,
    SPLIT_BLOCK: tl.constexpr,
):
    """Sums over all splits, `[lanes, 3, C]`, and means of ds and ds * s over each channel's group, `[lanes, 2, C]`.

    The third of the sums, only if OFFSET, is that of dx.
    """
    lane = tl.program_id(0)
    _, count = chunk_frames(lane % chunks, first, each)
    values = (count * area).to(tl.float32)
    channel, live = channels_of_groups(CHANNELS, SIZE, GROUP_BLOCK, SIZE_BLOCK)
    one, two = sum_of_splits(sums, splits, channel, live, CHANNELS, GROUP_BLOCK, SIZE_BLOCK, SPLIT_BLOCK)
    factor = tl.load(weight + channel, mask=live, other=0.0).to(tl.float32)
    at = lane * 3 * CHANNELS + channel
    tl.store(totals + at, one, mask=live)
    tl.store(totals + at + CHANNELS, two, mask=live)
    mean_one = tl.sum(one * factor, axis=1)[:, None] / (values * SIZE)
    mean_two = tl.sum(two * factor, axis=1)[:, None] / (values * SIZE)
    if OFFSET:
        inverse = per_channel(moments, lane, 1, channel, live, CHANNELS)
        standard = tl.load(away + lane * CHANNELS + channel, mask=live, other=0.0) * inverse
        own = (one * factor - values * (mean_one + mean_two * standard)) * inverse
        tl.store(totals + at + 2 * CHANNELS, own, mask=live)
    at = lane * 2 * CHANNELS + channel
    tl.store(means + at, tl.broadcast_to(mean_one, GROUP_BLOCK, SIZE_BLOCK), mask=live)
    tl.store(means + at + CHANNELS, tl.broadcast_to(mean_two, GROUP_BLOCK, SIZE_BLOCK), mask=live)


@triton.jit
def input_gradient(
    x,
    dy,
    moments,
    means,
    weight,
    bias,
    scale,
    shift,
    stride,
    dx,
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
    """dx, `[B, T, H, W, C]`. Grid as for `normalise`."""
    lane = tl.program_id(2)
    video = lane // chunks
    begin_time, count_time = chunk_frames(lane % chunks, first, each)
    channel = tl.program_id(1) * CHANNEL_BLOCK + tl.arange(0, CHANNEL_BLOCK)
    live = channel < CHANNELS
    factor, offset = line_of_channels(moments, weight, bias, lane, channel, live, CHANNELS)
    mean = per_channel(moments, lane, 0, channel, live, CHANNELS)
    inverse = per_channel(moments, lane, 1, channel, live, CHANNELS)
    # What the means take away is a line too: (mean of ds + s * mean of ds * s) * inverse.
    less_factor = per_channel(means, lane, 1, channel, live, CHANNELS) * inverse * inverse
    less_offset = per_channel(means, lane, 0, channel, live, CHANNELS) * inverse - mean * less_factor
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
            start = frame_start(video * frames + frame, size)
            value = tl.load(x + start + at, mask=here, other=0.0).to(tl.float32)
            gradient = load_gradient(dy, video, frame, frames, size, at, here, LEAD, REPEAT)
            if SILU:
                gradient = times_silu_slope(gradient, value * by[:, None, :] + plus[:, None, :])
            gradient = gradient * by[:, None, :] - (value * less_factor[None, None, :] + less_offset[None, None, :])
            tl.store(dx + start + at, gradient.to(dx.dtype.element_ty), mask=here)
        step += 1
