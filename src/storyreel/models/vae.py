"""Pixels to latents and back with diffusers' CogVideoX VAE, a few frames at a time, in bounded memory.

The VAE normalises over the frames that it is given together, so only the chunks of diffusers' own decode and encode
give its result; here each chunk leaves as soon as it is made. A VAE that was trained on short windows begins anew after
each of them (`set_window`, docs/decisions/0014); every other one gives diffusers' result bit by bit. Latents on this
side are those that the transformer sees, of about zero mean and unit variance: how they were scaled (`latents_mean` and
`latents_std` of the VAE's config, or its `scaling_factor` alone) nothing outside this file needs to know.

Shapes: B batch, C latent channels, F latent frames, N video frames = 4 (F - 1) + 1.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX, CogVideoXSpatialNorm3D
from torch import Tensor, nn

from storyreel.errors import ConfigError, WeightsError, refusal
from storyreel.models.vae_channels_last import decode_chunks, decoder_forward, encode_chunks, encoder_forward
from storyreel.ops.resize import enlarge

WINDOW_KEY = "_window_frames"
"""In a VAE's config.json; diffusers keeps what begins with an underscore, and does not read it."""


def load_vae(folder: Path) -> AutoencoderKLCogVideoX:
    """The VAE of a folder that `save_pretrained` wrote, in float32 on the CPU; WeightsError where there is none."""
    if not (folder / "config.json").is_file():
        raise WeightsError(f"{folder} holds no autoencoder. Run the recipe that trains it first.")
    # Without accelerate, diffusers loads no other way, and says so unless told.
    return lighten(AutoencoderKLCogVideoX.from_pretrained(folder, low_cpu_mem_usage=False))


def lighten(vae: AutoencoderKLCogVideoX) -> AutoencoderKLCogVideoX:
    """Same function, parameters and names, less work: the decoder's norms project latents before they enlarge them.

    diffusers repeats the latents to the size of the video first, then applies a convolution of one pixel to all of them
    (twice a norm) and keeps a copy for a cache that such a convolution does not need.
    """
    for module in vae.modules():
        if isinstance(module, CogVideoXSpatialNorm3D):
            # As diffusers' own does, it returns a pair; the annotation there says one tensor.
            module.forward = functools.partial(_spatial_norm, module)  # pyright: ignore[reportAttributeAccessIssue]
    return vae


def _spatial_norm(
    norm: CogVideoXSpatialNorm3D, f: Tensor, zq: Tensor, conv_cache: object = None
) -> tuple[Tensor, dict[str, Tensor]]:
    scale, shift = (
        enlarge(project.conv(zq), f.shape[-3:], backend="reference") for project in (norm.conv_y, norm.conv_b)
    )
    return torch.addcmul(shift, norm.norm_layer(f), scale), {}


def prepare_for_gpu(vae: AutoencoderKLCogVideoX) -> AutoencoderKLCogVideoX:
    """Same function, parameters and names, several times as fast on a CUDA GPU (models/vae_channels_last.py).

    The kernels are Triton's; where it is not installed, plain torch takes their place. On the CPU `lighten` is enough.
    ConfigError for another activation than SiLU.
    """
    if vae.config["act_fn"] not in ("silu", "swish"):
        raise ConfigError(refusal("act_fn", vae.config["act_fn"], "the kernels know silu alone", "Leave it unprepared"))
    for module, forward in ((vae.encoder, encoder_forward), (vae.decoder, decoder_forward)):
        # As diffusers' own do, they return pairs; the annotations there say one tensor.
        module.forward = functools.partial(forward, module)  # pyright: ignore[reportAttributeAccessIssue]
    return vae


def _is_prepared(vae: AutoencoderKLCogVideoX) -> bool:
    return getattr(vae.decoder.forward, "func", None) is decoder_forward


