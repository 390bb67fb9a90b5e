"""Linear layers on the CPU, by oneDNN where it is the faster.

torch multiplies float32 matrices by MKL, which takes AVX2 on an AMD processor that has AVX-512: on one core of an EPYC
of the fourth generation 80 GFLOP/s at the demo's sizes, oneDNN 104, and its GELU (tanh form) behind a product costs a
third of torch's own. It is the same function up to the order of float32 sums.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

ON_ONEDNN = (
    torch.backends.mkldnn.is_available()
    and torch.backends.cpu.get_cpu_capability() == "AVX512"
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)
"""torch has no public name for oneDNN's product of dense float32 matrices."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, gelu: bool = False) -> Tensor:
    """x `[..., C]` times weight `[D, C]` transposed, plus bias `[D]`, and with `gelu` GELU (tanh form) of that.

    In the dtype of x, which the others share.
    """
    if is_plain_float32(x) and ON_ONEDNN and torch.backends.mkldnn.enabled:
        activation = ("gelu", [], "tanh") if gelu else ("none", [], "")
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, *activation)
    y = F.linear(x, weight, bias)
    return F.gelu(y, approximate="tanh") if gelu else y


def is_plain_float32(x: Tensor) -> bool:
    """Whether x is a float32 tensor on the CPU of which nobody takes gradients, and no compiler reads along."""
    return no_gradients_on_cpu(x) and x.dtype == torch.float32


def no_gradients_on_cpu(x: Tensor) -> bool:
    """Whether x lies on the CPU while no gradients are recorded, and no compiler reads along."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()
