"""Pixels to latents and back with diffusers' CogVideoX VAE, a few frames at a time, in bounded memory.

The VAE normalises over the frames that it is given together, so only the chunks of diffusers' own decode and encode
give its result; here each chunk leaves as soon as it is made. Latents on this side are those that the transformer sees:
scaled to about unit variance by `vae.config.scaling_factor`, which nothing outside this file needs to know.

Shapes: B batch, C latent channels, F latent frames, N video frames = 4 (F - 1) + 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX
from torch import Tensor


@torch.no_grad()
def decode_stream(vae: AutoencoderKLCogVideoX, latents: Tensor) -> Iterator[Tensor]:
    """Scaled latents `[B, C, F, H, W]` as chunks of pixels `[B, 3, n, 8H, 8W]`, about -1 to 1, on the VAE's device.

    Chunks together equal `vae.decode(latents / scaling_factor).sample` bit by bit: 8 frames each, 9 in the first for an
    odd F (every story's F is odd). Latents may lie on any device in any dtype. Tiling is not applied.
    """
    cache = None
    for frames in _chunks(latents.shape[2], vae.num_latent_frames_batch_size):
        z = latents[:, :, frames].to(vae.device, vae.dtype) / vae.config["scaling_factor"]
        if vae.post_quant_conv is not None:
            z = vae.post_quant_conv(z)
        pixels, cache = vae.decoder(z, conv_cache=cache)
        yield pixels


@torch.no_grad()
def encode(vae: AutoencoderKLCogVideoX, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels `[B, 3, N, height, width]` in -1 to 1 to mean and log-variance of the scaled latents, `[B, C, F, H, W]`.

    Equals the parameters of `vae.encode(pixels).latent_dist`, moved to scaled latents: a sample is
    `mean + exp(logvar / 2) * noise`. Pixels may lie on any device in any dtype; the result lies on the VAE's device.
    """
    cache, parts = None, []
    for frames in _chunks(pixels.shape[2], vae.num_sample_frames_batch_size):
        z, cache = vae.encoder(pixels[:, :, frames].to(vae.device, vae.dtype), conv_cache=cache)
        parts.append(z if vae.quant_conv is None else vae.quant_conv(z))
    mean, logvar = torch.cat(parts, dim=2).chunk(2, dim=1)
    # diffusers keeps the log-variance of a posterior within these bounds
    scale = vae.config["scaling_factor"]
    return mean * scale, logvar.clamp(-30.0, 20.0) + 2 * math.log(scale)


def _chunks(frames: int, size: int) -> list[slice]:
    """Slices of `size` frames; the first one takes the remainder too (the frame that a causal VAE begins with)."""
    count, rest = max(frames // size, 1), frames % size
    return [slice(size * i + (rest if i else 0), min(size * (i + 1) + rest, frames)) for i in range(count)]
