"""Another forward for mixers behind gates, for GPUs: the same function of the same parameters, in less traffic.

A gate adds its update in one pass. A TTT layer projects q, k, v and the logits of eta by one matrix product; one kernel
makes of it what the op reads (`ops/ttt_inputs`), and where it reads backwards that kernel puts every token into its
place, and the norm behind the op takes it from there: nothing is permuted by a pass of its own.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from storyreel.geometry import TokenLayout
from storyreel.mixers.bidirectional import GatedBidirectional
from storyreel.mixers.gate import Gate, Gated
from storyreel.mixers.pieces import Runner, directly, part
from storyreel.mixers.placement import check_tokens, piece_lengths, place_in_reverse, reversal, rotations
from storyreel.mixers.ttt import TTTLayer
from storyreel.ops.modulated_norm import add_gated, modulated_norm
from storyreel.ops.reorder import reorder
from storyreel.ops.ttt import HeadNorm
from storyreel.ops.ttt_inputs import TTTInputs, projected_width, ttt_inputs, ttt_inputs_into

PROJECTED_TOKENS = 32_768
"""At once, without gradients: 0.6 GB at width 3072, and as fast as all."""


def fuse_mixer(mixer: nn.Module) -> None:
    """Gives a mixer of `build_gated_mixer` the forward of this module; others keep theirs."""
    if isinstance(mixer, GatedBidirectional):
        mixer.forward = functools.partial(_both_ways, mixer)
    elif isinstance(mixer, Gated):
        mixer.forward = functools.partial(_one_way, mixer)


def _both_ways(own: GatedBidirectional, x: Tensor, layout: TokenLayout) -> Tensor:
    check_tokens(x, layout)
    x = own.run_piece("forward", _forward, own, x, layout)
    return own.run_piece("reverse", _reverse, own, x, layout)


def _forward(own: GatedBidirectional, x: Tensor, layout: TokenLayout) -> Tensor:
    if isinstance(own.mixer, TTTLayer):
        y = ttt_forward(own.mixer, x, layout, None, own.run_piece)
    else:
        y = _other(own.mixer, x, layout)
    return gated(own.gate_forward, x, y, layout)


def _reverse(own: GatedBidirectional, x: Tensor, layout: TokenLayout) -> Tensor:
    """What the mixer makes of x read in reverse, in the order of x, behind its gate."""
    if isinstance(own.mixer, TTTLayer):
        y = ttt_forward(own.mixer, x, layout, place_in_reverse(layout, x.device), own.run_piece)
    else:
        backward, forward = reversal(layout, x.device)
        y = reorder(_other(own.mixer, reorder(x, backward, forward), layout.reversed()), forward, backward)
    return gated(own.gate_reverse, x, y, layout)


def _one_way(own: Gated, x: Tensor, layout: TokenLayout) -> Tensor:
    check_tokens(x, layout)
    return own.run_piece("forward", _behind_its_gate, own, x, layout)


def _behind_its_gate(own: Gated, x: Tensor, layout: TokenLayout) -> Tensor:
    return gated(own.gate, x, _other(own.mixer, x, layout), layout)


def _other(mixer: nn.Module, x: Tensor, layout: TokenLayout) -> Tensor:
    with part("mixer"):
        return mixer(x, layout)


def gated(gate: Gate, x: Tensor, update: Tensor, layout: TokenLayout) -> Tensor:
    """As `Gate.forward`."""
    with part("mixer: gate"):
        table = torch.stack([gate.text, gate.video]).to(torch.promote_types(x.dtype, torch.float32)).tanh()
        return add_gated(x, update, table[None], piece_lengths(layout))


def ttt_forward(
    layer: TTTLayer[Any], x: Tensor, layout: TokenLayout, place: Tensor | None, run_piece: Runner = directly
) -> Tensor:
    """As `layer.forward`, of tokens x `[B, T, C]` that the memory reads in the order of `place` (None: as they are).

    place, int32 `[T]`: the number that each token has there. y `[B, T, C]` is in the order of x.
    """
    inputs = _inputs(layer, x, layout, place, run_piece)
    norm = HeadNorm(layer.head_norm_weight, layer.head_norm_bias)
    with part("mixer: memory"):
        y, _ = layer.read(*inputs, layer.initial_state(len(x)), norm)
    del inputs
    with part("mixer: norm"):
        y = modulated_norm(
            y.flatten(-2),
            None,
            None,
            y.shape[1:2],
            weight=layer.out_norm_weight,
            bias=layer.out_norm_bias,
            eps=layer.problem.eps,
            place=place,
        )
    with part("mixer: out"):
        return layer.to_out(y)


def _inputs(layer: TTTLayer[Any], x: Tensor, layout: TokenLayout, place: Tensor | None, run_piece: Runner) -> TTTInputs:
    cos, sin = rotations(layout, layer.head_width, layer.rope_theta, x.device)
    weight, bias = projection(layer, x.dtype)
    norm = (layer.head_norm_weight, layer.head_norm_bias)
    options: dict[str, Any] = {"rate": layer.base_lr / layer.head_width, "eps": layer.problem.eps}

    def whole(x: Tensor, weight: Tensor, bias: Tensor) -> TTTInputs:
        with part("mixer: q, k, v, eta"):
            projected = F.linear(x, weight, bias)
        with part("mixer: inputs"):
            return ttt_inputs(projected, cos, sin, *norm, **options, place=place)

    if torch.is_grad_enabled():
        return run_piece("projections", whole, x, weight, bias)
    out = TTTInputs.empty(x, x.shape[1], layer.heads, layer.head_width)
    for first in range(0, x.shape[1], PROJECTED_TOKENS):
        own = slice(first, first + PROJECTED_TOKENS)
        to = None if place is None else place[own]
        with part("mixer: q, k, v, eta"):
            projected = F.linear(x[:, own], weight, bias)
        with part("mixer: inputs"):
            ttt_inputs_into(out, projected, cos[own], sin[own], *norm, **options, first=first, place=to)
        del projected  # before the next one is there
    return out


def projection(layer: TTTLayer[Any], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight `[projected_width, C]` and bias of one product for q, k, v and logits: a copy of 0.1 ms at width 3072."""
    parts = (layer.to_q, layer.to_k, layer.to_v, layer.to_eta)
    weight, bias = torch.cat([own.weight for own in parts]), torch.cat([own.bias for own in parts])
    rest = projected_width(layer.heads, layer.head_width) - len(weight)
    return F.pad(weight, (0, 0, 0, rest)).to(dtype), F.pad(bias, (0, rest)).to(dtype)
