"""The forward pass of CogVideoX's autoencoder with channels side by side in memory, for GPUs.

The same function of the same parameters as diffusers' own (autoencoder_kl_cogvideox.py there), in less traffic:

- Tensors lie in channels_last_3d throughout, as cuDNN's convolutions want them.
- A convolution leaves its bias to whoever reads the result; a norm adds it to its means at no cost.
- Norm, modulation, SiLU and the frames that a causal convolution looks back on are one op (`ops/group_norm`).
- Every modulation is a row of one matrix product with the latents, at their own size.
- An upsampler's convolution sees single frames: it comes before frames are repeated, not after.
- Chunks differ in nothing but the statistics of their norms, for a causal convolution continues from one to the next.
  So all of them can go through each layer together (`chunks`), without a cache.

Shapes: B batch, C channels, T frames; `chunks` are lengths in frames of what goes in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import (
    CogVideoXCausalConv3d,
    CogVideoXDecoder3D,
    CogVideoXEncoder3D,
    CogVideoXResnetBlock3D,
    CogVideoXSpatialNorm3D,
)
from diffusers.models.downsampling import CogVideoXDownsample3D
from diffusers.models.upsampling import CogVideoXUpsample3D
from torch import Tensor, nn

from storyreel.ops.group_norm import group_norm
from storyreel.ops.resize import average_frames, enlarge

Chunks = tuple[int, ...]
Cache = dict[str, Tensor]
MOST_VALUES = 2**30
"""That go into one convolution; diffusers' own layer takes more than that (2 GiB in bfloat16) in parts."""
Kind = TypeVar("Kind", bound=nn.Module)
LAST = torch.channels_last_3d


def encoder_forward(
    encoder: CogVideoXEncoder3D, sample: Tensor, temb: None = None, conv_cache: Cache | None = None
) -> tuple[Tensor, Cache]:
    """For `encoder.forward`: one chunk of pixels `[B, 3, T, H, W]` to moments, and the cache for the next."""
    way = _Way((sample.shape[2],), conv_cache or {}, {})
    return _encode(encoder, sample, way), way.after or {}


def decoder_forward(
    decoder: CogVideoXDecoder3D, sample: Tensor, temb: None = None, conv_cache: Cache | None = None
) -> tuple[Tensor, Cache]:
    """For `decoder.forward`: one chunk of latents `[B, C, T, h, w]` to pixels, and the cache for the next."""
    way = _Way((sample.shape[2],), conv_cache or {}, {})
    return _decode(decoder, sample, way), way.after or {}


def encode_chunks(encoder: CogVideoXEncoder3D, pixels: Tensor, chunks: Chunks) -> Tensor:
    """Moments of all chunks of a video at once, as of one after another. Lengths are even, but for the first."""
    return _encode(encoder, pixels, _Way(chunks))


def decode_chunks(decoder: CogVideoXDecoder3D, latents: Tensor, chunks: Chunks) -> Tensor:
    """Pixels of all chunks of latents at once, as of one after another. Lengths are even, but for the first."""
    return _decode(decoder, latents, _Way(chunks))


