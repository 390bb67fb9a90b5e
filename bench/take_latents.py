"""How far latents of a window are from the autoencoder's own encoding of its frames, by where they come from.

    python bench/take_latents.py --stories 6 --size 192x128

The window is the last 6 s of drawn stories of 9 s. `take`: the story encoded once, and the window's first frame alone,
as `storyreel data latents` does it; `alone`: each 3 s encoded by itself and joined. Mean over stories of the root mean
square difference of latents (of about unit variance), all of them and the four behind the border at 3 s, and of the
PSNR of what the decoder makes of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX
from torch import Tensor

from storyreel.assets import DEMO_MODEL
from storyreel.cli.toons import parse_size
from storyreel.models.vae import decode_stream, encode, load_vae
from storyreel.toons.grammar import make_story
from storyreel.toons.renderer import StoryRenderer


def measure(
    story: int, height: int, width: int, encoded: Callable[[Tensor], Tensor], vae: AutoencoderKLCogVideoX
) -> dict[str, Tensor]:
    """(difference, difference behind the border, PSNR) of each way, float64 `[3]`."""
    frames = np.stack(list(StoryRenderer(make_story(story, 3), height, width).render(0, 145)))
    pixels = torch.from_numpy(frames).float().div(127.5).sub(1).permute(3, 0, 1, 2)[None]
    window = pixels[:, :, 48:]
    own = encoded(window)
    ways = {
        "own": own,
        "take": torch.cat([encoded(window[:, :, :1]), encoded(pixels)[:, :, 13:]], dim=2),
        "alone": torch.cat([encoded(window[:, :, :49]), encoded(window[:, :, 48:])[:, :, 1:]], dim=2),
    }
    found = {}
    for name, latents in ways.items():
        shown = torch.cat(list(decode_stream(vae, latents)), dim=2)
        psnr = -10 * torch.log10(((shown - window) / 2).square().mean())
        far = (latents - own).square()
        found[name] = torch.stack([far.mean().sqrt(), far[:, :, 13:17].mean().sqrt(), psnr]).double()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stories", type=int, default=6)
    parser.add_argument("--seed", type=int, default=900)
    parser.add_argument("--size", default="192x128")
    parser.add_argument("--model", type=Path, default=DEMO_MODEL)
    options = parser.parse_args()
    width, height = parse_size(options.size)
    vae = load_vae(options.model / "vae").eval()
    stories = range(options.seed, options.seed + options.stories)
    all_found = [measure(story, height, width, lambda pixels: encode(vae, pixels)[0], vae) for story in stories]
    print(f"{options.stories} stories, {options.size}\n")
    print("| latents | difference | behind the border | PSNR |\n|---|---|---|---|")
    for name in ("own", "take", "alone"):
        far, border, psnr = torch.stack([found[name] for found in all_found]).mean(dim=0).tolist()
        print(f"| {name} | {far:.3f} | {border:.3f} | {psnr:.2f} dB |")


if __name__ == "__main__":
    main()
