"""The specification of the kernels in plain torch, any dtype and device. Shapes as for `local_inputs`."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from storyreel.geometry import TokenLayout
from storyreel.ops.attention import gather_windows
from storyreel.ops.rope import rotate


def local_inputs(
    projected: Tensor,
    q_weight: Tensor,
    q_bias: Tensor,
    k_weight: Tensor,
    k_bias: Tensor,
    rotary: tuple[Tensor, Tensor] | None,
    layout: TokenLayout,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights in float32 (float64 for a float64 projection)."""
    width = q_weight.shape
    q, k, v = gather_windows(projected, layout).flatten(0, 1).unflatten(-1, (3, -1, *width)).unbind(-3)
    q = F.layer_norm(q.to(q_weight.dtype), width, q_weight, q_bias, eps)
    k = F.layer_norm(k.to(k_weight.dtype), width, k_weight, k_bias, eps)
    if rotary is not None:
        q, k = rotate(q, *rotary), rotate(k, *rotary)
    return q.to(projected.dtype), k.to(projected.dtype), v
