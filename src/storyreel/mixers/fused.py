"""Another forward for mixers behind gates, for GPUs: the same function of the same parameters, in less traffic.

A gate adds its update in one pass. A TTT layer projects q, k, v and the logits of eta by one matrix product; one kernel
makes of it what the op reads (`ops/ttt_inputs`), and where it reads backwards that kernel puts every token into its
place, and the norm behind the op takes it from there: nothing is permuted by a pass of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from storyreel.geometry import TokenLayout
from storyreel.mixers.bidirectional import GatedBidirectional
from storyreel.mixers.gate import Gate, Gated
from storyreel.mixers.placement import check_tokens, piece_lengths, place_in_reverse, reversal, rotations
from storyreel.mixers.ttt import TTTLayer
from storyreel.ops.modulated_norm import add_gated, modulated_norm
from storyreel.ops.reorder import reorder
from storyreel.ops.ttt import HeadNorm
from storyreel.ops.ttt_inputs import TTTInputs, projected_width, ttt_inputs, ttt_inputs_into

PROJECTED_TOKENS = 32_768
"""At once, without gradients: 0.6 GB at width 3072, and as fast as all."""


def fuse_mixer(mixer: nn.Module, *, lean: bool = False) -> None:
    """Gives a mixer of `build_gated_mixer` the forward of this module; others keep theirs.

    lean: a TTT layer keeps no projection for its backward pass, but computes it again.
    """
    if isinstance(mixer, GatedBidirectional):
        mixer.forward = functools.partial(_both_ways, mixer, lean=lean)
    elif isinstance(mixer, Gated):
        mixer.forward = functools.partial(_one_way, mixer)


def _both_ways(own: GatedBidirectional, x: Tensor, layout: TokenLayout, lean: bool) -> Tensor:
    check_tokens(x, layout)
    z = gated(own.gate_forward, x, _read(own.mixer, x, layout, lean), layout)
    return gated(own.gate_reverse, z, _read_backwards(own.mixer, z, layout, lean), layout)


def _one_way(own: Gated, x: Tensor, layout: TokenLayout) -> Tensor:
    check_tokens(x, layout)
    return gated(own.gate, x, own.mixer(x, layout), layout)


def gated(gate: Gate, x: Tensor, update: Tensor, layout: TokenLayout) -> Tensor:
    """As `Gate.forward`."""
    table = torch.stack([gate.text, gate.video]).to(torch.promote_types(x.dtype, torch.float32)).tanh()
    return add_gated(x, update, table[None], piece_lengths(layout))


def _read(mixer: nn.Module, x: Tensor, layout: TokenLayout, lean: bool) -> Tensor:
    return ttt_forward(mixer, x, layout, None, lean=lean) if isinstance(mixer, TTTLayer) else mixer(x, layout)


def _read_backwards(mixer: nn.Module, x: Tensor, layout: TokenLayout, lean: bool) -> Tensor:
    """What `mixer` makes of x read in reverse, in the order of x."""
    if isinstance(mixer, TTTLayer):
        return ttt_forward(mixer, x, layout, place_in_reverse(layout, x.device), lean=lean)
    backward, forward = reversal(layout, x.device)
    return reorder(mixer(reorder(x, backward, forward), layout.reversed()), forward, backward)


def ttt_forward(
    layer: TTTLayer[Any], x: Tensor, layout: TokenLayout, place: Tensor | None, *, lean: bool = False
) -> Tensor:
    """As `layer.forward`, of tokens x `[B, T, C]` that the memory reads in the order of `place` (None: as they are).

    place, int32 `[T]`: the number that each token has there. y `[B, T, C]` is in the order of x.
    """
    inputs = _inputs(layer, x, layout, place, lean)
    norm = HeadNorm(layer.head_norm_weight, layer.head_norm_bias)
    y, _ = layer.read(*inputs, layer.initial_state(len(x)), norm)
    del inputs
    normed = modulated_norm(
        y.flatten(-2),
        None,
        None,
        y.shape[1:2],
        weight=layer.out_norm_weight,
        bias=layer.out_norm_bias,
        eps=layer.problem.eps,
        place=place,
    )
    return layer.to_out(normed)


def _inputs(layer: TTTLayer[Any], x: Tensor, layout: TokenLayout, place: Tensor | None, lean: bool) -> TTTInputs:
    cos, sin = rotations(layout, layer.head_width, layer.rope_theta, x.device)
    weight, bias = projection(layer, x.dtype)
    norm = (layer.head_norm_weight, layer.head_norm_bias)
    options: dict[str, Any] = {"rate": layer.base_lr / layer.head_width, "eps": layer.problem.eps}

    def whole(x: Tensor, weight: Tensor, bias: Tensor) -> TTTInputs:
        return ttt_inputs(F.linear(x, weight, bias), cos, sin, *norm, **options, place=place)

    if torch.is_grad_enabled():
        return computed_again(whole, x, weight, bias) if lean else whole(x, weight, bias)
    out = TTTInputs.empty(x, x.shape[1], layer.heads, layer.head_width)
    for first in range(0, x.shape[1], PROJECTED_TOKENS):
        own = slice(first, first + PROJECTED_TOKENS)
        to = None if place is None else place[own]
        ttt_inputs_into(
            out, F.linear(x[:, own], weight, bias), cos[own], sin[own], *norm, **options, first=first, place=to
        )
    return out


def computed_again(function: Callable[..., Any], *given: Any) -> Any:
    """What `function` makes of what is given, which alone is kept for the backward pass."""
    return checkpoint(function, *given, use_reentrant=False, preserve_rng_state=False)


def projection(layer: TTTLayer[Any], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight `[projected_width, C]` and bias of one product for q, k, v and logits: a copy of 0.1 ms at width 3072."""
    parts = (layer.to_q, layer.to_k, layer.to_v, layer.to_eta)
    weight, bias = torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])
    rest = projected_width(layer.heads, layer.head_width) - len(weight)
    return F.pad(weight, (0, 0, 0, rest)).to(dtype), F.pad(bias, (0, rest)).to(dtype)
