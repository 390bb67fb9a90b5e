"""Another forward for the transformer's blocks, for GPUs: the same function of the same parameters, in less traffic.

- LayerNorm with its scales and shifts is one pass, and the gated residual in front of a norm is in that same pass.
- One matrix product for q, k and v of local attention, one kernel from there to its normed and rotated windows, and one
  call of the fastest attention there is for all windows.
- The feed-forward layer takes some tokens after the others, so that no hidden activation of all of them exists.
- The mixer's own part of it is in `mixers/fused.py`.

The kernels are Triton's; where they cannot serve (no GPU, no Triton, float64), plain torch takes their place.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.activations import GELU
from torch import Tensor, nn

from storyreel.errors import ConfigError, refusal
from storyreel.geometry import TokenLayout
from storyreel.mixers.fused import computed_again, fuse_mixer
from storyreel.mixers.placement import piece_lengths
from storyreel.models.modulation import tables
from storyreel.models.transformer import Rotary, StoryreelBlock, StoryreelTransformer3DModel
from storyreel.ops.attention import attend, merge_windows
from storyreel.ops.feed_forward import feed_forward
from storyreel.ops.local_inputs import HeadNorms, local_inputs
from storyreel.ops.modulated_norm import add_gated, add_gated_then_norm, modulated_norm


def prepare_for_gpu(transformer: StoryreelTransformer3DModel, *, lean: bool = False) -> StoryreelTransformer3DModel:
    """Same function, parameters and names; lean and ConfigError as for `fuse_block`."""
    for block in transformer.transformer_blocks:
        assert isinstance(block, StoryreelBlock)
        fuse_block(block, lean=lean)
    return transformer


def fuse_block(block: StoryreelBlock, *, lean: bool = False) -> StoryreelBlock:
    """Gives one block this module's forward. ConfigError for dropout, or another activation than "gelu-approximate".

    lean, for long videos: projections to q, k and v are not kept for the backward pass, but computed again. Of a block
    with a TTT layer that leaves some 27 of 36 tensors `[B, T, C]`, at 63 s and width 3072 58 of 78 GB.
    """
    if dropout := max((module.p for module in block.modules() if isinstance(module, nn.Dropout)), default=0.0):
        raise ConfigError(refusal("dropout", dropout, "fused blocks have none", "Leave the model unprepared"))
    activation = block.ff.net[0]
    if not isinstance(activation, GELU) or activation.approximate != "tanh":
        limit = 'fused blocks know "gelu-approximate" alone'
        raise ConfigError(refusal("activation_fn", type(activation).__name__, limit, "Leave the model unprepared"))
    if block.mixer is not None:
        fuse_mixer(block.mixer, lean=lean)
    block.forward = functools.partial(block_forward, block, lean=lean)
    return block


@torch.compiler.disable()
def block_forward(
    block: StoryreelBlock, x: Tensor, temb: Tensor, layout: TokenLayout, rotary: Rotary | None, *, lean: bool = False
) -> Tensor:
    """As `StoryreelBlock.forward`. torch.compile leaves it alone: its kernels are written already."""
    lengths = piece_lengths(layout)
    shift, scale, gate = tables(block.norm1, temb)
    y = modulated_norm(x, scale, shift, lengths, **_of(block.norm1.norm))
    y = _attend_locally(block, y, layout, rotary, lean)
    if block.mixer is not None:
        y = block.mixer(y, layout)
    shift, scale, last_gate = tables(block.norm2, temb)
    x, y = add_gated_then_norm(x, y, gate, scale, shift, lengths, **_of(block.norm2.norm))
    return add_gated(x, feed_forward_of(block, y), last_gate, lengths)


def _of(norm: nn.LayerNorm) -> dict[str, Any]:
    return {"weight": norm.weight, "bias": norm.bias, "eps": norm.eps}


def _attend_locally(block: StoryreelBlock, x: Tensor, layout: TokenLayout, rotary: Rotary | None, lean: bool) -> Tensor:
    attn: Any = block.attn1
    norms = norms_of(attn)

    def windows(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        return local_inputs(F.linear(x, weight, bias), norms, rotary, layout, eps=attn.norm_q.eps)

    given = (x, *projection_of(block))
    q, k, v = computed_again(windows, *given) if lean and torch.is_grad_enabled() else windows(*given)
    y = merge_windows(attend(q, k, v).unflatten(0, (len(x), -1)), layout)
    return attn.to_out[0](y.flatten(2))


def projection_of(block: StoryreelBlock) -> tuple[Tensor, Tensor | None]:
    """Weight `[3 C, C]` and bias of one product for q, k and v: a copy of 40 us at width 3072."""
    attn: Any = block.attn1
    parts = (attn.to_q, attn.to_k, attn.to_v)
    bias = None if attn.to_q.bias is None else torch.cat([part.bias for part in parts])
    return torch.cat([part.weight for part in parts]), bias


def norms_of(attn: Any) -> HeadNorms:
    return HeadNorms(attn.norm_q.weight, attn.norm_q.bias, attn.norm_k.weight, attn.norm_k.bias)


def feed_forward_of(block: StoryreelBlock, x: Tensor) -> Tensor:
    """The block's feed-forward layer of x `[B, T, C]`."""
    first: Any = block.ff.net[0]
    last: Any = block.ff.net[2]
    return feed_forward(x, first.proj.weight, first.proj.bias, last.weight, last.bias)
