"""Kernels of flash-linear-attention (the package fla-core, MIT) for the gated delta rule and Mamba 2's recurrence.

Written for version 0.6: `fla.ops.gated_delta_rule.chunk_gated_delta_rule` and `fla.ops.simple_gla.chunk_simple_gla`,
whose states are `[B, H, V, K]` with `state_v_first`. Nothing of it is imported before it is called.

Shapes and letters as in `storyreel.ops.delta` and `storyreel.ops.ssd`. Tokens keep the dtype of v or x, in which the
kernels multiply (float32 as TF32); decays, sums and states are in float32.
"""

import functools
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import torch
from packaging.version import Version
from torch import Tensor

LARGEST_KEY = 256
DTYPES = (torch.bfloat16, torch.float16, torch.float32)
INSTALL = 'pip install -c constraints.txt ".[gpu]"'


def obstacle(x: Tensor, key_width: int = 0) -> str:
    """What these kernels need and tokens x have not, in a sentence with its way out; empty where they can serve.

    key_width: that of the gated delta rule's keys, which has a limit.
    """
    return _obstacle(x.device, x.dtype, key_width, torch.is_grad_enabled())


def wants(x: Tensor, key_width: int = 0) -> bool:
    """Whether "auto" takes these kernels: half precision on a GPU that they serve. In float32 they round to TF32."""
    return x.dtype in (torch.bfloat16, torch.float16) and not obstacle(x, key_width)


@functools.cache
def _obstacle(device: torch.device, dtype: torch.dtype, key_width: int, with_gradient: bool) -> str:
    if device.type != "cuda":
        return f"a CUDA GPU; got {device.type}."
    if dtype not in DTYPES:
        return f"bfloat16, float16 or float32; got {dtype}."
    if key_width > LARGEST_KEY:
        return f"keys of {LARGEST_KEY} numbers at most; got {key_width}."
    if find_spec("fla") is None:
        return f"the package fla-core, which is not installed. {INSTALL}."
    try:
        triton = Version(version("triton"))
    except PackageNotFoundError:
        return "the package triton, which is not installed. pip install triton."
    hopper = torch.cuda.get_device_capability(device)[0] == 9
    wrong = Version("3.4") <= triton < Version("3.7.1")
    if with_gradient and hopper and wrong and find_spec("tilelang") is None:
        # fla refuses it too, but only in the backward pass (flash-linear-attention, issue 640).
        return f'Triton 3.7.1 for gradients on Hopper; {triton} is wrong. pip install "triton>=3.7.1" (or tilelang).'
    return ""


def gated_delta(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, beta: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """y `[B, T, H, V]` like v and the state after the last token, float32."""
    from fla.ops.gated_delta_rule import chunk_gated_delta_rule  # pyright: ignore[reportMissingImports]

    return chunk_gated_delta_rule(
        q.to(v.dtype),
        k.to(v.dtype),
        v,
        g=log_decay.float(),
        beta=beta.float(),
        scale=1.0,
        initial_state=state.float(),
        output_final_state=True,
        state_v_first=True,
    )


def ssd(
    c: Tensor, b: Tensor, x: Tensor, dt: Tensor, rate: Tensor, skip: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """y `[B, T, H, P]` like x and the state after the last token, float32.

    The kernel knows no groups: c and b are copied for every head, 2 B T H N numbers.
    """
    from fla.ops.simple_gla import chunk_simple_gla  # pyright: ignore[reportMissingImports]

    c, b = (shared.to(x.dtype).repeat_interleave(x.shape[2] // shared.shape[2], dim=2) for shared in (c, b))
    dt = dt.float()
    y, final = chunk_simple_gla(
        c,
        b,
        (x * dt[..., None]).to(x.dtype),
        g=dt * rate.float(),
        scale=1.0,
        initial_state=state.float(),
        output_final_state=True,
        state_v_first=True,
    )
    return y + (skip[:, None] * x).to(x.dtype), final
