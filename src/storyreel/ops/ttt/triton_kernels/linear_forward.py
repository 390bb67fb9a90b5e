# ruff: noqa: ANN001, ANN201
# pyright: basic, reportGeneralTypeIssues=false, reportMissingImports=false, reportAttributeAccessIssue=false
"""TTT-Linear, forward: one program reads one sequence and head, mini-batch after mini-batch.

Letters: b tokens of a mini-batch, D head width. The state, D x D numbers in float32, stays in registers to the end.
"""

import triton
import triton.language as tl

from storyreel.ops.ttt.triton_kernels.pieces import PRECISION, norm_backward, standardise


@triton.jit(do_not_specialize=["first", "count", "tokens"])
def linear_scan(
    q_ptr,  # [B, T, H, D], as k and v; the last axis is contiguous
    k_ptr,
    v_ptr,
    eta_ptr,  # [B, T, H] float32
    w_ptr,  # [B * H, D, D] float32, in and out
    b_ptr,  # [B * H, D]
    norm_w_ptr,  # [H, D] float32
    norm_b_ptr,
    y_ptr,  # [B, T, H, D] contiguous
    ws_ptr,  # [B * H, count + 1, D, D]: the states between mini-batches, in the dtype of q
    bs_ptr,  # [B * H, count + 1, D] float32
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
    OUTPUT: tl.constexpr,  # write y
    KEEP: tl.constexpr,  # write what the backward pass needs
):
    row = tl.program_id(0).to(tl.int64)
    batch, head = row // heads, row % heads
    dtype = q_ptr.dtype.element_ty
    lines, columns = tl.arange(0, SIZE), tl.arange(0, D)
    q_ptr += batch * q_b + head * q_h
    k_ptr += batch * k_b + head * k_h
    v_ptr += batch * v_b + head * v_h
    eta_ptr += batch * eta_b + head * eta_h
    y_ptr += (batch * tokens * heads + head) * D
    if KEEP:
        ws_ptr += row * (count + 1) * D * D
        bs_ptr += row * (count + 1) * D
    norm_w_ptr += head * D
    norm_b_ptr += head * D
    place = columns[:, None] * D + columns[None, :]
    w = tl.load(w_ptr + row * D * D + place)
    b = tl.load(b_ptr + row * D + columns)
    number = 0
    while number < count:  # not range: the interpreter cannot, with NumPy 2.4
        t = first + number * SIZE + lines
        inside = t < tokens
        own = inside[:, None]
        t = t.to(tl.int64)
        # All that is read, before the first barrier: one wait for memory a mini-batch.
        k = tl.load(k_ptr + t[:, None] * k_t + columns[None, :], mask=own, other=0.0)
        v = tl.load(v_ptr + t[:, None] * v_t + columns[None, :], mask=own, other=0.0)
        q = tl.load(q_ptr + t[:, None] * q_t + columns[None, :], mask=own, other=0.0)
        step = tl.load(eta_ptr + t * eta_t, mask=inside, other=0.0)[:, None] * scale
        w_in = w.to(dtype)
        if KEEP:
            tl.store(ws_ptr + place, w_in)
            tl.store(bs_ptr + columns, b)
            ws_ptr += D * D
            bs_ptr += D
        gamma, beta = tl.load(norm_w_ptr + columns)[None, :], tl.load(norm_b_ptr + columns)[None, :]
        standard, inverse = standardise(tl.dot(k, w_in, input_precision=PRECISION) + b[None, :], eps)
        slope = gamma * (gamma * standard + beta - (v.to(tl.float32) - k.to(tl.float32)))
        downhill = -step * norm_backward(slope, standard, inverse)
        b += tl.sum(downhill, axis=0)
        w = tl.dot(tl.trans(k), downhill.to(dtype), w, input_precision=PRECISION)
        tl.debug_barrier()  # below it, q and the norm are loaded again: kept, they would fill the registers above
        if OUTPUT:
            standard, inverse = standardise(tl.dot(q, w.to(dtype), input_precision=PRECISION) + b[None, :], eps)
            gamma, beta = tl.load(norm_w_ptr + columns)[None, :], tl.load(norm_b_ptr + columns)[None, :]
            q = tl.load(q_ptr + t[:, None] * q_t + columns[None, :], mask=own, other=0.0)
            y = q.to(tl.float32) + gamma * standard + beta
            tl.store(y_ptr + t[:, None] * (heads * D) + columns[None, :], y.to(dtype), mask=own)
        number += 1
    tl.store(w_ptr + row * D * D + place, w)
    tl.store(b_ptr + row * D + columns, b)
    if KEEP:
        tl.store(ws_ptr + place, w.to(dtype))
        tl.store(bs_ptr + columns, b)
