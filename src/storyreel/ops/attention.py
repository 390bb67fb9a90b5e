"""Local attention: every 3 s segment looks at its own text and its own latent frames, and at nothing else.

Shapes: B batch, T tokens of the interleaved sequence, H heads, D head size, S segments, W tokens of a window.
Window i holds text i and latent frames [12 i, 12 i + 13). Neighbours share one latent frame, whose two outputs are
averaged (arXiv 2504.05298, section 3, and its authors' code).
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from storyreel.errors import GeometryError, refusal
from storyreel.ops.rope import rotate

if TYPE_CHECKING:
    from storyreel.geometry import TokenLayout

# The fastest first: cuDNN takes 9.2 ms for a window of 18,008 tokens and 48 heads on an H100, flash 12.2.
ON_GPU = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]


def local_attention(
    q_BTHD: Tensor, k_BTHD: Tensor, v_BTHD: Tensor, layout: TokenLayout, rotary: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Softmax attention inside each window of `layout`, back as `[B, T, H, D]` in the dtype of the inputs.

    q, k, v: `[B, T, H, D]`, T in the order of `layout`. rotary: (cos, sin), float32 `[W, D/2]`, in the order of
    `layout.window_index()`, for `rope.rotate` (text rows hold cos 1, sin 0). GeometryError for a reversed layout or
    another T.
    """
    q, k, v = (gather_windows(x, layout).flatten(0, 1) for x in (q_BTHD, k_BTHD, v_BTHD))
    if rotary is not None:
        q, k = rotate(q, *rotary), rotate(k, *rotary)
    y = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2)
    return merge_windows(y.unflatten(0, (-1, layout.segments)), layout)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention of `[N, W, H, D]` windows, each by itself, as one call; back in the same shape and dtype.

    On a GPU by the first of `ON_GPU` that can serve.
    """
    with sdpa_kernel(ON_GPU, set_priority=True) if q.is_cuda else contextlib.nullcontext():
        y = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    return y.transpose(1, 2)


def gather_windows(x: Tensor, layout: TokenLayout) -> Tensor:
    """`[B, T, ...]` to `[B, S, W, ...]`: `x[:, layout.window_index()]`, as one copy without an index.

    Slices and one concatenation, because the gradient of an index with repeated entries is a slow scatter.
    """
    _check(layout, x.shape[1])
    if layout.segments == 1:
        return x.unsqueeze(1)
    text, body, last = _pieces(x, layout)
    parts = [text[0], body[0], last[0]]
    for i in range(1, layout.segments):
        parts += [text[i], last[i - 1], body[i], last[i]]
    return torch.cat(parts, dim=1).unflatten(1, (layout.segments, layout.window_tokens))


def merge_windows(windows: Tensor, layout: TokenLayout) -> Tensor:
    """`[B, S, W, ...]` to `[B, T, ...]`: every token the mean over the windows that hold it."""
    if layout.segments == 1:
        return windows.squeeze(1)
    frame, text = layout.tokens_per_latent, layout.text_tokens
    frames = layout.window_tokens - text
    pieces = windows.flatten(1, 2).split([text, frame, frames - 2 * frame, frame] * layout.segments, dim=1)
    parts = []
    for i in range(layout.segments):
        own_text, first, body, last = pieces[4 * i : 4 * i + 4]
        is_final = i == layout.segments - 1
        shared = last if is_final else (last + pieces[4 * i + 5]) * 0.5
        parts += [own_text, *([first] if i == 0 else []), body, shared]
    return torch.cat(parts, dim=1)


class WindowGroup(NamedTuple):
    """Some neighbouring windows of a sequence: their layout by themselves, and where their tokens stand in the whole.

    `shared` is the latent frame that the window before the first has too, None in front of a whole sequence.
    """

    layout: TokenLayout
    text: slice
    shared: slice | None
    rest: slice

    def take(self, x: Tensor) -> Tensor:
        """Of the whole sequence `[B, T, ...]` the tokens of these windows, in the order of the group's own layout."""
        if self.shared is None:
            return x[:, self.text.start : self.rest.stop]
        return torch.cat([x[:, self.text], x[:, self.shared], x[:, self.rest]], dim=1)

    def put(self, y: Tensor, whole: Tensor) -> None:
        """Writes what `merge_windows` made of these windows to its place; groups come one after the other."""
        if self.shared is None:
            whole[:, self.text.start : self.rest.stop] = y
            return
        frame = self.shared.stop - self.shared.start
        text, shared, rest = y.split([self.layout.text_tokens, frame, self.rest.stop - self.rest.start], dim=1)
        whole[:, self.text], whole[:, self.rest] = text, rest
        whole[:, self.shared].add_(shared).mul_(0.5)


def window_groups(layout: TokenLayout, windows: int) -> list[WindowGroup]:
    """The windows of a sequence, so many at a time."""
    places = layout.segment_slices()
    groups = []
    for first in range(0, layout.segments, windows):
        last = min(first + windows, layout.segments) - 1
        start, frame = places[first][0].start, layout.tokens_per_latent
        own = dataclasses.replace(layout, segments=last - first + 1)
        shared = slice(start - frame, start) if first else None
        groups.append(WindowGroup(own, places[first][0], shared, slice(places[first][1].start, places[last][1].stop)))
    return groups


def _pieces(x: Tensor, layout: TokenLayout) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Each segment's text, its own frames without the last, and its last frame (which the next segment shares)."""
    frame, step = layout.tokens_per_latent, layout.latents_per_segment * layout.tokens_per_latent
    lengths = [layout.text_tokens, step, frame] + [layout.text_tokens, step - frame, frame] * (layout.segments - 1)
    pieces = list(x.split(lengths, dim=1))
    return pieces[0::3], pieces[1::3], pieces[2::3]


def _check(layout: TokenLayout, tokens: int) -> None:
    if layout.is_reversed:
        limit = "local attention reads a sequence in time order"
        raise GeometryError(refusal("layout", "reversed", limit, "Use layout.reversed()"))
    if tokens != layout.total_tokens:
        limit = f"its layout has {layout.total_tokens}"
        raise GeometryError(refusal("sequence", f"{tokens} tokens", limit, "Use the layout that interleaved it"))
