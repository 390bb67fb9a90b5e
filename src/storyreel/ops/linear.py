"""Linear layers on the CPU, by oneDNN where it is the faster.

torch multiplies float32 matrices by MKL, which takes AVX2 on an AMD processor that has AVX-512: on one core of an EPYC
of the fourth generation 80 GFLOP/s at the demo's sizes, oneDNN 104, and its GELU (tanh form) behind a product costs a
third of torch's own. It is the same function up to the order of float32 sums. In bfloat16, for which that core has
instructions, oneDNN does 200 GFLOP/s, with sums in float32.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

CPU_FACTS = Path("/proc/cpuinfo")
ON_ONEDNN = (
    torch.backends.mkldnn.is_available()
    and torch.backends.cpu.get_cpu_capability() == "AVX512"
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)
"""torch has no public name for oneDNN's product of dense float32 matrices."""
ONEDNN_DTYPES = (torch.float32, torch.bfloat16)


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, gelu: bool = False, out: torch.dtype | None = None
) -> Tensor:
    """x `[..., C]` times weight `[D, C]` transposed, plus bias `[D]`, and with `gelu` GELU (tanh form) of that.

    Computed in the dtype of x, to which weight and bias are cast; `out` is the dtype of the result (None: that of x).
    """
    weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
    if ON_ONEDNN and torch.backends.mkldnn.enabled and no_gradients_on_cpu(x) and x.dtype in ONEDNN_DTYPES:
        activation = ("gelu", [], "tanh") if gelu else ("none", [], "")
        y = torch.ops.mkldnn._linear_pointwise(x, weight, bias, *activation)
    else:
        y = F.linear(x, weight, bias)
        y = F.gelu(y, approximate="tanh") if gelu else y
    return y if out is None else y.to(out)


def is_plain_float32(x: Tensor) -> bool:
    """Whether x is a float32 tensor on the CPU of which nobody takes gradients, and no compiler reads along."""
    return no_gradients_on_cpu(x) and x.dtype == torch.float32


def no_gradients_on_cpu(x: Tensor) -> bool:
    """Whether x lies on the CPU while no gradients are recorded, and no compiler reads along."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def multiplies_bfloat16(cpu_facts: Path = CPU_FACTS) -> bool:
    """Whether the processor has instructions for it, from Linux's list of flags; False where there is no such list."""
    try:
        flags = set(cpu_facts.read_text(encoding="utf-8").split())
    except OSError:
        return False
    return bool(flags & {"avx512_bf16", "amx_bf16"})
