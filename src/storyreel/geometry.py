"""Sizes of a video on its way to tokens, and every order of those tokens.

Seconds become frames, frames become latents (VAE), latents become patches (tokens), and tokens of text and video are
interleaved by segment: text 0, video 0, text 1, video 1, ... Nothing else in storyreel knows these numbers.
Sizes and their sources are explained in docs/geometry.md.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storyreel.errors import GeometryError, refusal

if TYPE_CHECKING:
    from torch import Tensor

FRAMES_PER_SECOND = 16
SEGMENT_SECONDS = 3
STAGE_SECONDS = (3, 9, 18, 30, 63)


@dataclass(frozen=True)
class Compression:
    """How much a causal video VAE shrinks. The first frame is a latent of its own, then `time` frames make one."""

    time: int = 4
    space: int = 8
    channels: int = 16


@dataclass(frozen=True)
class PixelShape:
    """Size of a decoded video in frames and pixels."""

    frames: int
    height: int
    width: int

    @classmethod
    def for_video(cls, seconds: int, height: int, width: int) -> PixelShape:
        """`seconds` of video at 16 frames a second, plus the one frame that a causal VAE needs to begin with."""
        check_seconds(seconds)
        return cls(seconds * FRAMES_PER_SECOND + 1, height, width)

    def latent(self, compression: Compression | None = None) -> LatentShape:
        """The VAE's latent of this video; GeometryError where the VAE could not have made one."""
        by = compression or Compression()
        if (self.frames - 1) % by.time:
            nearest = self.frames // by.time * by.time + 1
            raise GeometryError(
                refusal("frames", self.frames, f"the VAE needs 1 + a multiple of {by.time}", f"Try {nearest}")
            )
        for name, pixels in (("height", self.height), ("width", self.width)):
            if pixels < by.space or pixels % by.space:
                nearest = max(1, round(pixels / by.space)) * by.space
                limit = f"the VAE needs a multiple of {by.space}"
                raise GeometryError(refusal(name, f"{pixels} pixels", limit, f"Try {nearest}"))
        return LatentShape(
            (self.frames - 1) // by.time + 1, self.height // by.space, self.width // by.space, by.channels
        )


@dataclass(frozen=True)
class LatentShape:
    """Size of a latent video: frames of `height` x `width` cells with `channels` values each."""

    frames: int
    height: int
    width: int
    channels: int

    def grid(self, patch: int = 2) -> tuple[int, int]:
        """Rows and columns of patches in one latent frame."""
        if self.height % patch or self.width % patch:
            limit = f"its sides must be multiples of the patch, {patch}"
            way_out = f"Make the video's sides multiples of {Compression.space * patch} pixels"
            raise GeometryError(refusal("latent frame", f"{self.height}x{self.width}", limit, way_out))
        return self.height // patch, self.width // patch


def check_seconds(seconds: int) -> None:
    """GeometryError unless a video of so many seconds is a whole number of segments."""
    if seconds < SEGMENT_SECONDS or seconds % SEGMENT_SECONDS:
        nearest = max(1, round(seconds / SEGMENT_SECONDS)) * SEGMENT_SECONDS
        limit = f"it must be {SEGMENT_SECONDS} s or a multiple of that"
        raise GeometryError(refusal("length", f"{seconds} s", limit, f"Try {nearest}"))


