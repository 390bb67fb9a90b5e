"""What the kernels keep of a pass and what they give back.

Letters: B batch, T tokens, H heads, N = B * H, M mini-batches.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from storyreel.ops.ttt.states import HeadNorm, MLPState


class Kept(NamedTuple):
    """States before every `every` mini-batches, float32; K = ceil(M / every), w2 transposed."""

    w1: Tensor  # [N, K, 64, 256]
    b1: Tensor  # [N, K, 256]
    w2: Tensor  # [N, K, 64, 256]
    b2: Tensor  # [N, K, 64]


class Gradients(NamedTuple):
    """Of everything that a pass reads, shaped like it."""

    q: Tensor  # [B, T, H, 64] bfloat16, as k and v
    k: Tensor
    v: Tensor
    eta: Tensor  # [B, T, H] float32, as what follows
    state: MLPState
    norm: HeadNorm
