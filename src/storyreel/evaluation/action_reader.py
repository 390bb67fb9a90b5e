"""A small network that finds characters in 3 s of a toon and reads what each of them does.

It looks at 8 frames a second, 144 x 96, and says for every cell of 8 x 8 pixels who is there and what they do; the
motion is in the difference to the frame before and in convolutions over time. It was trained on drawn stories alone
(training/actions.py), where both are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from safetensors import SafetensorError
from torch import Tensor, nn

from storyreel.errors import WeightsError
from storyreel.evaluation.probe import DownStage

READ_FRAMES = 24
"""Frames of a segment that it looks at: every second one of 48."""
READ_SIZE = (96, 144)
CELL = 8
SMOOTHED_FRAMES = 9
"""An action counts with its mean over so many frames, 1.1 s."""
CLASSES: dict[str, tuple[str, ...]] = {
    "go": ("walk", "run", "crash"),
    "jump": ("jump",),
    "dance": ("dance",),
    "lie": ("sleep", "fall"),
    "stay": (
        "stand", "look", "sit", "laugh", "wave", "ring", "peek", "hide", "cry", "eat", "give", "pick_up", "put_down",
    ),
}  # fmt: skip
"""What the weights that ship can tell apart: kinds of the actions that they were taught."""


class ActionReader(ModelMixin, ConfigMixin):
    """Convolutions over space, then over space and time, then two readings of each cell."""

    @register_to_config
    def __init__(
        self,
        characters: tuple[str, ...],
        actions: tuple[str, ...],
        widths: tuple[int, ...] = (16, 32, 64),
        classes: dict[str, tuple[str, ...]] | None = None,
        thresholds: dict[str, float] | None = None,
    ) -> None:
        """classes: kinds of actions that are read, None for each action by itself. thresholds: a kind is read where its
        score is at least so much; 0.5 for those without one."""
        super().__init__()
        first, second, width = widths
        self.stem = nn.Conv2d(6, first, 3, stride=2, padding=1)
        self.stages = nn.ModuleList([DownStage(first, second), DownStage(second, width)])
        self.blocks = nn.ModuleList([_Block(width, 1), _Block(width, 2), _Block(width, 4)])
        self.to_characters = nn.Conv2d(width, len(characters) + 1, 1)
        self.to_actions = nn.Conv2d(width, len(actions), 1)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames `[B, F, 3, 96, 144]` in [-1, 1] to logits of each cell: who, `[B, F, characters + 1, 12, 18]` with
        nobody last, and what they do, `[B, F, actions, 12, 18]`."""
        count = frames.shape[:2]
        change = torch.diff(frames, dim=1, prepend=frames[:, :1])
        x = torch.cat([frames, 3 * change], dim=2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        x = F.silu(self.stem(x))
        for stage in self.stages:
            x = stage(x)
        for block in self.blocks:
            x = block(x, count[1])
        return self.to_characters(x).unflatten(0, count), self.to_actions(x).unflatten(0, count)

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """The actions of each kind that it reads."""
        return self.config["classes"] or {action: (action,) for action in self.config["actions"]}

    @torch.no_grad()
    def scores(self, frames: Tensor) -> Tensor:
        """How surely each character does each kind of action at some time, float32 `[characters, classes]`.

        frames: uint8 `[F, H, W, 3]`, READ_FRAMES evenly spaced ones of a segment.
        """
        who, what = self(prepared(frames.to(self.device))[None].to(self.dtype))
        actions = list(self.config["actions"])
        groups = [[actions.index(action) for action in own] for own in self.classes.values()]
        return segment_scores(who[0].float(), what[0].float(), groups).cpu()

    def read(self, scores: Tensor) -> dict[str, frozenset[str]]:
        """The kinds of actions of each character that its scores `[characters, classes]` speak for."""
        # By name, since a saved config is sorted.
        least = self.config["thresholds"] or {}
        seen = scores >= torch.tensor([least.get(kind, 0.5) for kind in self.classes])
        return {
            name: frozenset(kind for kind, there in zip(self.classes, row, strict=True) if there)
            for name, row in zip(self.config["characters"], seen.tolist(), strict=True)
        }


class _Block(nn.Module):
    """A residual convolution over three moments `dilation` frames apart, then one over space."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.moments = nn.Conv2d(3 * channels, channels, 1)
        self.norm1 = nn.GroupNorm(4, channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(4, channels)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """`[B F, C, h, w]`, `frames` of them to a segment."""
        clips = x.unflatten(0, (-1, frames))
        gap = clips.new_zeros(clips.shape[0], self.dilation, *x.shape[1:])
        before = torch.cat([gap, clips[:, : -self.dilation]], dim=1).flatten(0, 1)
        after = torch.cat([clips[:, self.dilation :], gap], dim=1).flatten(0, 1)
        x = x + F.silu(self.norm1(self.moments(torch.cat([before, x, after], dim=1))))
        return x + F.silu(self.norm2(self.conv(x)))


def prepared(frames: Tensor) -> Tensor:
    """uint8 `[F, H, W, 3]` as the reader wants it, float32 `[F, 3, 96, 144]` in [-1, 1]."""
    pixels = frames.permute(0, 3, 1, 2).float()
    if pixels.shape[-2:] != READ_SIZE:
        pixels = F.interpolate(pixels, READ_SIZE, mode="bilinear", antialias=True)
    return pixels / 127.5 - 1


def segment_scores(who: Tensor, what: Tensor, groups: Sequence[Sequence[int]]) -> Tensor:
    """Logits of the cells of a segment, `[F, characters + 1, h, w]` and `[F, actions, h, w]`, to scores
    `[characters, groups]`: the highest mean over SMOOTHED_FRAMES frames of the share of each group of actions in the
    cells that show the character, times how surely it is there."""
    there = who.softmax(1)[:, :-1].flatten(2)
    shares = what.softmax(1).flatten(2)
    doing = torch.stack([shares[:, list(group)].sum(1) for group in groups], dim=1)
    weights = there**2
    means = torch.einsum("fcn,fan->fca", weights, doing) / weights.sum(2, keepdim=True).clamp_min(1e-6)
    frames = means * there.amax(2, keepdim=True)
    return F.avg_pool1d(frames.permute(1, 2, 0), SMOOTHED_FRAMES, stride=1).amax(2)


def load_action_reader(folder: Path) -> ActionReader:
    """The reader of a folder that `save_pretrained` wrote, in float32. WeightsError where it is damaged or none."""
    try:
        # The other way of loading needs accelerate, and warns where that is not installed.
        return ActionReader.from_pretrained(folder, low_cpu_mem_usage=False, torch_dtype=torch.float32).eval()
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise WeightsError(f"{folder} holds no reader of actions: {first_line} Copy it again.") from error
