"""LayerNorm of tokens with scale and shift, the gated residual, and both as one. The mathematics is in the README here.

Letters: B batch, T tokens, C width, R rows of a table, P pieces.

A sequence is cut into pieces of `lengths` tokens; row r of a table `[B, R, C]` belongs to the pieces r, r + R, r + 2R,
... (text and video in turn: 2 rows for the whole video, 2 S for S noise levels). A table `[1, R, C]` serves all of a
batch. Tables and weights may have any floating dtype; arithmetic is float32 (float64 for float64 x).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from storyreel.errors import GeometryError, KernelUnavailable, refusal
from storyreel.ops.checks import check_kind, resolve_kernels
from storyreel.ops.modulated_norm import reference

__all__ = ["add_gated", "add_gated_then_norm", "modulated_norm"]

WIDEST = 16384
"""Channels of a token that one program holds in registers."""


def modulated_norm(
    x: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    lengths: Sequence[int],
    *,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float,
    place: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """`LayerNorm(x) * (1 + scale) + shift`, `[B, T, C]` in the dtype of x.

    x `[B, T, C]`; scale and shift tables, None for 0; weight and bias `[C]` of the LayerNorm, None for 1 and 0.
    place, int32 `[T]`, a permutation: token t of the result is made of token place[t] of x, at no cost.

    backend: "reference" (any floating dtype and device), "triton" (bfloat16, float16 or float32 on a CUDA GPU, C up to
    16384) or "auto". GeometryError for sizes that do not fit, ValueError for dtypes or devices, KernelUnavailable for
    a backend that cannot serve. Gradients flow to every tensor but place, and are the same in every run.
    """
    _check(x, lengths, {"scale": scale, "shift": shift}, {"weight": weight, "bias": bias}, place)
    factor, offset = _line(x, scale, shift, weight, bias)
    if _resolved(backend, x) == "reference":
        return reference.norm(x if place is None else x[:, place.long()], factor, offset, lengths, eps)
    from storyreel.ops.modulated_norm.triton_kernels import launch

    return launch.norm(x, factor, offset, place, tuple(lengths), eps)


def add_gated(x: Tensor, y: Tensor, gate: Tensor, lengths: Sequence[int], *, backend: str = "auto") -> Tensor:
    """`x + gate * y` in the dtype of x: x and y `[B, T, C]`, gate a table. The rest is as for `modulated_norm`."""
    _check(x, lengths, {"gate": gate}, {}, None)
    _check_alike(x, y)
    gate = gate.to(_wide(x))
    if _resolved(backend, x) == "reference":
        return reference.add_gated(x, y, gate, lengths)
    from storyreel.ops.modulated_norm.triton_kernels import launch

    return launch.add_gated(x, y, gate, tuple(lengths))


def add_gated_then_norm(
    x: Tensor,
    y: Tensor,
    gate: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    lengths: Sequence[int],
    *,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """z = `add_gated(x, y, gate)` and `modulated_norm(z, scale, shift)`, in one pass over memory."""
    _check(x, lengths, {"gate": gate, "scale": scale, "shift": shift}, {"weight": weight, "bias": bias}, None)
    _check_alike(x, y)
    gate = gate.to(_wide(x))
    factor, offset = _line(x, scale, shift, weight, bias)
    if _resolved(backend, x) == "reference":
        total = reference.add_gated(x, y, gate, lengths)
        return total, reference.norm(total, factor, offset, lengths, eps)
    from storyreel.ops.modulated_norm.triton_kernels import launch

    return launch.add_gated_then_norm(x, y, gate, factor, offset, tuple(lengths), eps)


def _wide(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _line(
    x: Tensor, scale: Tensor | None, shift: Tensor | None, weight: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """(factor, offset), tables `[B or 1, R, C]`: the result is factor * standardised x + offset."""
    wide = _wide(x)
    nothing = torch.zeros(1, 1, x.shape[-1], dtype=wide, device=x.device)
    factor = 1 + (nothing if scale is None else scale.to(wide))
    offset = nothing if shift is None else shift.to(wide)
    if bias is not None:
        offset = offset + bias.to(wide) * factor
    if weight is not None:
        factor = factor * weight.to(wide)
    factor, offset = torch.broadcast_tensors(factor, offset)
    return factor, offset


def _resolved(backend: str, x: Tensor) -> str:
    chosen = resolve_kernels("modulated_norm", backend, x)
    if chosen == "triton" and x.shape[-1] > WIDEST:
        if backend == "triton":
            limit = f"a width up to {WIDEST}; got {x.shape[-1]}"
            raise KernelUnavailable(f'modulated_norm backend "triton" needs {limit}. Try backend="reference".')
        return "reference"
    return chosen


def _check(
    x: Tensor,
    lengths: Sequence[int],
    tables: dict[str, Tensor | None],
    weights: dict[str, Tensor | None],
    place: Tensor | None,
) -> None:
    if x.dim() != 3 or not x.numel():
        limit = "it must be [B, T, C] with at least one value"
        raise GeometryError(refusal("x", list(x.shape), limit, "Skip the op where there is no token"))
    batch, tokens, width = x.shape
    if sum(lengths) != tokens or min(lengths) < 1:
        limit = f"they must be at least 1 and add up to {tokens} tokens"
        raise GeometryError(refusal("lengths", list(lengths), limit, "Use those of the layout that made the sequence"))
    given = {name: table for name, table in tables.items() if table is not None}
    rows = {table.shape[1] for table in given.values() if table.dim() == 3}
    for name, table in given.items():
        if table.dim() != 3 or table.shape[0] not in (1, batch) or table.shape[2] != width or len(rows) > 1:
            limit = f"it must be [{batch} or 1, R, {width}], with one R for all tables"
            raise GeometryError(refusal(name, list(table.shape), limit, "Give a row for each kind of piece"))
    vectors = {name: weight for name, weight in weights.items() if weight is not None}
    for name, weight in vectors.items():
        if tuple(weight.shape) != (width,):
            raise GeometryError(refusal(name, list(weight.shape), f"it must be [{width}]", "Give one number a channel"))
    check_kind(x, given | vectors)
    if place is not None and (tuple(place.shape) != (tokens,) or place.dtype != torch.int32):
        limit = f"it must be [{tokens}] of int32"
        raise GeometryError(refusal("place", f"{list(place.shape)} {place.dtype}", limit, "Use one number a token"))


def _check_alike(x: Tensor, y: Tensor) -> None:
    if y.shape != x.shape or y.dtype != x.dtype or y.device != x.device:
        limit = f"x is {list(x.shape)} {x.dtype} on {x.device}"
        raise ValueError(refusal("y", f"{list(y.shape)} {y.dtype} on {y.device}", limit, "x and y must be alike"))