def set_window(vae: AutoencoderKLCogVideoX, frames: int | None) -> None:
    """Notes in the VAE's config that it begins anew every `frames` frames of video; None: never.

    The frame before a window is its first, too: to encode, as it was drawn; to decode, encoded anew as it was decoded.
    ConfigError unless `frames` are whole chunks of the VAE.
    """
    ratio = int(vae.config["temporal_compression_ratio"])
    chunk = math.lcm(vae.num_sample_frames_batch_size, ratio * vae.num_latent_frames_batch_size)
    if frames is not None and (frames < 1 or frames % chunk):
        limit = f"the autoencoder takes {chunk} frames at once"
        raise ConfigError(refusal("window", frames, limit, f"Try {max(frames // chunk, 1) * chunk}"))
    vae.register_to_config(**{WINDOW_KEY: frames})


def window_of(vae: AutoencoderKLCogVideoX) -> int | None:
    """What `set_window` noted, frames of video."""
    return vae.config.get(WINDOW_KEY)


@torch.no_grad()
def decode_stream(vae: AutoencoderKLCogVideoX, latents: Tensor) -> Iterator[Tensor]:
    """Scaled latents `[B, C, F, H, W]` as chunks of pixels `[B, 3, n, 8H, 8W]`, about -1 to 1, on the VAE's device.

    8 frames each, 9 in the first for an odd F (every story's F is odd). For a VAE without a window the chunks together
    equal `vae.decode` of the unscaled latents bit by bit. Latents may lie on any device in any dtype. Tiling is not
    applied.
    """
    shift, scale = normalisation(vae)
    window, ratio = window_of(vae), int(vae.config["temporal_compression_ratio"])
    last: Tensor | None = None
    for part in _windows(latents.shape[2], None if window is None else window // ratio):
        cache = None
        for frames in _chunks(part.stop - part.start, vae.num_latent_frames_batch_size):
            z = latents[:, :, part.start + frames.start : part.start + frames.stop].to(vae.device, vae.dtype)
            z = z / scale + shift
            shared = last if frames.start == 0 else None
            if shared is not None:
                z = torch.cat([posterior(vae, shared.clamp(-1, 1))[0], z[:, :, 1:]], dim=2)
            pixels, cache = _decode_chunk(vae, z, cache)
            yield pixels if shared is None else pixels[:, :, 1:]
            last = pixels[:, :, -1:]


@torch.no_grad()
def encode(vae: AutoencoderKLCogVideoX, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels `[B, 3, N, height, width]` in -1 to 1 to mean and log-variance of the scaled latents, `[B, C, F, H, W]`.

    For a VAE without a window they equal the parameters of `vae.encode(pixels).latent_dist`, moved to scaled latents: a
    sample is `mean + exp(logvar / 2) * noise`. Pixels may lie on any device in any dtype; the result lies on the VAE's
    device.
    """
    mean, logvar = zip(*encode_stream(vae, pixels.unbind(2), pixels.shape[2]), strict=True)
    return torch.cat(mean, dim=2), torch.cat(logvar, dim=2)


@torch.no_grad()
def encode_stream(vae: AutoencoderKLCogVideoX, frames: Iterable[Tensor], count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """`encode` of `count` frames that come one by one, each `[B, 3, height, width]` in -1 to 1, in chunks.

    The pairs (mean, logvar) `[B, C, n, H, W]` together equal `encode` of all frames bit by bit; no more than a chunk of
    frames is held. ValueError where there are fewer than `count`.
    """
    shift, scale = normalisation(vae)
    waiting = iter(frames)
    own: list[Tensor] = []
    for part in _windows(count, window_of(vae)):
        cache, shared = None, own[-1:]
        for chunk in _chunks(part.stop - part.start, vae.num_sample_frames_batch_size):
            wanted = chunk.stop - chunk.start
            own = shared + list(itertools.islice(waiting, wanted - len(shared)))
            if len(own) < wanted:
                raise ValueError(f"{part.start + chunk.start + len(own)} frames came, but {count} were promised")
            z, cache = vae.encoder(torch.stack(own, dim=2).to(vae.device, vae.dtype), conv_cache=cache)
            mean, logvar = (moment[:, :, len(shared) :] for moment in _moments(vae, z))
            shared = []
            yield (mean - shift) * scale, logvar + 2 * scale.log()


def posterior(vae: AutoencoderKLCogVideoX, pixels: Tensor, *, at_once: bool = False) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of the VAE's own, unscaled latents, `[B, C, F, H, W]`; with gradients, for training.

    at_once: all chunks go through each layer together, which takes the memory of a whole video but fewer and larger
    steps; only after `prepare_for_gpu`, else one by one as ever.
    """
    size = vae.num_sample_frames_batch_size
    chunks = _chunks(pixels.shape[2], size)
    if at_once and _is_prepared(vae) and size % vae.config["temporal_compression_ratio"] == 0:
        return _moments(vae, encode_chunks(vae.encoder, pixels, _lengths(chunks)))
    cache, parts = None, []
    for frames in chunks:
        z, cache = vae.encoder(pixels[:, :, frames], conv_cache=cache)
        parts.append(_moments(vae, z))
    mean, logvar = zip(*parts, strict=True)
    return torch.cat(mean, dim=2), torch.cat(logvar, dim=2)


def decode_whole(vae: AutoencoderKLCogVideoX, latents: Tensor, *, at_once: bool = False) -> Tensor:
    """Pixels `[B, 3, N, 8H, 8W]` of the VAE's own, unscaled latents; with gradients, for training.

    at_once: as for `posterior`.
    """
    size = vae.num_latent_frames_batch_size
    chunks = _chunks(latents.shape[2], size)
    if at_once and _is_prepared(vae) and size % 2 == 0:
        return decode_chunks(vae.decoder, _after(vae.post_quant_conv, latents), _lengths(chunks))
    cache, parts = None, []
    for frames in chunks:
        pixels, cache = _decode_chunk(vae, latents[:, :, frames], cache)
        parts.append(pixels)
    return torch.cat(parts, dim=2)


def normalisation(vae: AutoencoderKLCogVideoX) -> tuple[Tensor, Tensor]:
    """(shift, scale), each `[1, C or 1, 1, 1, 1]`: scaled latents are (own latents - shift) * scale."""
    config = vae.config
    shift = config.get("latents_mean") or [0.0]
    scale = [1 / x for x in config["latents_std"]] if config.get("latents_std") else [config["scaling_factor"]]
    at = {"device": vae.device, "dtype": vae.dtype}
    return torch.tensor(shift, **at)[None, :, None, None, None], torch.tensor(scale, **at)[None, :, None, None, None]


def set_normalisation(vae: AutoencoderKLCogVideoX, latents: Tensor) -> None:
    """Notes in the VAE's config the mean and deviation of each channel of its own latents, `[B, C, F, H, W]`."""
    channels = latents.float().transpose(0, 1).flatten(1)
    means, deviations = channels.mean(dim=1).tolist(), channels.std(dim=1).tolist()
    vae.register_to_config(
        latents_mean=[round(x, 4) for x in means], latents_std=[round(x, 4) for x in deviations], scaling_factor=1.0
    )


def _decode_chunk(
    vae: AutoencoderKLCogVideoX, z: Tensor, cache: dict[str, Tensor] | None
) -> tuple[Tensor, dict[str, Tensor]]:
    return vae.decoder(_after(vae.post_quant_conv, z), conv_cache=cache)


def _moments(vae: AutoencoderKLCogVideoX, z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance that the encoder's output stands for, frame by frame."""
    mean, logvar = _after(vae.quant_conv, z).chunk(2, dim=1)
    # diffusers keeps the log-variance of a posterior within these bounds
    return mean, logvar.clamp(-30.0, 20.0)


def _after(layer: nn.Module | None, x: Tensor) -> Tensor:
    return x if layer is None else layer(x)


def _chunks(frames: int, size: int) -> list[slice]:
    """Slices of `size` frames; the first one takes the remainder too (the frame that a causal VAE begins with)."""
    count, rest = max(frames // size, 1), frames % size
    return [slice(size * i + (rest if i else 0), min(size * (i + 1) + rest, frames)) for i in range(count)]


def _windows(frames: int, length: int | None) -> list[slice]:
    """Slices of `length` frames and the one before them, which neighbours share; one slice of all for None."""
    if length is None:
        return [slice(0, frames)]
    return [slice(start, min(start + length + 1, frames)) for start in range(0, max(frames - 1, 1), length)]


def _lengths(chunks: list[slice]) -> tuple[int, ...]:
    return tuple(chunk.stop - chunk.start for chunk in chunks)
