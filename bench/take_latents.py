"""How far latents of a window are from the autoencoder's own encoding of its frames, by where they come from.

    python bench/take_latents.py --stories 6 --size 192x128

The window is the last 6 s of drawn stories of 9 s. `take`: the story encoded once, and the window's first frame alone,
as `storyreel data latents` does it; `statistics`: the same, but every GroupNorm of the encoder uses the means and
deviations that it found in the same chunk of the window's own encoding; `alone`: each 3 s encoded by itself and joined.
Mean over stories of the root mean square difference of latents (of about unit variance), all of them and the four
behind the border at 3 s, and of the PSNR of what the decoder makes of them.
"""

from __future__ import annotations

import argparse
import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX
from torch import Tensor, nn

from storyreel.assets import DEMO_MODEL
from storyreel.cli.toons import parse_size
from storyreel.models.vae import decode_stream, encode, load_vae
from storyreel.toons.grammar import make_story
from storyreel.toons.renderer import StoryRenderer


class Statistics:
    """Stands in for the GroupNorms of an encoder: notes means and variances of each chunk, or uses noted ones."""

    def __init__(self, encoder: nn.Module) -> None:
        self._noted: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self._calls: Counter[str] = Counter()
        self._first: int | None = None
        for name, module in encoder.named_modules():
            if isinstance(module, nn.GroupNorm):
                module.forward = functools.partial(self._forward, name, module)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """While it runs, statistics are noted, those of before forgotten."""
        self._noted, self._first = {}, None
        yield

    @contextmanager
    def used(self, first: int) -> Iterator[None]:
        """While it runs, chunks from `first` on have the noted statistics, in their order."""
        self._calls, self._first = Counter(), first
        yield
        self._first = None

    def _forward(self, name: str, norm: nn.GroupNorm, x: Tensor) -> Tensor:
        groups = x.reshape(x.shape[0], norm.num_groups, -1)
        found = groups.mean(-1, keepdim=True), groups.var(-1, unbiased=False, keepdim=True)
        if self._first is None:
            self._noted.setdefault(name, []).append(found)
        else:
            chunk = self._calls[name] - self._first
            self._calls[name] += 1
            found = self._noted[name][chunk] if chunk >= 0 else found
        mean, variance = found
        shape = (1, -1) + (1,) * (x.ndim - 2)
        normal = ((groups - mean) / torch.sqrt(variance + norm.eps)).reshape(x.shape)
        return normal * norm.weight.reshape(shape) + norm.bias.reshape(shape)


def measure(
    story: int,
    height: int,
    width: int,
    encoded: Callable[[Tensor], Tensor],
    vae: AutoencoderKLCogVideoX,
    statistics: Statistics,
) -> dict[str, Tensor]:
    """(difference, difference behind the border, PSNR) of each way, float64 `[3]`."""
    frames = np.stack(list(StoryRenderer(make_story(story, 3), height, width).render(0, 145)))
    pixels = torch.from_numpy(frames).float().div(127.5).sub(1).permute(3, 0, 1, 2)[None]
    window = pixels[:, :, 48:]
    with statistics.noted():
        own = encoded(window)
    with statistics.used(first=48 // vae.num_sample_frames_batch_size):
        with_own = encoded(pixels)[:, :, 13:]
    head = encoded(window[:, :, :1])
    ways = {
        "own": own,
        "take": torch.cat([head, encoded(pixels)[:, :, 13:]], dim=2),
        "statistics": torch.cat([head, with_own], dim=2),
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
    statistics = Statistics(vae.encoder)
    all_found = [
        measure(story, height, width, lambda pixels: encode(vae, pixels)[0], vae, statistics) for story in stories
    ]
    print(f"{options.stories} stories, {options.size}\n")
    print("| latents | difference | behind the border | PSNR |\n|---|---|---|---|")
    for name in ("own", "take", "statistics", "alone"):
        far, border, psnr = torch.stack([found[name] for found in all_found]).mean(dim=0).tolist()
        print(f"| {name} | {far:.3f} | {border:.3f} | {psnr:.2f} dB |")


if __name__ == "__main__":
    main()
