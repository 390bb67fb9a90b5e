"""Tensors of a layout on the device that reads them, copied there once.

What is kept may first be asked for while a video is sampled and then while a model is trained: it is made outside of
inference mode, whose tensors autograd refuses.
"""

import functools

import torch
from torch import Tensor

from storyreel.errors import GeometryError, refusal
from storyreel.geometry import TokenLayout
from storyreel.ops.rope import rope_table


def check_tokens(x: Tensor, layout: TokenLayout) -> None:
    """GeometryError unless x `[B, T, C]` has as many tokens as its layout."""
    if x.dim() != 3 or x.shape[1] != layout.total_tokens:
        limit = f"its layout has {layout.total_tokens} tokens"
        raise GeometryError(refusal("sequence", list(x.shape), limit, "Use the layout that interleaved it"))


def piece_lengths(layout: TokenLayout) -> tuple[int, ...]:
    """Tokens of text 0, video 0, text 1, video 1, ... in the order of `layout`."""
    return tuple(piece.stop - piece.start for pair in layout.segment_slices() for piece in pair)


@functools.lru_cache(maxsize=16)
@torch.inference_mode(False)
def text_mask(layout: TokenLayout, device: torch.device) -> Tensor:
    """bool `[T, 1]`: which tokens are text."""
    return layout.is_text()[:, None].to(device, copy=True)


@functools.lru_cache(maxsize=16)
@torch.inference_mode(False)
def reversal(layout: TokenLayout, device: torch.device) -> tuple[Tensor, Tensor]:
    """int64 `[T]` twice: the order that makes this layout its reverse, and the one that makes it itself again."""
    orders = layout.reverse_index(), layout.reversed().reverse_index()
    return orders[0].to(device, copy=True), orders[1].to(device, copy=True)


@functools.lru_cache(maxsize=16)
@torch.inference_mode(False)
def place_in_reverse(layout: TokenLayout, device: torch.device) -> Tensor:
    """int32 `[T]`: where each token of this layout stands in its reverse."""
    return layout.reversed().reverse_index().to(device, torch.int32, copy=True)


@functools.lru_cache(maxsize=16)
@torch.inference_mode(False)
def rotations(layout: TokenLayout, head_width: int, theta: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """`rope_table` of every token's place in the whole video; text tokens are not turned."""
    cos, sin = rope_table(layout.video_positions(), head_width, theta)
    return cos.to(device), sin.to(device)
