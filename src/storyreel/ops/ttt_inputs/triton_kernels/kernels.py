# ruff: noqa: ANN001, ANN201
# pyright: basic, reportGeneralTypeIssues=false, reportMissingImports=false, reportAttributeAccessIssue=false
"""One pass over the projection, forward and backward. Grid: programs of some tokens, blocks of heads, batch.

A row of `projected` holds q, k, v (H * D columns each) and logits (H), `stride` elements from one token to the next.
"""

import triton
import triton.language as tl

from storyreel.ops.ttt_inputs.triton_kernels.pieces import angles, rotate, standardise, standardise_backward

SMALLEST = tl.constexpr(1e-12)


@triton.jit
def unit(x):
    """x with length 1 in each head; what it was multiplied by; and whether that follows from x."""
    length = tl.sqrt(tl.sum(x * x, axis=2))[:, :, None]
    inverse = 1 / tl.maximum(length, SMALLEST)
    return x * inverse, inverse, length > SMALLEST


@triton.jit
def unit_backward(slope, direction, inverse, follows):
    """Gradient of x, given that of `unit(x)`."""
    along = tl.sum(slope * direction, axis=2)[:, :, None]
    return inverse * (slope - tl.where(follows, along, 0.0) * direction)


@triton.jit
def places(place, first, token, own, PLACED: tl.constexpr):
    """Numbers in the result of tokens of the projection."""
    target = first + token
    if PLACED:
        target = tl.load(place + token, mask=own, other=0)
    return target


@triton.jit
def forward(
    projected,
    cos,
    sin,
    weight,
    bias,
    place,
    q_out,
    k_out,
    v_out,
    eta_out,
    tokens,
    room,
    stride,
    first,
    rate,
    eps,
    PLACED: tl.constexpr,
    H: tl.constexpr,
    D: tl.constexpr,
    TOKENS: tl.constexpr,
    HEADS: tl.constexpr,
):
    batch = tl.program_id(2)
    token = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
    own, live = token < tokens, head < H
    some = own[:, None] & live[None, :]
    mask = some[:, :, None] & (tl.arange(0, D) < D)[None, None, :]
    column = (head[:, None] * D + tl.arange(0, D)[None, :])[None, :, :]
    row = (batch * tokens + token).to(tl.int64) * stride
    source = row[:, None, None] + column
    at_token = (batch * room + places(place, first, token, own, PLACED)).to(tl.int64)
    target = at_token[:, None, None] * (H * D) + column
    c, s = angles(cos, token, own, D), angles(sin, token, own, D)

    q, _, _ = unit(tl.load(projected + source, mask=mask, other=0.0).to(tl.float32))
    tl.store(q_out + target, rotate(q, c, s, TOKENS, HEADS, D).to(q_out.dtype.element_ty), mask=mask)
    k, _, _ = unit(tl.load(projected + H * D + source, mask=mask, other=0.0).to(tl.float32))
    k = rotate(k, c, s, TOKENS, HEADS, D)
    tl.store(k_out + target, k.to(k_out.dtype.element_ty), mask=mask)
    v = tl.load(projected + 2 * H * D + source, mask=mask, other=0.0).to(tl.float32)
    standard, _ = standardise(v - k, eps)
    gamma = tl.load(weight + column, mask=live[None, :, None], other=0.0)
    beta = tl.load(bias + column, mask=live[None, :, None], other=0.0)
    tl.store(v_out + target, (standard * gamma + beta + k).to(v_out.dtype.element_ty), mask=mask)
    logit = tl.load(projected + 3 * H * D + row[:, None] + head[None, :], mask=some, other=0.0).to(tl.float32)
    tl.store(eta_out + at_token[:, None] * H + head[None, :], rate * tl.sigmoid(logit), mask=some)


@triton.jit
def backward(
    projected,
    cos,
    sin,
    weight,
    place,
    dq,
    dk,
    dv,
    deta,
    dprojected,
    sums,
    tokens,
    stride,
    steps,
    rate,
    eps,
    PLACED: tl.constexpr,
    H: tl.constexpr,
    D: tl.constexpr,
    TOKENS: tl.constexpr,
    HEADS: tl.constexpr,
):
    """dprojected, and the sums of each program for the gradients of weight and bias, `[B, programs, 2, H, D]`."""
    batch = tl.program_id(2)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
    live = head < H
    column = (head[:, None] * D + tl.arange(0, D)[None, :])[None, :, :]
    gamma = tl.load(weight + column, mask=live[None, :, None], other=0.0)
    of_weight = tl.zeros([TOKENS, HEADS, D], tl.float32)
    of_bias = tl.zeros([TOKENS, HEADS, D], tl.float32)
    step = 0
    while step < steps:  # not range: the interpreter cannot, with NumPy 2.4
        token = (tl.program_id(0) * steps + step) * TOKENS + tl.arange(0, TOKENS)
        own = token < tokens
        some = own[:, None] & live[None, :]
        mask = some[:, :, None] & (tl.arange(0, D) < D)[None, None, :]
        row = (batch * tokens + token).to(tl.int64) * stride
        source = row[:, None, None] + column
        at_token = (batch * tokens + places(place, 0, token, own, PLACED)).to(tl.int64)
        target = at_token[:, None, None] * (H * D) + column
        c, s = angles(cos, token, own, D), angles(sin, token, own, D)

        direction, inverse, follows = unit(tl.load(projected + source, mask=mask, other=0.0).to(tl.float32))
        slope = rotate(tl.load(dq + target, mask=mask, other=0.0).to(tl.float32), c, -s, TOKENS, HEADS, D)
        slope = unit_backward(slope, direction, inverse, follows)
        tl.store(dprojected + source, slope.to(dprojected.dtype.element_ty), mask=mask)

        direction, inverse, follows = unit(tl.load(projected + H * D + source, mask=mask, other=0.0).to(tl.float32))
        value = tl.load(projected + 2 * H * D + source, mask=mask, other=0.0).to(tl.float32)
        standard, own_inverse = standardise(value - rotate(direction, c, s, TOKENS, HEADS, D), eps)
        given = tl.load(dv + target, mask=mask, other=0.0).to(tl.float32)
        of_weight += given * standard
        of_bias += given
        error = standardise_backward(given * gamma, standard, own_inverse)
        tl.store(dprojected + 2 * H * D + source, error.to(dprojected.dtype.element_ty), mask=mask)
        slope = tl.load(dk + target, mask=mask, other=0.0).to(tl.float32) + given - error
        slope = unit_backward(rotate(slope, c, -s, TOKENS, HEADS, D), direction, inverse, follows)
        tl.store(dprojected + H * D + source, slope.to(dprojected.dtype.element_ty), mask=mask)

        at = 3 * H * D + row[:, None] + head[None, :]
        part = tl.sigmoid(tl.load(projected + at, mask=some, other=0.0).to(tl.float32))
        slope = tl.load(deta + at_token[:, None] * H + head[None, :], mask=some, other=0.0) * rate * part * (1 - part)
        tl.store(dprojected + at, slope.to(dprojected.dtype.element_ty), mask=some)
        step += 1
    at = head[:, None] * D + tl.arange(0, D)[None, :]
    share = sums + (batch * tl.num_programs(0) + tl.program_id(0)) * 2 * H * D
    tl.store(share + at, tl.sum(of_weight, axis=0), mask=live[:, None])
    tl.store(share + H * D + at, tl.sum(of_bias, axis=0), mask=live[:, None])
