"""From one projection of the sequence to the windows that local attention reads. The mathematics is in the README here.

Letters: B batch, T tokens, S segments, W tokens of a window, H heads, D head width.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from storyreel.errors import GeometryError, KernelUnavailable, refusal
from storyreel.geometry import TokenLayout
from storyreel.ops.checks import check_kind, check_shapes, resolve_kernels
from storyreel.ops.local_inputs import reference

__all__ = ["HeadNorms", "local_inputs"]

HEAD_WIDTHS = (16, 32, 64, 128)


class HeadNorms(NamedTuple):
    """Weights and biases `[D]` of the LayerNorms that all heads of the queries, and all of the keys, share."""

    q_weight: Tensor
    q_bias: Tensor
    k_weight: Tensor
    k_bias: Tensor


def local_inputs(
    projected: Tensor,
    norms: HeadNorms,
    rotary: tuple[Tensor, Tensor] | None,
    layout: TokenLayout,
    *,
    eps: float,
    backend: str = "auto",
) -> tuple[Tensor, Tensor, Tensor]:
    """q and k normed and rotated, and v, each `[B * S, W, H, D]` in the dtype of `projected`.

    projected `[B, T, 3 H D]`: columns q, k, v (each head's next to one another), T in the order of `layout`. rotary:
    (cos, sin), float32 `[W, D / 2]`, as for `local_attention`. Arithmetic is float32 (float64 for float64).

    backend: "reference" (any floating dtype and device), "triton" (bfloat16, float16 or float32 on a CUDA GPU, heads of
    16, 32, 64 or 128) or "auto". GeometryError for sizes that do not fit or a reversed layout, ValueError for dtypes or
    devices, KernelUnavailable for a backend that cannot serve. Gradients flow to projected and norms.
    """
    _check(projected, norms, rotary, layout)
    norms = HeadNorms(*(w.to(torch.promote_types(projected.dtype, torch.float32)) for w in norms))
    if _resolved(backend, projected, len(norms.q_weight)) == "reference":
        return reference.local_inputs(projected, *norms, rotary, layout, eps)
    from storyreel.ops.local_inputs.triton_kernels import launch

    return launch.local_inputs(projected, *norms, rotary, window_slots(layout, projected.device), eps)


class Slots(NamedTuple):
    """int32: tokens that the windows hold, `[S, W]`, and where in them each token stands, `[T, 2]` (second: or -1)."""

    tokens: Tensor
    of_token: Tensor


@functools.lru_cache(maxsize=16)
@torch.inference_mode(False)
def window_slots(layout: TokenLayout, device: torch.device) -> Slots:
    """A token has two slots where neighbours share its latent frame, else one."""
    index = layout.window_index()
    slot = torch.arange(index.numel())
    order = index.flatten().argsort(stable=True)
    count = layout.window_count()
    first = count.cumsum(0) - count
    of_token = torch.stack([slot[order[first]], slot[order[first + count - 1]]], dim=1)
    of_token[count == 1, 1] = -1
    return Slots(index.to(device, torch.int32, copy=True), of_token.to(device, torch.int32))


def _resolved(backend: str, x: Tensor, head_width: int) -> str:
    chosen = resolve_kernels("local_inputs", backend, x)
    if chosen == "triton" and head_width not in HEAD_WIDTHS:
        if backend == "triton":
            widths = ", ".join(map(str, HEAD_WIDTHS))
            raise KernelUnavailable(
                f'local_inputs backend "triton" needs heads of {widths}; got {head_width}. Try backend="reference".'
            )
        return "reference"
    return chosen


def _check(projected: Tensor, norms: HeadNorms, rotary: tuple[Tensor, Tensor] | None, layout: TokenLayout) -> None:
    if layout.is_reversed:
        limit = "local attention reads a sequence in time order"
        raise GeometryError(refusal("layout", "reversed", limit, "Use layout.reversed()"))
    (width,) = norms.q_weight.shape
    if projected.dim() != 3 or projected.shape[1] != layout.total_tokens or projected.shape[2] % (3 * width):
        limit = f"it must be [B, {layout.total_tokens}, a multiple of {3 * width}]"
        way_out = "Use the layout that interleaved it"
        raise GeometryError(refusal("projected", list(projected.shape), limit, way_out))
    expected: dict[str, tuple[Tensor, tuple[int, ...], str]]
    expected = {name: (w, (width,), "[D]") for name, w in norms._asdict().items()}
    if rotary is not None:
        named = dict(zip(("cos", "sin"), rotary, strict=True))
        expected |= {name: (x, (layout.window_tokens, width // 2), "[W, D / 2]") for name, x in named.items()}
    check_shapes(expected)
    check_kind(projected, {name: x for name, (x, _, _) in expected.items()})
