# ruff: noqa: ANN001, ANN201
# pyright: basic, reportGeneralTypeIssues=false, reportUnboundVariable=false, reportMissingImports=false, reportAttributeAccessIssue=false
"""One pass over the tokens, forward and backward. Grid: spans, batch. A tile is ROWS tokens of all C channels.

A span's row of each table stays in registers while its tokens go by; so do the sums of the backward pass.
"""

import triton
import triton.language as tl


@triton.jit
def standardise(value, mask, eps, C: tl.constexpr):
    """value to mean 0 and variance 1 in its rows, and what the rows were multiplied by, `[ROWS, 1]`."""
    centred = tl.where(mask, value - (tl.sum(value, axis=1) / C)[:, None], 0.0)
    inverse = tl.rsqrt(tl.sum(centred * centred, axis=1) / C + eps)[:, None]
    return centred * inverse, inverse


@triton.jit
def tile_at(place, batch, tokens, token, own, channel, C: tl.constexpr, PLACED: tl.constexpr):
    """Where the tile lies in results, and where in x."""
    inside = channel[None, :]
    at = (batch * tokens + token).to(tl.int64)[:, None] * C + inside
    source = at
    if PLACED:
        from_token = tl.load(place + token, mask=own, other=0)
        source = (batch * tokens + from_token).to(tl.int64)[:, None] * C + inside
    return at, source


@triton.jit
def forward(
    x,
    y,
    total,
    normed,
    gate,
    factor,
    offset,
    place,
    spans,
    tokens,
    rows,
    eps,
    GATED: tl.constexpr,
    NORMED: tl.constexpr,
    PLACED: tl.constexpr,
    C: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """total = x + gate * y (if GATED), normed = factor * standardised total + offset (if NORMED)."""
    batch = tl.program_id(1)
    span = spans + 3 * tl.program_id(0)
    start, end, row = tl.load(span), tl.load(span + 1), tl.load(span + 2)
    channel = tl.arange(0, BLOCK)
    live = channel < C
    here = (batch * rows + row) * C + channel
    if GATED:
        by_gate = tl.load(gate + here, mask=live, other=0.0)[None, :]
    if NORMED:
        by = tl.load(factor + here, mask=live, other=0.0)[None, :]
        plus = tl.load(offset + here, mask=live, other=0.0)[None, :]
    while start < end:  # not range: the interpreter cannot, with NumPy 2.4
        token = start + tl.arange(0, ROWS)
        own = token < end
        mask = own[:, None] & live[None, :]
        at, source = tile_at(place, batch, tokens, token, own, channel, C, PLACED)
        value = tl.load(x + source, mask=mask, other=0.0).to(tl.float32)
        if GATED:
            value += by_gate * tl.load(y + at, mask=mask, other=0.0).to(tl.float32)
            rounded = value.to(total.dtype.element_ty)
            tl.store(total + at, rounded, mask=mask)
            value = rounded.to(tl.float32)  # the backward pass has only what is stored
        if NORMED:
            standard, _ = standardise(value, mask, eps, C)
            tl.store(normed + at, (standard * by + plus).to(normed.dtype.element_ty), mask=mask)
        start += ROWS


@triton.jit
def backward(
    total,
    y,
    dtotal,
    dnormed,
    gate,
    factor,
    place,
    spans,
    dx,
    dy,
    sums,
    tokens,
    rows,
    eps,
    GATED: tl.constexpr,
    NORMED: tl.constexpr,
    PLACED: tl.constexpr,
    C: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """dx (if NORMED), dy (if GATED) and, of each span, the sums for the tables' gradients.

    sums: `[B, N + 1, GATED + 2 NORMED, C]` for N spans, of the gate, the factor and the offset.
    """
    batch = tl.program_id(1)
    span = spans + 3 * tl.program_id(0)
    start, end, row = tl.load(span), tl.load(span + 1), tl.load(span + 2)
    channel = tl.arange(0, BLOCK)
    live = channel < C
    here = (batch * rows + row) * C + channel
    if GATED:
        by_gate = tl.load(gate + here, mask=live, other=0.0)[None, :]
        of_gate = tl.zeros([ROWS, BLOCK], tl.float32)
    if NORMED:
        by = tl.load(factor + here, mask=live, other=0.0)[None, :]
        of_factor = tl.zeros([ROWS, BLOCK], tl.float32)
        of_offset = tl.zeros([ROWS, BLOCK], tl.float32)
    while start < end:
        token = start + tl.arange(0, ROWS)
        own = token < end
        mask = own[:, None] & live[None, :]
        at, source = tile_at(place, batch, tokens, token, own, channel, C, PLACED)
        gradient = tl.zeros([ROWS, BLOCK], tl.float32)
        if GATED:
            gradient += tl.load(dtotal + at, mask=mask, other=0.0).to(tl.float32)
            let_in = tl.load(y + at, mask=mask, other=0.0)
        if NORMED:
            value = tl.load(total + source, mask=mask, other=0.0).to(tl.float32)
            standard, inverse = standardise(value, mask, eps, C)
            given = tl.load(dnormed + at, mask=mask, other=0.0).to(tl.float32)
            of_factor += given * standard
            of_offset += given
            slope = given * by
            lean = (tl.sum(slope * standard, axis=1) / C)[:, None]
            gradient += inverse * (slope - (tl.sum(slope, axis=1) / C)[:, None] - standard * lean)
            tl.store(dx + source, gradient.to(dx.dtype.element_ty), mask=mask)
        if GATED:
            of_gate += gradient * let_in.to(tl.float32)
            tl.store(dy + at, (gradient * by_gate).to(dy.dtype.element_ty), mask=mask)
        start += ROWS
    target = sums + (batch * (tl.num_programs(0) + 1) + tl.program_id(0)) * (GATED + 2 * NORMED) * C + channel
    if GATED:
        tl.store(target, tl.sum(of_gate, axis=0), mask=live)
        target += C
    if NORMED:
        tl.store(target, tl.sum(of_factor, axis=0), mask=live)
        tl.store(target + C, tl.sum(of_offset, axis=0), mask=live)
