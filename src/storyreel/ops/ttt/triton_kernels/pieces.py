# ruff: noqa: ANN001, ANN201
# pyright: basic, reportGeneralTypeIssues=false, reportMissingImports=false, reportAttributeAccessIssue=false
"""Small functions that the kernels share: GELU with its slopes, LayerNorm, the slope of the inner loss.

Letters: b tokens of a mini-batch, D head width. Everything here is float32.
"""

import math

import torch
import triton
import triton.language as tl

# gelu(z) = z * sigmoid(w) with w = TWICE_C * z * (1 + CUBIC * z^2): the tanh form, as tanh(u) = 2 sigmoid(2 u) - 1.
TWICE_C = tl.constexpr(2 * math.sqrt(2 / math.pi))
PTX = tl.constexpr(torch.version.hip is None and not triton.knobs.runtime.interpret)
# Of float32 products: three products of TensorFloat-32, on matrix units, right to 1e-6. Other dtypes ignore it.
PRECISION = tl.constexpr("tf32x3")
LOG2_E = tl.constexpr(math.log2(math.e))
CUBIC = tl.constexpr(0.044715)


@triton.jit
def sigmoid(x):
    """Two instructions of the special unit on NVIDIA, right to 1e-6; tl.sigmoid takes some ten more for rare cases."""
    if PTX:
        part = tl.inline_asm_elementwise(
            "{ .reg .f32 a; ex2.approx.ftz.f32 a, $1; add.f32 a, a, 0f3F800000; rcp.approx.ftz.f32 $0, a; }",
            "=f,f",
            [x * -LOG2_E],
            dtype=tl.float32,
            is_pure=True,
            pack=1,
        )
    else:
        part = tl.sigmoid(x)
    return part


@triton.jit
def gelu(z):
    return z * sigmoid(TWICE_C * z * (1 + CUBIC * z * z))


@triton.jit
def gelu_and_slope(z):
    square = z * z
    part = sigmoid(TWICE_C * z * (1 + CUBIC * square))
    inner = TWICE_C * (1 + 3 * CUBIC * square)
    return z * part, part + z * part * (1 - part) * inner


@triton.jit
def gelu_and_two_slopes(z):
    square = z * z
    part = sigmoid(TWICE_C * z * (1 + CUBIC * square))
    inner = TWICE_C * (1 + 3 * CUBIC * square)
    bend = part * (1 - part)
    second = bend * (2 * inner + z * (1 - 2 * part) * inner * inner + 6 * TWICE_C * CUBIC * square)
    return z * part, part + z * bend * inner, second


@triton.jit
def standardise(z, eps):
    """z `[b, D]` to mean 0 and variance 1 in its rows, and what the rows were multiplied by, `[b, 1]`."""
    centred = z - row_mean(z)
    inverse = tl.rsqrt(row_mean(centred * centred) + eps)
    return centred * inverse, inverse


@triton.jit
def row_mean(x):
    return tl.sum(x, axis=1)[:, None] / x.shape[1]


@triton.jit
def norm_backward(slope, standard, inverse):
    """Gradient of z, given that of `standardise(z)`."""
    return inverse * (slope - row_mean(slope) - standard * row_mean(slope * standard))


@triton.jit
def slope_backward(ddownhill, step, gamma, error, standard, inverse):
    """What a mini-batch's step learned from, and the gradients of that, given the gradient of the step.

    downhill = -step * inverse * P(g) with g = gamma * error and P(x) = x - mean(x) - standard * mean(x * standard);
    error and standard are of z `[b, D]`, step and inverse `[b, 1]`. Returns downhill and the gradients of step `[b]`,
    error `[b, D]`, z `[b, D]` and gamma `[D]`. P is linear: as written few values live at once.
    """
    g = gamma * error
    along = row_mean(g * standard)
    bare = g - row_mean(g) - standard * along
    factor = -step * inverse
    across = row_mean(ddownhill * bare)
    turned = row_mean(ddownhill * standard)
    dg = factor * (ddownhill - row_mean(ddownhill) - standard * turned)
    dgamma = tl.sum(dg * (error + gamma * standard), axis=0)
    bent = gamma * gamma * dg
    lean = row_mean(bent * standard) + factor * across
    dz = inverse * (bent - row_mean(bent) - standard * lean - along * dg - factor * turned * bare)
    dstep = tl.sum(-inverse * across, axis=1) * standard.shape[1]
    return factor * bare, dstep, gamma * dg, dz, dgamma
