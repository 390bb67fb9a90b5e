# ruff: noqa: ANN001, ANN201
# pyright: basic, reportGeneralTypeIssues=false, reportMissingImports=false, reportAttributeAccessIssue=false
"""TTT-MLP, forward: one program reads one sequence and head, mini-batch after mini-batch.

Letters: b tokens of a mini-batch, D head width, F hidden width, C hidden values worked on at once.

The state is float32 in global memory, where the L2 cache holds it, and is changed in place a slice of C hidden values
at a time: no `[b, F]` or `[D, F]` value is ever whole in registers. W2 lies there transposed, as wide as W1: then every
product has b or D rows (matrix units want 64), and what is transposed are operands in shared memory, at no cost.
"""

import triton
import triton.language as tl

from storyreel.ops.ttt.triton_kernels.pieces import PRECISION, gelu, gelu_and_slope, norm_backward, standardise


@triton.jit(do_not_specialize=["first", "count", "tokens"])
def mlp_scan(
    q_ptr,  # [B, T, H, D], as k and v; the last axis is contiguous
    k_ptr,
    v_ptr,
    eta_ptr,  # [B, T, H] float32
    w1_ptr,  # [B * H, D, F] float32, in and out
    b1_ptr,  # [B * H, F]
    w2_ptr,  # [B * H, D, F], transposed
    b2_ptr,  # [B * H, D]
    norm_w_ptr,  # [H, D] float32
    norm_b_ptr,
    y_ptr,  # [B, T, H, D] contiguous
    z2_ptr,  # [B * H, count * b, D]: the network's outputs at k and, updated, at q
    z2q_ptr,
    w1s_ptr,  # [B * H, count + 1, D, F]: the states between mini-batches, in the dtype of q
    b1s_ptr,  # [B * H, count + 1, F] float32
    w2s_ptr,  # [B * H, count + 1, D, F], transposed
    first,  # token where to begin
    count,  # mini-batches to read
    tokens,  # T
    heads,  # H
    q_b,
    q_t,
    q_h,
    k_b,
    k_t,
    k_h,
    v_b,
    v_t,
    v_h,
    eta_b,
    eta_t,
    eta_h,
    scale,  # 1 / mini-batch
    eps,
    SIZE: tl.constexpr,  # b
    D: tl.constexpr,
    F: tl.constexpr,
    C: tl.constexpr,
    OUTPUT: tl.constexpr,  # write y
    KEEP: tl.constexpr,  # write what the backward pass needs
):
    row = tl.program_id(0).to(tl.int64)
    batch, head = row // heads, row % heads
    dtype = q_ptr.dtype.element_ty
    lines, columns, hidden = tl.arange(0, SIZE), tl.arange(0, D), tl.arange(0, C)
    q_ptr += batch * q_b + head * q_h
    k_ptr += batch * k_b + head * k_h
    v_ptr += batch * v_b + head * v_h
    eta_ptr += batch * eta_b + head * eta_h
    y_ptr += (batch * tokens * heads + head) * D
    w1_ptr += row * D * F
    b1_ptr += row * F
    w2_ptr += row * D * F
    norm_w_ptr += head * D
    norm_b_ptr += head * D
    if KEEP:
        z2_ptr += row * count * SIZE * D
        z2q_ptr += row * count * SIZE * D
        w1s_ptr += row * (count + 1) * D * F
        b1s_ptr += row * (count + 1) * F
        w2s_ptr += row * (count + 1) * D * F
    b2 = tl.load(b2_ptr + row * D + columns)
    inner = lines[:, None] * D + columns[None, :]
    number = 0
    while number < count:  # not range: the interpreter cannot, with NumPy 2.4
        t = first + number * SIZE + lines
        inside = t < tokens
        own = inside[:, None]
        t = t.to(tl.int64)
        k = tl.load(k_ptr + t[:, None] * k_t + columns[None, :], mask=own, other=0.0)
        z2 = tl.zeros([SIZE, D], tl.float32) + b2[None, :]
        for start in range(0, F, C):
            place = columns[:, None] * F + (start + hidden)[None, :]
            w1 = tl.load(w1_ptr + place).to(dtype)
            b1 = tl.load(b1_ptr + start + hidden)
            w2 = tl.load(w2_ptr + place).to(dtype)
            x2 = gelu(tl.dot(k, w1, input_precision=PRECISION) + b1[None, :])
            z2 = tl.dot(x2.to(dtype), tl.trans(w2), z2, input_precision=PRECISION)
        tl.debug_barrier()
        z2 = z2.to(dtype)
        if KEEP:
            tl.store(z2_ptr + inner, z2)
            z2_ptr += SIZE * D

        v = tl.load(v_ptr + t[:, None] * v_t + columns[None, :], mask=own, other=0.0)
        step = tl.load(eta_ptr + t * eta_t, mask=inside, other=0.0) * scale
        gamma, beta = tl.load(norm_w_ptr + columns)[None, :], tl.load(norm_b_ptr + columns)[None, :]
        standard, inverse = standardise(z2.to(tl.float32), eps)
        slope = gamma * (gamma * standard + beta - (v.to(tl.float32) - k.to(tl.float32)))
        slope = -step[:, None] * norm_backward(slope, standard, inverse)
        downhill = slope.to(dtype)
        b2 += tl.sum(slope, axis=0)

        q = tl.load(q_ptr + t[:, None] * q_t + columns[None, :], mask=own, other=0.0)
        z2q = tl.zeros([SIZE, D], tl.float32) + b2[None, :]
        for start in range(0, F, C):
            place = columns[:, None] * F + (start + hidden)[None, :]
            w1, w2 = tl.load(w1_ptr + place), tl.load(w2_ptr + place)
            b1 = tl.load(b1_ptr + start + hidden)
            if KEEP:
                tl.store(w1s_ptr + place, w1.to(dtype))
                tl.store(b1s_ptr + start + hidden, b1)
                tl.store(w2s_ptr + place, w2.to(dtype))
            x2, bend = gelu_and_slope(tl.dot(k, w1.to(dtype), input_precision=PRECISION) + b1[None, :])
            slope1 = tl.dot(downhill, w2.to(dtype), input_precision=PRECISION) * bend
            w2 = tl.dot(tl.trans(downhill), x2.to(dtype), w2, input_precision=PRECISION)
            w1 = tl.dot(tl.trans(k), slope1.to(dtype), w1, input_precision=PRECISION)
            b1 += tl.sum(slope1, axis=0)
            tl.store(w1_ptr + place, w1)
            tl.store(b1_ptr + start + hidden, b1)
            tl.store(w2_ptr + place, w2)
            x2 = gelu(tl.dot(q, w1.to(dtype), input_precision=PRECISION) + b1[None, :])
            z2q = tl.dot(x2.to(dtype), tl.trans(w2.to(dtype)), z2q, input_precision=PRECISION)
        tl.debug_barrier()
        z2q = z2q.to(dtype)
        if KEEP:
            tl.store(z2q_ptr + inner, z2q)
            z2q_ptr += SIZE * D
            w1s_ptr += D * F
            b1s_ptr += F
            w2s_ptr += D * F
        if OUTPUT:
            gamma, beta = tl.load(norm_w_ptr + columns)[None, :], tl.load(norm_b_ptr + columns)[None, :]
            standard, inverse = standardise(z2q.to(tl.float32), eps)
            q = tl.load(q_ptr + t[:, None] * q_t + columns[None, :], mask=own, other=0.0)
            y = q.to(tl.float32) + gamma * standard + beta
            tl.store(y_ptr + t[:, None] * (heads * D) + columns[None, :], y.to(dtype), mask=own)
        number += 1
    tl.store(b2_ptr + row * D + columns, b2)
    if KEEP:
        for start in range(0, F, C):
            place = columns[:, None] * F + (start + hidden)[None, :]
            tl.store(w1s_ptr + place, tl.load(w1_ptr + place).to(dtype))
            tl.store(b1s_ptr + start + hidden, tl.load(b1_ptr + start + hidden))
            tl.store(w2s_ptr + place, tl.load(w2_ptr + place).to(dtype))
