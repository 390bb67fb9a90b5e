"""From one projection of the tokens to all that the TTT op reads. The mathematics is in this folder's README.

Letters: B batch, T tokens, H heads, D head width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from storyreel.errors import GeometryError, KernelUnavailable, refusal
from storyreel.ops.checks import check_kind, check_shapes, resolve_kernels
from storyreel.ops.ttt_inputs import reference

__all__ = ["TTTInputs", "projected_width", "ttt_inputs", "ttt_inputs_into"]

HEAD_WIDTHS = (16, 32, 64, 128)
ALIGNMENT = 8
"""Matrix units want rows of 16 bytes."""


class TTTInputs(NamedTuple):
    """q, k, v `[B, T, H, D]`, eta `[B, T, H]` in float32 (float64 for float64 q)."""

    q: Tensor
    k: Tensor
    v: Tensor
    eta: Tensor

    @classmethod
    def empty(cls, projected: Tensor, tokens: int, heads: int, head_width: int) -> TTTInputs:
        """Room for so many tokens of a projection like this one."""
        size = (len(projected), tokens, heads, head_width)
        q, k, v = (projected.new_empty(size) for _ in range(3))
        return cls(q, k, v, projected.new_empty(size[:3], dtype=torch.promote_types(q.dtype, torch.float32)))


def projected_width(heads: int, head_width: int) -> int:
    """Columns of the projection: q, k and v of all heads, a logit of eta a head, and what makes a multiple of 8."""
    return -(-heads * (3 * head_width + 1) // ALIGNMENT) * ALIGNMENT


def ttt_inputs(
    projected: Tensor,
    cos: Tensor,
    sin: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    rate: float,
    eps: float,
    place: Tensor | None = None,
    backend: str = "auto",
) -> TTTInputs:
    """Unit q and k, rotated; v such that v - k is the target; eta = rate * sigmoid(logit).

    projected `[B, T, projected_width]`: columns q, k, v (each head's next to one another), then logits, then nothing
    that is read. cos and sin, float32 `[T, D / 2]`, of each token of `projected`; weight and bias `[H, D]`, the head
    norm of the memory. place, int32 `[T]`, a permutation: token t of `projected` is number place[t] of the result, at
    no cost.
    q, k, v have the dtype of `projected`; arithmetic is float32 (float64 for float64).

    backend: "reference" (any floating dtype and device), "triton" (bfloat16, float16 or float32 on a CUDA GPU, heads of
    16, 32, 64 or 128) or "auto". GeometryError for sizes that do not fit, ValueError for dtypes or devices,
    KernelUnavailable for a backend that cannot serve. Gradients flow to projected, weight and bias.
    """
    _check(projected, cos, sin, weight, bias, place, projected.shape[1])
    weight, bias = (w.to(torch.promote_types(projected.dtype, torch.float32)) for w in (weight, bias))
    if _resolved(backend, projected, weight.shape[1]) == "reference":
        made = reference.ttt_inputs(projected, cos, sin, weight, bias, rate, eps)
        return TTTInputs(*(made if place is None else (x[:, place.long().argsort()] for x in made)))
    from storyreel.ops.ttt_inputs.triton_kernels import launch

    return TTTInputs(*launch.ttt_inputs(projected, cos, sin, weight, bias, place, launch.Problem(rate, eps)))


@torch.no_grad()
def ttt_inputs_into(
    out: TTTInputs,
    projected: Tensor,
    cos: Tensor,
    sin: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    rate: float,
    eps: float,
    first: int = 0,
    place: Tensor | None = None,
    backend: str = "auto",
) -> None:
    """As `ttt_inputs` for some tokens of a longer sequence, without gradients: writes into `out` (`TTTInputs.empty`).

    Token t of `projected` goes to place[t], or to first + t where no place is given.
    """
    _check(projected, cos, sin, weight, bias, place, out.q.shape[1])
    weight, bias = (w.to(torch.promote_types(projected.dtype, torch.float32)) for w in (weight, bias))
    if _resolved(backend, projected, weight.shape[1]) == "reference":
        target = slice(first, first + projected.shape[1]) if place is None else place.long()
        for whole, part in zip(out, reference.ttt_inputs(projected, cos, sin, weight, bias, rate, eps), strict=True):
            whole[:, target] = part
        return
    from storyreel.ops.ttt_inputs.triton_kernels import launch

    launch.write(
        out, projected, cos, sin, weight.contiguous(), bias.contiguous(), place, first, launch.Problem(rate, eps)
    )


def _resolved(backend: str, x: Tensor, head_width: int) -> str:
    chosen = resolve_kernels("ttt_inputs", backend, x)
    if chosen == "triton" and head_width not in HEAD_WIDTHS:
        if backend == "triton":
            widths = ", ".join(map(str, HEAD_WIDTHS))
            raise KernelUnavailable(
                f'ttt_inputs backend "triton" needs heads of {widths}; got {head_width}. Try backend="reference".'
            )
        return "reference"
    return chosen


def _check(
    projected: Tensor, cos: Tensor, sin: Tensor, weight: Tensor, bias: Tensor, place: Tensor | None, room: int
) -> None:
    if projected.dim() != 3 or not projected.numel() or weight.dim() != 2:
        limit = "it must be [B, T, columns] with at least one token, and weight [H, D]"
        raise GeometryError(refusal("projected", list(projected.shape), limit, "Skip the op when T is 0"))
    batch, tokens, _ = projected.shape
    heads, width = weight.shape
    columns = projected_width(heads, width)
    expected = {
        "projected": (projected, (batch, tokens, columns), "[B, T, projected_width]"),
        "cos": (cos, (tokens, width // 2), "[T, D / 2]"),
        "sin": (sin, (tokens, width // 2), "[T, D / 2]"),
        "bias": (bias, (heads, width), "[H, D]"),
    }
    if place is not None:
        expected["place"] = (place, (tokens,), "[T]")
        if place.dtype != torch.int32:
            raise ValueError(refusal("place", place.dtype, "it must be int32", "Convert it first"))
    check_shapes(expected)
    if tokens > room:
        raise GeometryError(refusal("out", f"{room} tokens", f"{tokens} are given", "Make room for all of them"))
    check_kind(projected, {"cos": cos, "sin": sin, "weight": weight, "bias": bias})
