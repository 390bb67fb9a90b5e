# ruff: noqa: ANN001, ANN201
# pyright: basic, reportGeneralTypeIssues=false, reportMissingImports=false, reportAttributeAccessIssue=false
"""One pass from tokens to windows, and one back. Grid: programs of some tokens, blocks of heads, batch.

A row of `projected` holds q, k, v (H * D columns each); a slot is a place in the windows of one sequence.
"""

import triton
import triton.language as tl

from storyreel.ops.ttt_inputs.triton_kernels.pieces import angles, rotate, standardise, standardise_backward


@triton.jit
def normed(x, weight, bias, cos, sin, eps, TOKENS: tl.constexpr, HEADS: tl.constexpr, D: tl.constexpr):
    standard, _ = standardise(x, eps)
    column = tl.arange(0, D)
    y = standard * tl.load(weight + column)[None, None, :] + tl.load(bias + column)[None, None, :]
    return rotate(y, cos, sin, TOKENS, HEADS, D)


@triton.jit
def forward(
    projected,
    q_weight,
    q_bias,
    k_weight,
    k_bias,
    cos,
    sin,
    tokens_of_slots,
    q_out,
    k_out,
    v_out,
    tokens,
    slots,
    window,
    eps,
    H: tl.constexpr,
    D: tl.constexpr,
    TOKENS: tl.constexpr,
    HEADS: tl.constexpr,
):
    batch = tl.program_id(2)
    slot = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
    own = slot < slots
    mask = own[:, None, None] & (head < H)[None, :, None] & (tl.arange(0, D) < D)[None, None, :]
    column = (head[:, None] * D + tl.arange(0, D)[None, :])[None, :, :]
    token = tl.load(tokens_of_slots + slot, mask=own, other=0)
    source = projected + (batch * tokens + token).to(tl.int64)[:, None, None] * (3 * H * D) + column
    target = (batch * slots + slot).to(tl.int64)[:, None, None] * (H * D) + column
    c, s = angles(cos, slot % window, own, D), angles(sin, slot % window, own, D)
    q = tl.load(source, mask=mask, other=0.0).to(tl.float32)
    q = normed(q, q_weight, q_bias, c, s, eps, TOKENS, HEADS, D)
    tl.store(q_out + target, q.to(q_out.dtype.element_ty), mask=mask)
    k = tl.load(source + H * D, mask=mask, other=0.0).to(tl.float32)
    k = normed(k, k_weight, k_bias, c, s, eps, TOKENS, HEADS, D)
    tl.store(k_out + target, k.to(k_out.dtype.element_ty), mask=mask)
    tl.store(v_out + target, tl.load(source + 2 * H * D, mask=mask, other=0.0), mask=mask)


@triton.jit
def from_slots(
    gradient,
    row,
    again,
    column,
    mask,
    twice,
    cos,
    sin,
    cos_again,
    sin_again,
    H: tl.constexpr,
    D: tl.constexpr,
    TOKENS: tl.constexpr,
    HEADS: tl.constexpr,
):
    """Sum of a gradient over the one or two slots of each token, each turned back by its own angles."""
    one = tl.load(gradient + row[:, None, None] * (H * D) + column, mask=mask, other=0.0).to(tl.float32)
    two = tl.load(gradient + again[:, None, None] * (H * D) + column, mask=mask & twice, other=0.0).to(tl.float32)
    return rotate(one, cos, -sin, TOKENS, HEADS, D) + rotate(two, cos_again, -sin_again, TOKENS, HEADS, D)


@triton.jit
def backward(
    projected,
    q_weight,
    k_weight,
    cos,
    sin,
    slots_of_tokens,
    dq,
    dk,
    dv,
    dprojected,
    sums,
    tokens,
    slots,
    window,
    steps,
    eps,
    H: tl.constexpr,
    D: tl.constexpr,
    TOKENS: tl.constexpr,
    HEADS: tl.constexpr,
):
    """dprojected, and the sums of each program for the gradients of the norms, `[B, blocks, programs, 4, D]`."""
    batch = tl.program_id(2)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
    channel = tl.arange(0, D)
    column = (head[:, None] * D + channel[None, :])[None, :, :]
    by_q, by_k = tl.load(q_weight + channel)[None, None, :], tl.load(k_weight + channel)[None, None, :]
    of_q = tl.zeros([TOKENS, HEADS, D], tl.float32)
    of_k = tl.zeros([TOKENS, HEADS, D], tl.float32)
    plus_q = tl.zeros([TOKENS, HEADS, D], tl.float32)
    plus_k = tl.zeros([TOKENS, HEADS, D], tl.float32)
    step = 0
    while step < steps:  # not range: the interpreter cannot, with NumPy 2.4
        token = (tl.program_id(0) * steps + step) * TOKENS + tl.arange(0, TOKENS)
        own = token < tokens
        mask = own[:, None, None] & (head < H)[None, :, None] & (channel < D)[None, None, :]
        at = (batch * tokens + token).to(tl.int64)[:, None, None] * (3 * H * D) + column
        slot = tl.load(slots_of_tokens + 2 * token, mask=own, other=0)
        other = tl.load(slots_of_tokens + 2 * token + 1, mask=own, other=-1)
        twice = (other >= 0)[:, None, None]
        c, s = angles(cos, slot % window, own, D), angles(sin, slot % window, own, D)
        c_again = angles(cos, other % window, own & (other >= 0), D)
        s_again = angles(sin, other % window, own & (other >= 0), D)
        row, again = (batch * slots + slot).to(tl.int64), (batch * slots + other).to(tl.int64)

        given = from_slots(dq, row, again, column, mask, twice, c, s, c_again, s_again, H, D, TOKENS, HEADS)
        standard, inverse = standardise(tl.load(projected + at, mask=mask, other=0.0).to(tl.float32), eps)
        of_q += given * standard
        plus_q += given
        slope = standardise_backward(given * by_q, standard, inverse)
        tl.store(dprojected + at, slope.to(dprojected.dtype.element_ty), mask=mask)

        given = from_slots(dk, row, again, column, mask, twice, c, s, c_again, s_again, H, D, TOKENS, HEADS)
        standard, inverse = standardise(tl.load(projected + H * D + at, mask=mask, other=0.0).to(tl.float32), eps)
        of_k += given * standard
        plus_k += given
        slope = standardise_backward(given * by_k, standard, inverse)
        tl.store(dprojected + H * D + at, slope.to(dprojected.dtype.element_ty), mask=mask)

        given = tl.load(dv + row[:, None, None] * (H * D) + column, mask=mask, other=0.0).to(tl.float32)
        target = dv + again[:, None, None] * (H * D) + column
        given += tl.load(target, mask=mask & twice, other=0.0).to(tl.float32)
        tl.store(dprojected + 2 * H * D + at, given.to(dprojected.dtype.element_ty), mask=mask)
        step += 1
    number = (batch * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(0) + tl.program_id(0)
    share = sums + number * 4 * D + channel
    tl.store(share, tl.sum(tl.sum(of_q, axis=0), axis=0))
    tl.store(share + D, tl.sum(tl.sum(plus_q, axis=0), axis=0))
    tl.store(share + 2 * D, tl.sum(tl.sum(of_k, axis=0), axis=0))
    tl.store(share + 3 * D, tl.sum(tl.sum(plus_k, axis=0), axis=0))
