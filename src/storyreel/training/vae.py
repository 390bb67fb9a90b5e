"""Training of the video autoencoder (diffusers' AutoencoderKLCogVideoX) on windows of drawn clips."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers import AutoencoderKLCogVideoX
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from storyreel.data.clips import clip_numbers, read_clip
from storyreel.errors import TrainingError
from storyreel.geometry import Compression, PixelShape
from storyreel.models.vae import (
    decode_whole,
    lighten,
    load_vae,
    posterior,
    prepare_for_gpu,
    set_normalisation,
    set_window,
)
from storyreel.sampling.device import multiplies_bfloat16
from storyreel.training import parallel
from storyreel.training.checkpoint import earlier_folder
from storyreel.training.config import VAERun
from storyreel.training.graph import TrainingStep
from storyreel.training.loop import Clock, Report, train_steps
from storyreel.training.optimiser import MasterOptimiser

LIST_EVERY_CLIPS = 64
WINDOWS_PER_CLIP = 2
"""At most: one where a clip is no longer than a window."""
CHUNK_FRAMES = 8
"""What CogVideoX's VAE takes at once, after the frame that a video begins with."""
NOISY_SHARE = 0.5
"""Of the windows whose latents get noise, where a run wants any."""
GRID = (CHUNK_FRAMES, 1, 1)
"""Where a window may begin."""
SQUARE_WEIGHT = 8.0
"""Of the squared error in the loss, beside 1 for the absolute one; PSNR, by which we are judged, counts squares."""


class ClipWindows(IterableDataset[Tensor]):
    """Endless random windows, uint8 `[frames, h, w, 3]`, of the clips that are drawn so far, a seed a worker.

    Folders take equal shares. A window begins where the VAE's chunks of a whole clip do, so that a cut between two
    segments comes where it will come in use: with a chunk's first frame.
    """

    def __init__(self, folders: tuple[Path, ...], frames: int, crop: tuple[int, int], seed: int) -> None:
        self.folders, self.frames, self.crop, self.seed = folders, frames, crop, seed

    def __iter__(self) -> Iterator[Tensor]:
        worker = get_worker_info()
        generator = torch.Generator().manual_seed(1000 * self.seed + (worker.id if worker else 0))
        clips: list[list[tuple[Path, int]]] = []
        for drawn in itertools.count():
            if drawn % LIST_EVERY_CLIPS == 0:
                listed = ([(folder, number) for number in clip_numbers(folder)] for folder in self.folders)
                clips = [own for own in listed if own]
                if not clips:
                    raise TrainingError(f"no drawn clips in {', '.join(map(str, self.folders))}. Draw them first.")
            own = clips[_below(len(clips), generator)]
            folder, number = own[_below(len(own), generator)]
            frames = torch.from_numpy(read_clip(folder, number).frames)
            size = (self.frames, self.crop[0] or frames.shape[1], self.crop[1] or frames.shape[2])
            rooms = zip(frames.shape, size, GRID, strict=False)
            starts = [(whole - length) // grid + 1 for whole, length, grid in rooms]
            for _ in range(min(WINDOWS_PER_CLIP, math.prod(starts))):
                window = frames
                for axis, (length, grid) in enumerate(zip(size, GRID, strict=True)):
                    window = window.narrow(axis, grid * _below(starts[axis], generator), length)
                yield window.clone()


def _below(limit: int, generator: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))


