# ruff: noqa: ANN001, ANN201, SIM102
# pyright: basic, reportGeneralTypeIssues=false, reportMissingImports=false, reportAttributeAccessIssue=false
"""What the kernels of both directions share. A lane of statistics is one chunk of one video."""

import triton
import triton.language as tl

from storyreel.ops.resize.triton_kernels.tiles import frame_start


@triton.jit
def chunk_frames(chunk, first, each):
    """(first frame, number of frames) of a chunk."""
    return tl.where(chunk == 0, 0, first + (chunk - 1) * each), tl.where(chunk == 0, first, each)


@triton.jit
def channels_of_groups(CHANNELS: tl.constexpr, SIZE: tl.constexpr, GROUP_BLOCK: tl.constexpr, SIZE_BLOCK: tl.constexpr):
    """(channels `[groups, channels of one]` of this program's groups, which of them there are)."""
    group = tl.program_id(1) * GROUP_BLOCK + tl.arange(0, GROUP_BLOCK)
    inside = tl.arange(0, SIZE_BLOCK)
    channel = group[:, None] * SIZE + inside[None, :]
    return channel, (inside < SIZE)[None, :] & (channel < CHANNELS)


@triton.jit
def sum_of_splits(
    sums,
    splits,
    channel,
    live,
    CHANNELS: tl.constexpr,
    GROUP_BLOCK: tl.constexpr,
    SIZE_BLOCK: tl.constexpr,
    SPLIT_BLOCK: tl.constexpr,
):
    """Both sums a channel of this program's lane, added up in a fixed order. sums: `[lanes, splits, 2, C]`."""
    one = tl.zeros([GROUP_BLOCK, SIZE_BLOCK], tl.float32)
    two = tl.zeros([GROUP_BLOCK, SIZE_BLOCK], tl.float32)
    begin = 0
    while begin < splits:  # not range: the interpreter cannot, with NumPy 2.4
        split = begin + tl.arange(0, SPLIT_BLOCK)
        at = ((tl.program_id(0) * splits + split) * 2 * CHANNELS)[:, None, None] + channel[None, :, :]
        mask = (split < splits)[:, None, None] & live[None, :, :]
        one += tl.sum(tl.load(sums + at, mask=mask, other=0.0), axis=0)
        two += tl.sum(tl.load(sums + at + CHANNELS, mask=mask, other=0.0), axis=0)
        begin += SPLIT_BLOCK
    return one, two


@triton.jit
def per_channel(values, lane, which, channel, live, CHANNELS: tl.constexpr):
    """One of two rows of `values` `[lanes, 2, C]`."""
    return tl.load(values + (lane * 2 + which) * CHANNELS + channel, mask=live, other=0.0)


@triton.jit
def line_of_channels(moments, weight, bias, lane, channel, live, CHANNELS: tl.constexpr):
    """(factor, offset), each `[channels]`: the norm gives factor * x + offset."""
    factor = per_channel(moments, lane, 1, channel, live, CHANNELS)
    factor *= tl.load(weight + channel, mask=live, other=0.0).to(tl.float32)
    offset = tl.load(bias + channel, mask=live, other=0.0).to(tl.float32)
    return factor, offset - per_channel(moments, lane, 0, channel, live, CHANNELS) * factor


@triton.jit
def line_of_cells(scale, shift, own, factor, offset):
    """The same with the modulation of each cell, `[cells, channels]`."""
    scale = tl.load(scale, mask=own, other=0.0).to(tl.float32)
    return factor * scale, offset * scale + tl.load(shift, mask=own, other=0.0).to(tl.float32)


@triton.jit
def load_gradient(dy, video, frame, frames, size, at, mask, LEAD: tl.constexpr, REPEAT: tl.constexpr):
    """Gradient of a tile of a frame before LEAD frames were put in front, which if REPEAT were copies of the first."""
    begin = video * (frames + LEAD)
    total = tl.load(dy + frame_start(begin + LEAD + frame, size) + at, mask=mask, other=0.0).to(tl.float32)
    if REPEAT:
        if frame == 0:
            for lead in tl.static_range(LEAD):
                copy = tl.load(dy + frame_start(begin + lead, size) + at, mask=mask, other=0.0)
                total += copy.to(tl.float32)
    return total
