# ruff: noqa: ANN001, ANN201
# pyright: basic, reportGeneralTypeIssues=false, reportMissingImports=false, reportAttributeAccessIssue=false
"""What kernels that see tokens a head at a time share. A tile is `[tokens, heads, D]`; everything here is float32."""

import triton
import triton.language as tl


@triton.jit
def rotate(x, cos, sin, TOKENS: tl.constexpr, HEADS: tl.constexpr, D: tl.constexpr):
    """Each pair of neighbouring channels turned by the angles of `[tokens, 1, D / 2]` tables."""
    first, second = tl.split(tl.reshape(x, [TOKENS, HEADS, D // 2, 2]))
    turned = tl.join(first * cos - second * sin, first * sin + second * cos)
    return tl.reshape(turned, [TOKENS, HEADS, D])


@triton.jit
def angles(table, token, own, D: tl.constexpr):
    """Rows of a table `[T, D / 2]` for `rotate`."""
    at = token[:, None] * (D // 2) + tl.arange(0, D // 2)[None, :]
    return tl.load(table + at, mask=own[:, None], other=0.0)[:, None, :]


@triton.jit
def mean(x):
    return tl.sum(x, axis=2)[:, :, None] / x.shape[2]


@triton.jit
def standardise(x, eps):
    """x to mean 0 and variance 1 in each head, and what it was multiplied by, `[tokens, heads, 1]`."""
    centred = x - mean(x)
    inverse = tl.rsqrt(mean(centred * centred) + eps)
    return centred * inverse, inverse


@triton.jit
def standardise_backward(slope, standard, inverse):
    """Gradient of x, given that of `standardise(x)`."""
    return inverse * (slope - mean(slope) - standard * mean(slope * standard))
