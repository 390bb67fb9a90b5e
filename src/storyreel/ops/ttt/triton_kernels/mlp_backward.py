# ruff: noqa: ANN001, ANN201
# pyright: basic, reportGeneralTypeIssues=false, reportMissingImports=false, reportAttributeAccessIssue=false
"""TTT-MLP, backward: one program walks one sequence and head from its last mini-batch to its first.

Letters as in `mlp_forward.py`; the derivation is in the README of `ops/ttt`. A name in d is the gradient of what
follows: dw1 of the state, ddownhill of the step. The gradient of the state is kept as the state is: float32, read and
written in slices, W2 transposed.
"""

import triton
import triton.language as tl

from storyreel.ops.ttt.triton_kernels.pieces import (
    PRECISION,
    gelu_and_slope,
    gelu_and_two_slopes,
    norm_backward,
    slope_backward,
    standardise,
)


@triton.jit(do_not_specialize=["first", "count", "tokens"])
def mlp_scan_backward(
    q_ptr,  # [B, T, H, D], as k, v, dy; the last axis is contiguous
    k_ptr,
    v_ptr,
    eta_ptr,  # [B, T, H] float32
    dy_ptr,
    norm_w_ptr,  # [H, D] float32
    norm_b_ptr,
    z2_ptr,  # [B * H, count * b, D], and the states of each mini-batch: written by `mlp_scan`
    z2q_ptr,
    w1s_ptr,
    b1s_ptr,
    w2s_ptr,
    dq_ptr,  # [B, T, H, D] contiguous, as dk and dv
    dk_ptr,
    dv_ptr,
    deta_ptr,  # [B, T, H] float32, contiguous
    dw1_ptr,  # [B * H, D, F] float32, in and out: of the last state, then of the first; shapes as in `mlp_scan`
    db1_ptr,
    dw2_ptr,
    db2_ptr,
    dnorm_w_ptr,  # [B * H, D] float32, added to
    dnorm_b_ptr,
    rest_ptr,  # [B * H, b, F] in the dtype of q: scratch
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
    F: tl.constexpr,
    C: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    batch, head = row // heads, row % heads
    dtype = q_ptr.dtype.element_ty
    lines, columns, hidden = tl.arange(0, SIZE), tl.arange(0, D), tl.arange(0, C)
    q_ptr += batch * q_b + head * q_h
    k_ptr += batch * k_b + head * k_h
    v_ptr += batch * v_b + head * v_h
    eta_ptr += batch * eta_b + head * eta_h
    dy_ptr += batch * dy_b + head * dy_h
    z2_ptr += row * count * SIZE * D
    z2q_ptr += row * count * SIZE * D
    w1s_ptr += row * (count + 1) * D * F
    b1s_ptr += row * (count + 1) * F
    w2s_ptr += row * (count + 1) * D * F
    out = (batch * tokens * heads + head) * D
    dq_ptr += out
    dk_ptr += out
    dv_ptr += out
    deta_ptr += batch * tokens * heads + head
    dw1_ptr += row * D * F
    db1_ptr += row * F
    dw2_ptr += row * D * F
    rest_ptr += row * SIZE * F
    norm_w_ptr += head * D
    norm_b_ptr += head * D
    inner = lines[:, None] * D + columns[None, :]
    db2 = tl.load(db2_ptr + row * D + columns)
    dgamma, dbeta = tl.load(dnorm_w_ptr + row * D + columns), tl.load(dnorm_b_ptr + row * D + columns)
    number = count
    while number > 0:
        number -= 1
        t = first + number * SIZE + lines
        inside = t < tokens
        own = inside[:, None]
        t = t.to(tl.int64)
        here = t[:, None] * (heads * D) + columns[None, :]
        w1_ptr, b1_ptr = w1s_ptr + (number + 1).to(tl.int64) * D * F, b1s_ptr + (number + 1) * F
        w2_ptr = w2s_ptr + (number + 1).to(tl.int64) * D * F
        outputs = number.to(tl.int64) * SIZE * D + inner

        # The question and the state after the step.
        dy = tl.load(dy_ptr + t[:, None] * dy_t + columns[None, :], mask=own, other=0.0).to(tl.float32)
        gamma = tl.load(norm_w_ptr + columns)[None, :]
        standard, inverse = standardise(tl.load(z2q_ptr + outputs).to(tl.float32), eps)
        dgamma += tl.sum(dy * standard, axis=0)
        dbeta += tl.sum(dy, axis=0)
        dz2 = norm_backward(gamma * dy, standard, inverse)
        db2 += tl.sum(dz2, axis=0)
        dz2_in = dz2.to(dtype)
        q = tl.load(q_ptr + t[:, None] * q_t + columns[None, :], mask=own, other=0.0)
        dq = dy
        for start in range(0, F, C):
            place = columns[:, None] * F + (start + hidden)[None, :]
            w1, w2 = tl.load(w1_ptr + place), tl.load(w2_ptr + place)
            b1 = tl.load(b1_ptr + start + hidden)
            dw1, dw2 = tl.load(dw1_ptr + place), tl.load(dw2_ptr + place)
            db1 = tl.load(db1_ptr + start + hidden)
            x2, bend = gelu_and_slope(tl.dot(q, w1, input_precision=PRECISION) + b1[None, :])
            dw2 = tl.dot(tl.trans(dz2_in), x2.to(dtype), dw2, input_precision=PRECISION)
            tl.store(dw2_ptr + place, dw2)
            dz1 = tl.dot(dz2_in, w2, input_precision=PRECISION) * bend
            dz1_in = dz1.to(dtype)
            dw1 = tl.dot(tl.trans(q), dz1_in, dw1, input_precision=PRECISION)
            tl.store(dw1_ptr + place, dw1)
            tl.store(db1_ptr + start + hidden, db1 + tl.sum(dz1, axis=0))
            dq = tl.dot(dz1_in, tl.trans(w1), dq, input_precision=PRECISION)
        tl.store(dq_ptr + here, dq.to(dtype), mask=own)
        tl.debug_barrier()

        # The step: W' = W + x^T downhill; downhill and the slope before it depend on W, k, v and eta.
        w1_ptr -= D * F
        b1_ptr -= F
        w2_ptr -= D * F
        k = tl.load(k_ptr + t[:, None] * k_t + columns[None, :], mask=own, other=0.0)
        v = tl.load(v_ptr + t[:, None] * v_t + columns[None, :], mask=own, other=0.0)
        step = tl.load(eta_ptr + t * eta_t, mask=inside, other=0.0)[:, None] * scale
        gamma, beta = tl.load(norm_w_ptr + columns)[None, :], tl.load(norm_b_ptr + columns)[None, :]
        standard, inverse = standardise(tl.load(z2_ptr + outputs).to(tl.float32), eps)
        error = gamma * standard + beta - (v.to(tl.float32) - k.to(tl.float32))
        downhill = (-step * norm_backward(gamma * error, standard, inverse)).to(dtype)
        ddownhill = tl.zeros([SIZE, D], tl.float32) + db2[None, :]
        dk = tl.zeros([SIZE, D], tl.float32)
        for start in range(0, F, C):
            place = columns[:, None] * F + (start + hidden)[None, :]
            w1, w2 = tl.load(w1_ptr + place), tl.load(w2_ptr + place)
            b1 = tl.load(b1_ptr + start + hidden)
            dw1, dw2 = tl.load(dw1_ptr + place), tl.load(dw2_ptr + place)
            db1 = tl.load(db1_ptr + start + hidden)
            x2, bend, bend2 = gelu_and_two_slopes(tl.dot(k, w1, input_precision=PRECISION) + b1[None, :])
            dw2_in = dw2.to(dtype)
            ddownhill = tl.dot(x2.to(dtype), tl.trans(dw2_in), ddownhill, input_precision=PRECISION)
            rest = tl.dot(downhill, dw2_in, input_precision=PRECISION) * bend
            dw1 = dw1.to(dtype)
            dslope1 = tl.dot(k, dw1, input_precision=PRECISION) + db1[None, :]
            before = tl.dot(downhill, w2, input_precision=PRECISION)  # the slope, but for its factor bend
            rest += dslope1 * before * bend2
            tl.store(rest_ptr + lines[:, None] * F + (start + hidden)[None, :], rest.to(dtype))
            dk = tl.dot((before * bend).to(dtype), tl.trans(dw1), dk, input_precision=PRECISION)
            dbefore = (dslope1 * bend).to(dtype)
            ddownhill = tl.dot(dbefore, tl.trans(w2), ddownhill, input_precision=PRECISION)
            dw2 = tl.dot(tl.trans(downhill), dbefore, dw2, input_precision=PRECISION)
            tl.store(dw2_ptr + place, dw2)
        tl.debug_barrier()

        # The slope of the inner loss: downhill = -step * (g - mean(g) - standard * mean(g * standard)) * inverse.
        # Loaded and computed again: kept, it would fill the registers through the loop above.
        k = tl.load(k_ptr + t[:, None] * k_t + columns[None, :], mask=own, other=0.0)
        v = tl.load(v_ptr + t[:, None] * v_t + columns[None, :], mask=own, other=0.0)
        step = tl.load(eta_ptr + t * eta_t, mask=inside, other=0.0)[:, None] * scale
        gamma, beta = tl.load(norm_w_ptr + columns)[None, :], tl.load(norm_b_ptr + columns)[None, :]
        standard, inverse = standardise(tl.load(z2_ptr + outputs).to(tl.float32), eps)
        error = gamma * standard + beta - (v.to(tl.float32) - k.to(tl.float32))
        downhill, dstep, derror, dz2, dgamma_k = slope_backward(ddownhill, step, gamma, error, standard, inverse)
        dgamma += dgamma_k
        dbeta += tl.sum(derror, axis=0)
        dk += derror
        tl.store(deta_ptr + t * heads, dstep * scale, mask=inside)
        tl.store(dv_ptr + here, (-derror).to(dtype), mask=own)
        db2 += tl.sum(dz2, axis=0)
        dz2_in = dz2.to(dtype)

        # The network at k, with the state before the step.
        for start in range(0, F, C):
            place = columns[:, None] * F + (start + hidden)[None, :]
            w1, w2 = tl.load(w1_ptr + place), tl.load(w2_ptr + place)
            b1 = tl.load(b1_ptr + start + hidden)
            dw1, dw2 = tl.load(dw1_ptr + place), tl.load(dw2_ptr + place)
            db1 = tl.load(db1_ptr + start + hidden)
            rest = tl.load(rest_ptr + lines[:, None] * F + (start + hidden)[None, :]).to(tl.float32)
            x2, bend = gelu_and_slope(tl.dot(k, w1, input_precision=PRECISION) + b1[None, :])
            dw2 = tl.dot(tl.trans(dz2_in), x2.to(dtype), dw2, input_precision=PRECISION)
            tl.store(dw2_ptr + place, dw2)
            dz1 = tl.dot(dz2_in, w2, input_precision=PRECISION) * bend + rest
            dz1_in = dz1.to(dtype)
            dw1 = tl.dot(tl.trans(k), dz1_in, dw1, input_precision=PRECISION)
            tl.store(dw1_ptr + place, dw1)
            tl.store(db1_ptr + start + hidden, db1 + tl.sum(dz1, axis=0))
            dk = tl.dot(dz1_in, tl.trans(w1), dk, input_precision=PRECISION)
        tl.store(dk_ptr + here, dk.to(dtype), mask=own)
        tl.debug_barrier()
    tl.store(db2_ptr + row * D + columns, db2)
    tl.store(dnorm_w_ptr + row * D + columns, dgamma)
    tl.store(dnorm_b_ptr + row * D + columns, dbeta)
