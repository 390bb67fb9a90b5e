"""Milliseconds and memory of a training step of the demo's autoencoder as the trainer runs it, on random pixels.

    python bench/vae_step.py --path plain --profile

A step is all of it: encoder and decoder forward and backward, the loss, the optimiser, for the windows that this one
GPU gets; on N GPUs the trainer gives each an N-th of the recipe's. The last line is one JSON object with the device and
versions.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from profiling import show_profile, synchronise
from torch import nn

from storyreel.geometry import Compression, PixelShape
from storyreel.models.vae import prepare_for_gpu
from storyreel.recipes import demo
from storyreel.training.config import VAERun
from storyreel.training.graph import TrainingStep
from storyreel.training.optimiser import MasterOptimiser
from storyreel.training.vae import build_vae, noise_levels, to_model, vae_losses


def main() -> None:
    options = arguments()
    changes = {name: value for name in ("batch", "frames") if (value := getattr(options, name)) is not None}
    run = dataclasses.replace(demo.vae(), init=None, decoder_only=options.decoder_only, **changes)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with torch.backends.cudnn.flags(enabled=True, benchmark=True):
        step = build(run, device, options)
        start = time.perf_counter()
        for _ in range(2):
            values = step()
        synchronise(device)
        first_seconds, start = time.perf_counter() - start, time.perf_counter()
        for _ in range(options.steps):
            values = step()
        synchronise(device)
        milliseconds = 1000 * (time.perf_counter() - start) / options.steps
        busy = show_profile(step, device, milliseconds) if options.profile else None
    on_gpu = device.type == "cuda"
    result = {
        "run": run.name,
        "windows": run.batch,
        "frames": run.frames,
        "path": options.path,
        "decoder_only": run.decoder_only,
        "milliseconds": round(milliseconds, 1),
        "busy_milliseconds": busy and round(busy, 1),
        "first_seconds": round(first_seconds, 1),
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 1) if on_gpu else None,
        "loss": round(float(values["loss"]), 4),
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "torch": torch.__version__,
    }
    print(json.dumps(result), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, help="windows, default: the recipe's, of all GPUs")
    parser.add_argument("--frames", type=int, help="of a window, default: the recipe's")
    parser.add_argument(
        "--path", choices=("fast", "plain"), default="fast", help="fast: as the trainer has it on a GPU"
    )
    parser.add_argument("--decoder-only", action="store_true")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--profile", action="store_true", help="the dearest kernels, and the GPU's idle share")
    return parser.parse_args()


def build(run: VAERun, device: torch.device, options: argparse.Namespace) -> Callable[[], dict[str, torch.Tensor]]:
    """A function that takes the next training step of a fresh autoencoder."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.manual_seed(0)
    vae = build_vae(run, Path())
    nn.Module.to(vae, device, dtype)
    if options.path == "fast":
        prepare_for_gpu(vae)
    if run.decoder_only:
        vae.encoder.requires_grad_(False)
    optimiser = MasterOptimiser(vae.named_parameters(), run.optimiser)
    shape = PixelShape(run.frames, demo.HEIGHT, demo.WIDTH)
    latent = shape.latent(Compression(channels=vae.config["latent_channels"]))
    frames = torch.randint(256, (run.batch, run.frames, shape.height, shape.width, 3), dtype=torch.uint8).to(device)
    size = (run.batch, latent.channels, latent.frames, latent.height, latent.width)
    levels = noise_levels(run.batch, run.latent_noise, torch.Generator().manual_seed(0)).to(device)

    def losses(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        values = vae_losses(vae, inputs["pixels"], inputs["noise"], inputs["levels"], run)
        values["loss"].backward()
        return values

    training_step = TrainingStep(losses, optimiser.working)

    def step() -> dict[str, torch.Tensor]:
        pixels = to_model(frames, dtype).contiguous()
        values = training_step({"pixels": pixels, "noise": torch.randn(size, device=device), "levels": levels})
        values["gradient_norm"] = optimiser.step(0.0)
        return values

    return step


if __name__ == "__main__":
    main()
