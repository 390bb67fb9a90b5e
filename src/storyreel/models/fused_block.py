"""Another forward for the transformer's blocks, for GPUs: the same function of the same parameters, in less traffic.

- LayerNorm with its scales and shifts is one pass, and the gated residual in front of a norm is in that same pass.
- One matrix product for q, k and v of local attention, one kernel from there to its normed and rotated windows, and one
  call of the fastest attention there is for all windows; without gradients for some windows after the others, so that
  their queries, keys and values do not all exist at once.
- The feed-forward layer takes some tokens after the others, so that no hidden activation of all of them exists.
- The mixer's own part of it is in `mixers/fused.py`.

The kernels are Triton's; where they cannot serve (no GPU, no Triton, float64), plain torch takes their place. What is
alive at once is written down in docs/memory.md.
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
from storyreel.mixers.fused import fuse_mixer
from storyreel.mixers.pieces import part
from storyreel.mixers.placement import piece_lengths
from storyreel.models.modulation import tables
from storyreel.models.transformer import Rotary, StoryreelBlock, StoryreelTransformer3DModel
from storyreel.ops.attention import attend, merge_windows, window_groups
from storyreel.ops.feed_forward import CHUNK, feed_forward
from storyreel.ops.local_inputs import HeadNorms, local_inputs
from storyreel.ops.modulated_norm import add_gated, add_gated_then_norm, modulated_norm

ATTENDED_TOKENS = 131_072
"""Of all windows that are attended to at once, without gradients: seven of 18,008, each of which fills a GPU alone."""
FED_TOKENS = CHUNK
"""Of the feed-forward layer at once."""


def prepare_for_gpu(transformer: StoryreelTransformer3DModel) -> StoryreelTransformer3DModel:
    """Same function, parameters and names; ConfigError as for `fuse_block`."""
    for block in transformer.transformer_blocks:
        assert isinstance(block, StoryreelBlock)
        fuse_block(block)
    return transformer


def fuse_block(block: StoryreelBlock) -> StoryreelBlock:
    """Gives one block this module's forward. ConfigError for what `obstacle` finds."""
    if reason := obstacle(block):
        raise ConfigError(reason)
    if block.mixer is not None:
        fuse_mixer(block.mixer)
    block.forward = functools.partial(block_forward, block)
    return block


def obstacle(block: StoryreelBlock) -> str:
    """Why a block cannot be fused (dropout, another activation than "gelu-approximate"); empty where it can."""
    if dropout := max((module.p for module in block.modules() if isinstance(module, nn.Dropout)), default=0.0):
        return refusal("dropout", dropout, "fused blocks have none", 'Try forward "plain"')
    activation = block.ff.net[0]
    if not isinstance(activation, GELU) or activation.approximate != "tanh":
        limit = 'fused blocks know "gelu-approximate" alone'
        return refusal("activation_fn", type(activation).__name__, limit, 'Try forward "plain"')
    return ""


@torch.compiler.disable()
def block_forward(block: StoryreelBlock, x: Tensor, temb: Tensor, layout: TokenLayout, rotary: Rotary | None) -> Tensor:
    """As `StoryreelBlock.forward`. torch.compile leaves it alone: its kernels are written already."""
    y, gate = block.run_piece("attention", _attention, block, x, temb, layout, rotary)
    if block.mixer is not None:
        y = block.mixer(y, layout)
    return block.run_piece("mlp", _feed_forward, block, x, y, gate, temb, layout)


def _attention(
    block: StoryreelBlock, x: Tensor, temb: Tensor, layout: TokenLayout, rotary: Rotary | None
) -> tuple[Tensor, Tensor]:
    with part("norm"):
        shift, scale, gate = tables(block.norm1, temb)
        x = modulated_norm(x, scale, shift, piece_lengths(layout), **_of(block.norm1.norm))
    y = _attended(block, x, layout, rotary)
    with part("attention: out"):
        attn: Any = block.attn1
        return attn.to_out[0](y), gate


def _attended(block: StoryreelBlock, x: Tensor, layout: TokenLayout, rotary: Rotary | None) -> Tensor:
    windows = max(1, ATTENDED_TOKENS // (len(x) * layout.window_tokens))
    if torch.is_grad_enabled() or windows >= layout.segments:
        return _attended_at_once(block, x, layout, rotary)
    y = torch.empty_like(x)
    for group in window_groups(layout, windows):
        group.put(_attended_at_once(block, group.take(x), group.layout, rotary), y)
    return y


def _attended_at_once(block: StoryreelBlock, x: Tensor, layout: TokenLayout, rotary: Rotary | None) -> Tensor:
    attn: Any = block.attn1
    norms = norms_of(attn)

    def windows(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        with part("attention: q, k, v"):
            projected = F.linear(x, weight, bias)
        with part("attention: windows"):
            return local_inputs(projected, norms, rotary, layout, eps=attn.norm_q.eps)

    q, k, v = block.run_piece("projections", windows, x, *projection_of(block))
    with part("attention: softmax"):
        y = attend(q, k, v)
    del q, k, v
    with part("attention: average"):
        return merge_windows(y.unflatten(0, (len(x), -1)), layout).flatten(2)


def _feed_forward(
    block: StoryreelBlock, x: Tensor, y: Tensor, gate: Tensor, temb: Tensor, layout: TokenLayout
) -> Tensor:
    lengths = piece_lengths(layout)
    with part("residual and norm"):
        shift, scale, last_gate = tables(block.norm2, temb)
        x, y = add_gated_then_norm(x, y, gate, scale, shift, lengths, **_of(block.norm2.norm))
    with part("feed-forward"):
        y = feed_forward_of(block, y)
    with part("residual"):
        return add_gated(x, y, last_gate, lengths)


def _of(norm: nn.LayerNorm) -> dict[str, Any]:
    return {"weight": norm.weight, "bias": norm.bias, "eps": norm.eps}


def projection_of(block: StoryreelBlock) -> tuple[Tensor, Tensor | None]:
    """Weight `[3 C, C]` and bias of one product for q, k and v: a copy of 40 us at width 3072."""
    attn: Any = block.attn1
    parts = (attn.to_q, attn.to_k, attn.to_v)
    bias = None if attn.to_q.bias is None else torch.cat([own.bias for own in parts])
    return torch.cat([own.weight for own in parts]), bias


def norms_of(attn: Any) -> HeadNorms:
    return HeadNorms(attn.norm_q.weight, attn.norm_q.bias, attn.norm_k.weight, attn.norm_k.bias)


def feed_forward_of(block: StoryreelBlock, x: Tensor) -> Tensor:
    """The block's feed-forward layer of x `[B, T, C]`."""
    first: Any = block.ff.net[0]
    last: Any = block.ff.net[2]
    return feed_forward(x, first.proj.weight, first.proj.bias, last.weight, last.bias, chunk=FED_TOKENS)
