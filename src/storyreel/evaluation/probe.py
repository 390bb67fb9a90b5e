"""A small network that reads the place and the characters off 3 s of video: the judge of generated cartoons.

Trained on drawn clips and their VAE reconstructions, where the truth is known; a generated segment is right when the
probe reads in it what its text says.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from safetensors import SafetensorError
from torch import Tensor, nn

from storyreel.errors import WeightsError

PROBE_FRAMES = 8


class Probe(ModelMixin, ConfigMixin):
    """Frames one by one through a convolutional network, pooled over space and time by mean and maximum."""

    @register_to_config
    def __init__(self, places: tuple[str, ...], characters: tuple[str, ...], width: int = 24) -> None:
        super().__init__()
        widths = [3, width, 2 * width, 3 * width, 4 * width, 5 * width]
        self.stages = nn.ModuleList(DownStage(a, b) for a, b in itertools.pairwise(widths))
        self.to_places = nn.Linear(2 * widths[-1], len(places))
        self.to_characters = nn.Linear(2 * widths[-1], len(characters))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, F, 3, H, W]` in [-1, 1] to logits of the place `[B, places]` and of each character `[B, characters]`."""
        place = self.features(frames).mean(dim=1)
        return self.to_places(place), self.to_characters(place)

    def features(self, frames: Tensor) -> Tensor:
        """What it sees in each frame: `[B, F, 3, H, W]` in [-1, 1] to `[B, F, 10 width]`; logits are made of means."""
        x = frames.flatten(0, 1)
        for stage in self.stages:
            x = stage(x)
        return torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1).unflatten(0, frames.shape[:2])


class DownStage(nn.Module):
    """Halves the sides: a strided convolution, then a residual one."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, out, 3, stride=2, padding=1)
        self.norm1 = nn.GroupNorm(4, out)
        self.conv = nn.Conv2d(out, out, 3, padding=1)
        self.norm2 = nn.GroupNorm(4, out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.norm1(self.down(x)))
        return x + F.silu(self.norm2(self.conv(x)))


def probe_frames(frames: Tensor) -> Tensor:
    """PROBE_FRAMES evenly spaced frames, uint8 `[B, F, H, W, 3]` to float32 `[B, 8, 3, H, W]` in [-1, 1]."""
    count = frames.shape[1]
    index = torch.linspace(count * 0.06, count - 1, PROBE_FRAMES).long()
    return frames[:, index].permute(0, 1, 4, 2, 3).float() / 127.5 - 1


def probe_loss(logits: tuple[Tensor, Tensor], places: Tensor, characters: Tensor) -> Tensor:
    """Cross-entropy of places (int64 `[B]`) plus binary cross-entropy of characters (float `[B, characters]`)."""
    return F.cross_entropy(logits[0], places) + 2 * F.binary_cross_entropy_with_logits(logits[1], characters)


@torch.no_grad()
def read_segments(probe: Probe, frames: Tensor) -> tuple[Tensor, Tensor]:
    """What it reads in segments, uint8 `[B, F, H, W, 3]`: places int64 `[B]`, characters bool `[B, characters]`."""
    places, characters = probe(probe_frames(frames).to(probe.device, probe.dtype))
    return places.argmax(dim=1).cpu(), (characters > 0).cpu()


def load_probe(folder: Path) -> Probe:
    """The probe of a folder that `save_pretrained` wrote, in float32. WeightsError where it is damaged or none."""
    try:
        # The other way of loading needs accelerate, and warns where that is not installed.
        return Probe.from_pretrained(folder, low_cpu_mem_usage=False).eval()
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise WeightsError(f"{folder} holds no probe that can be read: {first_line} Copy it again.") from error
