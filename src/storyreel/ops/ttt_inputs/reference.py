"""The specification of the kernels in plain torch, any dtype and device. Shapes as for `ttt_inputs`."""

from __future__ import annotations

from torch import Tensor

from storyreel.ops.norm import head_layer_norm, unit
from storyreel.ops.rope import rotate


def ttt_inputs(
    projected: Tensor, cos: Tensor, sin: Tensor, weight: Tensor, bias: Tensor, rate: float, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """weight and bias in float32 (float64 for a float64 projection)."""
    heads, width = weight.shape
    sizes = [heads * width] * 3 + [heads]
    q, k, v, logits, _ = projected.to(weight.dtype).split([*sizes, projected.shape[-1] - sum(sizes)], dim=-1)
    q, k, v = (x.unflatten(-1, (heads, width)) for x in (q, k, v))
    q, k = rotate(unit(q), cos, sin), rotate(unit(k), cos, sin)
    v = head_layer_norm(v - k, weight, bias, eps) + k
    dtype = projected.dtype
    return q.to(dtype), k.to(dtype), v.to(dtype), rate * logits.sigmoid()