@dataclass
class _Way:
    """What goes along with a video through the layers.

    chunks: lengths at the present size; before, after: frames that each convolution looks back on, by its name, given
    and to be kept for the next chunk (None: none to be kept); modulation: scale and shift of each norm.
    """

    chunks: Chunks
    before: Cache = field(default_factory=dict)
    after: Cache | None = None
    modulation: dict[nn.Module, tuple[Tensor, Tensor]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Video:
    """`[B, C, T, H, W]`: values, to which a bias `[C]` has still to be added."""

    values: Tensor
    bias: Tensor

    def added(self) -> Tensor:
        return self.values + self.bias.to(self.values.dtype)[:, None, None, None]


def _encode(encoder: CogVideoXEncoder3D, pixels: Tensor, way: _Way) -> Tensor:
    x = _first(encoder.conv_in, pixels, way)
    for number, block in enumerate(encoder.down_blocks):
        x = _resnets(f"down_block_{number}", block, x, way)
        for sampler in _those_in(block, CogVideoXDownsample3D):
            x = _downsample(sampler, x, way)
    x = _resnets("mid_block", encoder.mid_block, x, way)
    return _norm_and_convolution("conv_out", encoder.norm_out, encoder.conv_out, x, way).added()


def _decode(decoder: CogVideoXDecoder3D, z: Tensor, way: _Way) -> Tensor:
    way.modulation = _modulation(decoder, z)
    x = _resnets("mid_block", decoder.mid_block, _first(decoder.conv_in, z, way), way)
    for number, block in enumerate(decoder.up_blocks):
        x = _resnets(f"up_block_{number}", block, x, way)
        for sampler in _those_in(block, CogVideoXUpsample3D):
            x = _upsample(sampler, x, way)
    return _norm_and_convolution("conv_out", decoder.norm_out, decoder.conv_out, x, way).added()


def _modulation(decoder: CogVideoXDecoder3D, z: Tensor) -> dict[nn.Module, tuple[Tensor, Tensor]]:
    """Scale and shift of every norm, at the size of the latents: convolutions of one pixel, as one matrix product."""
    norms = list(_those_in(decoder, CogVideoXSpatialNorm3D))
    projections = [project.conv for norm in norms for project in (norm.conv_y, norm.conv_b)]
    weight = torch.cat([projection.weight.flatten(1) for projection in projections])
    bias = torch.cat([projection.bias for projection in projections if projection.bias is not None])
    rows = F.linear(z.permute(0, 2, 3, 4, 1), weight, bias)
    parts = rows.split([projection.out_channels for projection in projections], dim=-1)
    videos = [part.permute(0, 4, 1, 2, 3) for part in parts]
    return dict(zip(norms, zip(videos[::2], videos[1::2], strict=True), strict=True))


def _those_in(parent: nn.Module, kind: type[Kind]) -> Iterator[Kind]:
    return (module for module in parent.modules() if isinstance(module, kind))


def _resnets(name: str, parent: nn.Module, x: _Video, way: _Way) -> _Video:
    for number, block in enumerate(_those_in(parent, CogVideoXResnetBlock3D)):
        x = _Video(x.values, _wide(x.bias))
        hidden = _norm_and_convolution(f"{name}.{number}.conv1", block.norm1, block.conv1, x, way)
        hidden = _norm_and_convolution(f"{name}.{number}.conv2", block.norm2, block.conv2, hidden, way)
        if block.in_channels != block.out_channels:
            assert isinstance(block.conv_shortcut, nn.Conv3d)
            x = _pointwise(block.conv_shortcut, x)
        x = _Video(hidden.values + x.values, _wide(hidden.bias) + x.bias)
    return x


def _norm_and_convolution(
    name: str, norm: nn.GroupNorm | CogVideoXSpatialNorm3D, causal: CogVideoXCausalConv3d, x: _Video, way: _Way
) -> _Video:
    group = norm.norm_layer if isinstance(norm, CogVideoXSpatialNorm3D) else norm
    scale, shift = way.modulation.get(norm, (None, None))
    padded = group_norm(
        x.values,
        group.num_groups,
        group.weight,
        group.bias,
        eps=group.eps,
        offset=x.bias,
        chunks=way.chunks,
        scale=scale,
        shift=shift,
        silu=True,
        lead=causal.time_pad,
        before=way.before.get(name),
    )
    return _convolution(name, causal, padded, way)


def _first(causal: CogVideoXCausalConv3d, x: Tensor, way: _Way) -> _Video:
    before = way.before.get("conv_in")
    front = [x[:, :, :1]] * causal.time_pad if before is None else [before]
    return _convolution("conv_in", causal, torch.cat([*front, x], dim=2).contiguous(memory_format=LAST), way)


def _convolution(name: str, causal: CogVideoXCausalConv3d, x: Tensor, way: _Way) -> _Video:
    """Of frames behind those that it looks back on; it pads height and width itself."""
    layer = causal.conv
    if way.after is not None:
        way.after[name] = x[:, :, -causal.time_pad :].clone()
    assert layer.bias is not None
    if x.numel() > MOST_VALUES:
        return _Video(layer(x), torch.zeros_like(layer.bias))
    values = F.conv3d(x, layer.weight, None, layer.stride, layer.padding, layer.dilation)
    return _Video(values, layer.bias)


def _pointwise(convolution: nn.Conv3d, x: _Video) -> _Video:
    weight = convolution.weight.flatten(1)
    assert convolution.bias is not None
    rows = F.linear(x.values.permute(0, 2, 3, 4, 1), weight)
    return _Video(rows.permute(0, 4, 1, 2, 3), _wide(convolution.bias) + _wide(weight) @ x.bias)


def _wide(x: Tensor) -> Tensor:
    """Biases are few: what is made of them keeps the digits that their own dtype would lose."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _downsample(sampler: CogVideoXDownsample3D, x: _Video, way: _Way) -> _Video:
    if sampler.compress_time:
        way.chunks = tuple((length + 1) // 2 for length in way.chunks)
    return _of_frames(sampler.conv, average_frames(x.added(), 2 if sampler.compress_time else 1, border=1))


def _upsample(sampler: CogVideoXUpsample3D, x: _Video, way: _Way) -> _Video:
    frames, height, width = x.values.shape[2:]
    x = _of_frames(sampler.conv, enlarge(x.added(), (frames, 2 * height, 2 * width)))
    if not sampler.compress_time or frames == 1:
        return x
    way.chunks = tuple(2 * length - length % 2 for length in way.chunks)
    return _Video(enlarge(x.values, (sum(way.chunks), *x.values.shape[3:])), x.bias)


def _of_frames(layer: nn.Conv2d, x: Tensor) -> _Video:
    assert layer.bias is not None
    y = F.conv2d(x.transpose(1, 2).flatten(0, 1), layer.weight, None, layer.stride, layer.padding)
    return _Video(y.unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2), layer.bias)