@dataclass(frozen=True)
class TokenLayout:
    """The order of all tokens of a video, and the answers to "where is ...?".

    `segments` text-and-video pairs; `text_tokens` text tokens each; the first segment has `latents_per_segment` + 1
    latent frames, each later one `latents_per_segment` (0 for a still, which is one segment). In a reversed layout the
    segments run from last to first and the video tokens of each from last to first; a segment's text stays in front of
    it and in reading order.
    """

    segments: int
    text_tokens: int
    rows: int
    columns: int
    mini_batch: int = 64
    latents_per_segment: int = 12
    is_reversed: bool = False

    @classmethod
    def for_video(
        cls,
        seconds: int,
        height: int = 480,
        width: int = 720,
        *,
        mini_batch: int = 64,
        patch: int = 2,
        max_text_tokens: int = 502,
        compression: Compression | None = None,
    ) -> TokenLayout:
        """The layout of a video, with the largest text length that makes the sequence a multiple of `mini_batch`.

        GeometryError where the seconds, the frame size or the text length leave no such layout.
        """
        by = compression or Compression()
        latent = PixelShape.for_video(seconds, height, width).latent(by)
        rows, columns = latent.grid(patch)
        segments = seconds // SEGMENT_SECONDS
        per_segment = SEGMENT_SECONDS * FRAMES_PER_SECOND // by.time
        text = largest_text_tokens(latent.frames * rows * columns, segments, mini_batch, max_text_tokens)
        return cls(segments, text, rows, columns, mini_batch, per_segment)

    @classmethod
    def for_still(
        cls,
        height: int = 480,
        width: int = 720,
        *,
        mini_batch: int = 64,
        patch: int = 2,
        max_text_tokens: int = 502,
        compression: Compression | None = None,
    ) -> TokenLayout:
        """The layout of a video of one frame, which is one latent frame, under one text; else as `for_video`."""
        latent = PixelShape(1, height, width).latent(compression)
        rows, columns = latent.grid(patch)
        text = largest_text_tokens(latent.frames * rows * columns, 1, mini_batch, max_text_tokens)
        return cls(1, text, rows, columns, mini_batch, latents_per_segment=0)

    @property
    def tokens_per_latent(self) -> int:
        return self.rows * self.columns

    @property
    def latents(self) -> int:
        return self.segments * self.latents_per_segment + 1

    @property
    def video_tokens(self) -> int:
        return self.latents * self.tokens_per_latent

    @property
    def total_tokens(self) -> int:
        return self.video_tokens + self.segments * self.text_tokens

    @property
    def window_tokens(self) -> int:
        """Tokens of one local attention window: a segment's text and 13 latent frames."""
        return self.text_tokens + (self.latents_per_segment + 1) * self.tokens_per_latent

    @property
    def seconds(self) -> int:
        """Seconds of video, 0 for a still."""
        return self.segments * SEGMENT_SECONDS if self.latents_per_segment else 0

    def reversed(self) -> TokenLayout:
        """The layout of the same tokens read backwards; `layout.reversed().reversed() == layout`."""
        return dataclasses.replace(self, is_reversed=not self.is_reversed)

    def segment_order(self) -> range:
        """Numbers of the segments in the order in which they are read."""
        return range(self.segments - 1, -1, -1) if self.is_reversed else range(self.segments)

    def latents_of(self, segment: int) -> range:
        """Latent frames that belong to a segment alone: 13 for the first, 12 for each later one."""
        first = segment * self.latents_per_segment + (1 if segment else 0)
        return range(first, (segment + 1) * self.latents_per_segment + 1)

    def segment_slices(self) -> list[tuple[slice, slice]]:
        """(text, video) slices of each segment in reading order; together they are the whole sequence."""
        slices, start = [], 0
        for segment in self.segment_order():
            middle = start + self.text_tokens
            end = middle + len(self.latents_of(segment)) * self.tokens_per_latent
            slices.append((slice(start, middle), slice(middle, end)))
            start = end
        return slices

    def interleave(self, text: Tensor, video: Tensor) -> Tensor:
        """Text `[B, S, L, C]` and video `[B, F*N, C]`, both in time order, to one sequence `[B, T, C]`."""
        import torch

        if text.shape[1] != self.segments or text.shape[2] != self.text_tokens or video.shape[1] != self.video_tokens:
            raise GeometryError(
                f"text is {list(text.shape)} and video {list(video.shape)}, but this layout has {self.segments} "
                f"segments of {self.text_tokens} text tokens and {self.video_tokens} video tokens. Build both from "
                "the same TokenLayout."
            )
        parts = []
        for segment in self.segment_order():
            parts.append(text[:, segment])
            piece = video[:, self._video_slice(segment)]
            parts.append(piece.flip(1) if self.is_reversed else piece)
        return torch.cat(parts, dim=1)

    def separate(self, sequence: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of `interleave`: `[B, T, C]` to text `[B, S, L, C]` and video `[B, F*N, C]` in time order."""
        import torch

        if sequence.shape[1] != self.total_tokens:
            limit = f"this layout has {self.total_tokens}"
            way_out = "Use the layout that interleaved it"
            raise GeometryError(refusal("sequence", f"{sequence.shape[1]} tokens", limit, way_out))
        text, video = [], []
        for text_slice, video_slice in self.segment_slices():
            text.append(sequence[:, text_slice])
            piece = sequence[:, video_slice]
            video.append(piece.flip(1) if self.is_reversed else piece)
        if self.is_reversed:
            text.reverse()
            video.reverse()
        return torch.stack(text, dim=1), torch.cat(video, dim=1)

    def _video_slice(self, segment: int) -> slice:
        latents = self.latents_of(segment)
        return slice(latents.start * self.tokens_per_latent, latents.stop * self.tokens_per_latent)

    def reverse_index(self) -> Tensor:
        """int64 `[T]`: position in this layout of the token that stands at each position of `reversed()`.

        `x[:, layout.reverse_index()]` is `x` in the order of `layout.reversed()`.
        """
        return _index(self, "reverse")

    def is_text(self) -> Tensor:
        """bool `[T]`: which tokens are text."""
        return _index(self, "is_text")

    def segment_of(self) -> Tensor:
        """int64 `[T]`: number (in time) of the segment that owns each token."""
        return _index(self, "segment")

    def window_index(self) -> Tensor:
        """int64 `[S, W]`: tokens of each local window in time order: text i, then latent frames [12 i, 12 i + 13)."""
        return _index(self, "window")

    def window_count(self) -> Tensor:
        """int64 `[T]`: how many local windows hold each token: 2 in a latent frame that neighbours share, else 1."""
        return _index(self, "count")

    def video_positions(self) -> Tensor:
        """int64 `[T, 3]`: (latent frame, row, column) in the whole video; text tokens hold -1."""
        return _index(self, "positions")


def largest_text_tokens(video_tokens: int, segments: int, mini_batch: int, limit: int) -> int:
    """The largest text length a segment, at most `limit`, that makes all tokens a multiple of `mini_batch`."""
    if mini_batch < 1:
        raise GeometryError(refusal("mini-batch", mini_batch, "it must be 1 token or more", "The paper takes 64"))
    for length in range(limit, 0, -1):
        if (video_tokens + segments * length) % mini_batch == 0:
            return length
    raise GeometryError(
        f"{video_tokens} video tokens and {segments} texts of 1 to {limit} tokens never make a multiple of the "
        f"mini-batch, {mini_batch}. Try another frame size, a longer text or a smaller mini-batch."
    )


@functools.lru_cache(maxsize=128)
def _index(layout: TokenLayout, name: str) -> Tensor:
    """Index tensors are built once a layout, on the CPU, as ordinary tensors whatever mode the first caller is in."""
    import torch

    builders = {
        "reverse": _reverse_index,
        "is_text": lambda own: _per_token(own)[0],
        "segment": lambda own: _per_token(own)[1],
        "positions": lambda own: _per_token(own)[2],
        "window": _window_index,
        "count": _window_count,
    }
    with torch.inference_mode(False), torch.device("cpu"):
        return builders[name](layout)


def _per_token(layout: TokenLayout) -> tuple[Tensor, Tensor, Tensor]:
    import torch

    is_text = torch.zeros(layout.total_tokens, dtype=torch.bool)
    segment_of = torch.empty(layout.total_tokens, dtype=torch.int64)
    positions = torch.full((layout.total_tokens, 3), -1, dtype=torch.int64)
    for segment, (text, video) in zip(layout.segment_order(), layout.segment_slices(), strict=True):
        is_text[text] = True
        segment_of[text.start : video.stop] = segment
        latents = layout.latents_of(segment)
        own = torch.cartesian_prod(
            torch.arange(latents.start, latents.stop), torch.arange(layout.rows), torch.arange(layout.columns)
        ).reshape(-1, 3)
        positions[video] = own.flip(0) if layout.is_reversed else own
    return is_text, segment_of, positions


def _token_numbers(layout: TokenLayout) -> tuple[Tensor, Tensor]:
    """Positions in the sequence of every text token `[S, L]` and of every video token `[F*N]`, both in time order."""
    import torch

    text, video = layout.separate(torch.arange(layout.total_tokens)[None, :, None])
    return text[0, :, :, 0], video[0, :, 0]


def _reverse_index(layout: TokenLayout) -> Tensor:
    text, video = _token_numbers(layout)
    return layout.reversed().interleave(text[None, :, :, None], video[None, :, None])[0, :, 0]


def _window_index(layout: TokenLayout) -> Tensor:
    import torch

    text, video = _token_numbers(layout)
    step = layout.latents_per_segment * layout.tokens_per_latent
    width = step + layout.tokens_per_latent
    return torch.stack([torch.cat([text[i], video[i * step : i * step + width]]) for i in range(layout.segments)])


def _window_count(layout: TokenLayout) -> Tensor:
    import torch

    return torch.bincount(_window_index(layout).flatten(), minlength=layout.total_tokens)