def to_model(frames: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 `[B, F, H, W, 3]` to `[B, 3, F, H, W]` in [-1, 1]."""
    return (frames.to(dtype) / 127.5 - 1).permute(0, 4, 1, 2, 3)


def reconstruction_loss(made: Tensor, true: Tensor) -> Tensor:
    """Absolute and squared error of values, absolute error of edges at three scales and of change over time.

    `[B, 3, F, H, W]`, float32.
    """
    loss = (made - true).abs().mean() + SQUARE_WEIGHT * (made - true).square().mean()
    loss = loss + 0.5 * ((made[:, :, 1:] - made[:, :, :-1]) - (true[:, :, 1:] - true[:, :, :-1])).abs().mean()
    for _ in range(3):
        for axis in (-1, -2):
            loss = loss + 0.5 * (made.diff(dim=axis) - true.diff(dim=axis)).abs().mean()
        made, true = _halve(made), _halve(true)
    return loss


def _halve(x: Tensor) -> Tensor:
    """Means of 2 by 2 values; `F.avg_pool3d` takes ten times as long for the gradient on a GPU."""
    height, width = (length // 2 * 2 for length in x.shape[-2:])
    if (height, width) != x.shape[-2:]:
        x = x[..., :height, :width]
    return x.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2)).mean(dim=(-3, -1))


def psnr(made: Tensor, true: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of values in [-1, 1], over everything given."""
    return -10 * torch.log10(((made.clamp(-1, 1) - true) / 2).square().mean())


def noise_levels(batch: int, most: float, generator: torch.Generator) -> Tensor:
    """`[B]` float32 on the CPU: 0 for about half of the windows, evenly between 0 and `most` for the others."""
    drawn = torch.rand(2, batch, generator=generator)
    return most * drawn[0] * (drawn[1] < NOISY_SHARE)


def vae_losses(
    vae: AutoencoderKLCogVideoX, pixels: Tensor, noise: Tensor, levels: Tensor, run: VAERun
) -> dict[str, Tensor]:
    """Loss of one batch `[B, 3, F, H, W]`, and what it is made of.

    noise: `[B, C, f, h, w]`, of unit variance, for its latents; levels: `[B]`, how much of it beside the posterior's
    own, in standard deviations of a channel in this batch. Windows with more than that teach the decoder alone: the
    encoder is to tell all that it can, not what survives noise.
    """
    with torch.set_grad_enabled(torch.is_grad_enabled() and not run.decoder_only):
        mean, log_variance = (moment.float() for moment in posterior(vae, pixels, at_once=True))
    # Two independent noises are one, of the sum of their variances.
    spread = mean.detach().std(dim=(0, 2, 3, 4), keepdim=True)
    levels = levels.view(-1, 1, 1, 1, 1)
    deviation = (log_variance.exp() + (levels * spread).square()).sqrt()
    latents = mean + deviation * noise
    latents = torch.where(levels > 0, latents.detach(), latents)
    made = decode_whole(vae, latents.to(pixels.dtype), at_once=True).float().contiguous()
    true = pixels.float()
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    reconstruction = reconstruction_loss(made, true)
    return {
        "loss": reconstruction + run.kl_weight * kl,
        "reconstruction": reconstruction.detach(),
        "kl": kl.detach(),
        "psnr": psnr(made.detach(), true),
    }


def train_vae(run: VAERun, root: Path, *, device: torch.device, clock: Clock, report: Report, workers: int = 4) -> None:
    """Trains, and writes the moving average to ROOT/NAME/vae with the scale of its latents once the run ends."""
    torch.manual_seed(run.seed)
    dtype = training_dtype(device)
    vae = build_vae(run, root)
    untrained = {name: weight.clone() for name, weight in vae.encoder.named_parameters()} if run.decoder_only else {}
    nn.Module.to(vae, device, dtype)
    if device.type == "cuda":
        prepare_for_gpu(vae)
    if run.decoder_only:
        vae.encoder.requires_grad_(False)
    optimiser = MasterOptimiser(vae.named_parameters(), run.optimiser)
    folders = tuple(root / name for name in run.clips_folders)
    seed = parallel.own_seed(run.seed)
    windows = ClipWindows(folders, run.frames, run.crop, seed)
    parts = parallel.parts(run.batch, run.rows_at_once)
    batch = run.batch // parallel.size() // parts
    batches = iter(DataLoader(windows, batch_size=batch, num_workers=workers, pin_memory=device.type == "cuda"))

    def losses(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        values = vae_losses(vae, inputs["pixels"], inputs["noise"], inputs["levels"], run)
        values["loss"].backward()
        return values

    training_step = TrainingStep(losses, optimiser.working)

    def one_step(step: int) -> dict[str, Tensor]:
        generator = torch.Generator(device).manual_seed(seed * 1_000_003 + step)
        chance = torch.Generator().manual_seed(seed * 1_000_003 + step)
        values = []
        for _ in range(parts):
            frames = next(batches).to(device, non_blocking=True)
            shape = PixelShape(*frames.shape[1:4]).latent(Compression(channels=vae.config["latent_channels"]))
            size = (batch, shape.channels, shape.frames, shape.height, shape.width)
            noise = torch.randn(size, generator=generator, device=device)
            levels = noise_levels(batch, run.latent_noise, chance).to(device, non_blocking=True)
            pixels = to_model(frames, dtype).contiguous()
            values.append(training_step({"pixels": pixels, "noise": noise, "levels": levels}))
            values[-1] = {name: value.clone() for name, value in values[-1].items()}
            optimiser.collect()
        return {name: torch.stack([value[name] for value in values]).mean() for name in values[0]}

    with torch.backends.cudnn.flags(enabled=True, benchmark=True):
        train_steps(run, root / run.name, optimiser, one_step, steps=run.steps, clock=clock, report=report)
    if not parallel.is_first():
        return
    vae.float()
    optimiser.use_average()
    with torch.no_grad():
        for name, weight in untrained.items():
            vae.encoder.get_parameter(name).copy_(weight)
    if not run.decoder_only:
        with torch.no_grad():
            seen = [
                posterior(vae, to_model(next(batches).to(device), torch.float32))[0] for _ in range(8 * parallel.size())
            ]
        set_normalisation(vae, torch.cat(seen))
        # Further from a window's start than in training it would draw worse (docs/decisions/0014).
        set_window(vae, (run.frames - 1) // CHUNK_FRAMES * CHUNK_FRAMES or None)
    vae.save_pretrained(root / run.name / "vae")


def training_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies in it (training then has float32 masters), else float32."""
    fast = device.type == "cuda" or (device.type == "cpu" and multiplies_bfloat16())
    return torch.bfloat16 if fast else torch.float32


def build_vae(run: VAERun, root: Path) -> AutoencoderKLCogVideoX:
    """A new autoencoder, or the one of `run.init` to go on with."""
    if run.init is None:
        return lighten(AutoencoderKLCogVideoX(**run.vae))
    return load_vae(earlier_folder(root, run.init))
