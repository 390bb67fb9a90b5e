"""The tensors that the TTT op carries from token to token, and its LayerNorm."""

from typing import NamedTuple

from torch import Tensor


class HeadNorm(NamedTuple):
    """LayerNorm weights of each head; weight and bias are `[H, D]`."""

    weight: Tensor
    bias: Tensor


class MLPState(NamedTuple):
    """TTT-MLP's memory: x -> gelu(x w1 + b1) w2 + b2, a network for each sequence and head."""

    w1: Tensor  # [B, H, D, F]
    b1: Tensor  # [B, H, F]
    w2: Tensor  # [B, H, F, D]
    b2: Tensor  # [B, H, D]


class LinearState(NamedTuple):
    """TTT-Linear's memory: x -> x w + b, a matrix for each sequence and head."""

    w: Tensor  # [B, H, D, D]
    b: Tensor  # [B, H, D]
