# ruff: noqa: ANN001, ANN201
# pyright: basic, reportGeneralTypeIssues=false, reportMissingImports=false, reportAttributeAccessIssue=false
"""TTT-Linear, backward: one program walks one sequence and head from its last mini-batch to its first.

Letters as in `linear_forward.py`; the derivation is in the README of `ops/ttt`. A name in d is the gradient of what
follows: dw of the state, ddownhill of the step. dw stays in registers to the end, as the state does on the way there.
"""

import triton
import triton.language as tl

from storyreel.ops.ttt.triton_kernels.pieces import PRECISION, norm_backward, slope_backward, standardise


@triton.jit(do_not_specialize=["first", "count", "tokens"])
def linear_scan_backward(
    q_ptr,  # [B, T, H, D], as k, v, dy; the last axis is contiguous
    k_ptr,
    v_ptr,
    eta_ptr,  # [B, T, H] float32
    dy_ptr,
    norm_w_ptr,  # [H, D] float32
    norm_b_ptr,
    ws_ptr,  # [B * H, count + 1, D, D] and [B * H, count + 1, D]: written by `linear_scan`
    bs_ptr,
    dq_ptr,  # [B, T, H, D] contiguous, as dk and dv
    dk_ptr,
    dv_ptr,
    deta_ptr,  # [B, T, H] float32, contiguous
    dw_ptr,  # [B * H, D, D] float32, in and out: of the last state, then of the first
    db_ptr,  # [B * H, D]
    dnorm_w_ptr,  # [B * H, D] float32, added to
    dnorm_b_ptr,
    first,
    count,
    tokens,
    heads,
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
    dy_b,
    dy_t,
    dy_h,
    scale,
    eps,
    SIZE: tl.constexpr,
    D: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    batch, head = row // heads, row % heads
    dtype = q_ptr.dtype.element_ty
    lines, columns = tl.arange(0, SIZE), tl.arange(0, D)
    q_ptr += batch * q_b + head * q_h
    k_ptr += batch * k_b + head * k_h
    v_ptr += batch * v_b + head * v_h
    eta_ptr += batch * eta_b + head * eta_h
    dy_ptr += batch * dy_b + head * dy_h
    out = (batch * tokens * heads + head) * D
    dq_ptr += out
    dk_ptr += out
    dv_ptr += out
    deta_ptr += batch * tokens * heads + head
    ws_ptr += (row * (count + 1) + count) * D * D
    bs_ptr += (row * (count + 1) + count) * D
    norm_w_ptr += head * D
    norm_b_ptr += head * D
    dnorm_w_ptr += row * D
    dnorm_b_ptr += row * D
    place = columns[:, None] * D + columns[None, :]
    dw, db = tl.load(dw_ptr + row * D * D + place), tl.load(db_ptr + row * D + columns)
    number = count
    while number > 0:
        number -= 1
        t = first + number * SIZE + lines
        inside = t < tokens
        own = inside[:, None]
        t = t.to(tl.int64)
        here = t[:, None] * (heads * D) + columns[None, :]
        w, b = tl.load(ws_ptr + place), tl.load(bs_ptr + columns)
        q = tl.load(q_ptr + t[:, None] * q_t + columns[None, :], mask=own, other=0.0)
        dy = tl.load(dy_ptr + t[:, None] * dy_t + columns[None, :], mask=own, other=0.0).to(tl.float32)

        # The question and the state after the step.
        standard, inverse = standardise(tl.dot(q, w, input_precision=PRECISION) + b[None, :], eps)
        gamma = tl.load(norm_w_ptr + columns)[None, :]
        tl.atomic_add(dnorm_w_ptr + columns, tl.sum(dy * standard, axis=0), sem="relaxed", scope="cta")
        tl.atomic_add(dnorm_b_ptr + columns, tl.sum(dy, axis=0), sem="relaxed", scope="cta")
        dz = norm_backward(gamma * dy, standard, inverse)
        db += tl.sum(dz, axis=0)
        dz_in = dz.to(dtype)
        dq = tl.dot(dz_in, tl.trans(w), dy, input_precision=PRECISION)
        tl.store(dq_ptr + here, dq.to(dtype), mask=own)
        dw = tl.dot(tl.trans(q), dz_in, dw, input_precision=PRECISION)

        # The step: W' = W + k^T downhill. The barrier keeps its loads below, or they fill the registers above.
        tl.debug_barrier()
        ws_ptr -= D * D
        bs_ptr -= D
        k = tl.load(k_ptr + t[:, None] * k_t + columns[None, :], mask=own, other=0.0)
        v = tl.load(v_ptr + t[:, None] * v_t + columns[None, :], mask=own, other=0.0)
        step = tl.load(eta_ptr + t * eta_t, mask=inside, other=0.0)[:, None] * scale
        w, b = tl.load(ws_ptr + place), tl.load(bs_ptr + columns)
        standard, inverse = standardise(tl.dot(k, w, input_precision=PRECISION) + b[None, :], eps)
        gamma, beta = tl.load(norm_w_ptr + columns)[None, :], tl.load(norm_b_ptr + columns)[None, :]
        error = gamma * standard + beta - (v.to(tl.float32) - k.to(tl.float32))
        dw_in = dw.to(dtype)
        ddownhill = tl.dot(k, dw_in, input_precision=PRECISION) + db[None, :]
        downhill, dstep, derror, dz, dgamma = slope_backward(ddownhill, step, gamma, error, standard, inverse)
        tl.atomic_add(dnorm_w_ptr + columns, dgamma, sem="relaxed", scope="cta")
        tl.atomic_add(dnorm_b_ptr + columns, tl.sum(derror, axis=0), sem="relaxed", scope="cta")
        tl.store(deta_ptr + t * heads, dstep * scale, mask=inside)
        tl.store(dv_ptr + here, (-derror).to(dtype), mask=own)
        dk = tl.dot(downhill.to(dtype), tl.trans(dw_in), derror, input_precision=PRECISION)

        # The network at k, with the state before the step.
        db += tl.sum(dz, axis=0)
        dz_in = dz.to(dtype)
        dk = tl.dot(dz_in, tl.trans(w), dk, input_precision=PRECISION)
        tl.store(dk_ptr + here, dk.to(dtype), mask=own)
        dw = tl.dot(tl.trans(k), dz_in, dw, input_precision=PRECISION)
    tl.store(dw_ptr + row * D * D + place, dw)
    tl.store(db_ptr + row * D + columns, db)
