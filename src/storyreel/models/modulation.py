"""Scales, shifts and gates that a noise level gives to a whole piece of the sequence (a segment's text, or its video).

Shapes: B batch, G noise levels (1 for the whole video, or one a segment), T tokens, C width. A piece is a slice of the
sequence; row r of a `[B, R, C]` table belongs to the pieces r, r + R, r + 2R, ...

Pieces are split off and put together again, without an index a token: that costs one copy, and its gradient is a sum
over each piece instead of a scatter of all tokens into a few rows. Without gradients on the CPU every piece is written
to its place at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.models.normalization import CogVideoXLayerNormZero
from torch import Tensor

from storyreel.ops.linear import no_gradients_on_cpu


def tables(norm: CogVideoXLayerNormZero, temb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Shifts, scales and gates, each `[B, 2G, C]`, that `norm` makes of temb `[B, G, E]`: text and video in turn."""
    video_and_text = norm.linear(norm.silu(temb)).unflatten(-1, (2, 3, -1))
    shift, scale, gate = video_and_text.flip(2).flatten(1, 2).unbind(2)
    return shift, scale, gate


def modulated_norm(
    norm: CogVideoXLayerNormZero, x: Tensor, temb: Tensor, lengths: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """x `[B, T, C]`, temb `[B, G, E]`: the normed, scaled and shifted x, and the gates `[B, 2G, C]` for `add_gated`.

    `norm` is used for its parameters; its own forward knows one noise level and text apart from video.
    """
    shift, scale, gate = tables(norm, temb)
    return scale_and_shift(norm.norm(x), scale, shift, lengths), gate


def scale_and_shift(x: Tensor, scale: Tensor, shift: Tensor, lengths: Sequence[int]) -> Tensor:
    """`x * (1 + scale) + shift`, piece by piece: x `[B, T, C]`, scale and shift `[B, R, C]`."""
    factors, shifts = (1 + scale).split(1, dim=1), shift.split(1, dim=1)
    rows = [piece % len(factors) for piece in range(len(lengths))]
    parts = x.split(list(lengths), dim=1)
    if no_gradients_on_cpu(x):
        y = torch.empty_like(x)
        for r, part, out in zip(rows, parts, y.split(list(lengths), dim=1), strict=True):
            torch.addcmul(shifts[r], part, factors[r], out=out)
        return y
    return torch.cat([torch.addcmul(shifts[r], part, factors[r]) for r, part in zip(rows, parts, strict=True)], dim=1)


def add_gated(x: Tensor, y: Tensor, gate: Tensor, lengths: Sequence[int]) -> Tensor:
    """`x + gate * y`, piece by piece: x and y `[B, T, C]`, gate `[B, R, C]`."""
    gates = gate.split(1, dim=1)
    rows = [piece % len(gates) for piece in range(len(lengths))]
    pairs = zip(rows, x.split(list(lengths), dim=1), y.split(list(lengths), dim=1), strict=True)
    if no_gradients_on_cpu(x):
        z = torch.empty_like(x)
        for (r, a, b), out in zip(pairs, z.split(list(lengths), dim=1), strict=True):
            torch.addcmul(a, gates[r], b, out=out)
        return z
    return torch.cat([torch.addcmul(a, gates[r], b) for r, a, b in pairs], dim=1)
