"""A contact sheet: a thumbnail a segment in one PNG, first guessed from latents, in the end from real frames.

A latent's colour is nearly linear in its channels, so a fitted map from 16 channels to red, green and blue shows what a
step predicts without the decoder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from storyreel.geometry import FRAMES_PER_SECOND, SEGMENT_SECONDS, TokenLayout
from storyreel.sampling.leftovers import aside
from storyreel.sampling.video import output_error

THUMBNAIL_WIDTH = 192
MOST_COLUMNS = 7
GAP = 4
LABEL_HEIGHT = 12


class LatentRGB(BaseModel):
    """An affine map from latent channels to RGB in -1 to 1: `weight` [channels][3], `bias` [3]."""

    model_config = ConfigDict(extra="forbid")

    weight: list[list[float]]
    bias: list[float]

    def picture(self, latent: Tensor) -> np.ndarray:
        """uint8 `[H, W, 3]` of one latent frame `[C, H, W]`, any dtype or device."""
        weight = torch.tensor(self.weight, dtype=torch.float32)
        colours = latent.float().cpu().movedim(0, -1) @ weight + torch.tensor(self.bias)
        return to_uint8(colours).numpy()


def to_uint8(pixels: Tensor) -> Tensor:
    """Pixels in -1 to 1, any shape, as uint8 0 to 255, rounded."""
    return ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def fit_latent_rgb(latents: Tensor, frames: Tensor) -> LatentRGB:
    """The map with the least squared error from latents to the mean colours of what they stand for.

    latents `[B, C, F, H, W]`, scaled as the transformer sees them; frames `[B, 3, 4 (F - 1) + 1, 8 H, 8 W]` in -1 to 1.
    The first latent frame stands for the first frame, each later one for 4.
    """
    channels, latent_frames = latents.shape[1:3]
    side = frames.shape[-1] // latents.shape[-1]
    small = torch.nn.functional.avg_pool3d(frames.float(), (1, side, side))
    later = small[:, :, 1:].unflatten(2, (latent_frames - 1, -1)).mean(3) if latent_frames > 1 else small[:, :, 1:]
    colours = torch.cat([small[:, :, :1], later], dim=2)
    inputs = latents.float().movedim(1, -1).reshape(-1, channels)
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1, device=inputs.device)], dim=1).double().cpu()
    solution = torch.linalg.lstsq(inputs, colours.movedim(1, -1).reshape(-1, 3).double().cpu()).solution
    rounded = [[round(value, 5) for value in row] for row in solution.tolist()]
    return LatentRGB(weight=rounded[:-1], bias=rounded[-1])


def middle_latents(layout: TokenLayout) -> list[int]:
    """For each segment, the latent frame in its middle."""
    return [own[len(own) // 2] for own in map(layout.latents_of, range(layout.segments))]


def middle_frames(layout: TokenLayout) -> list[int]:
    """For each segment, the video frame in its middle: the middle one of those that `middle_latents` stand for."""
    per_latent = SEGMENT_SECONDS * FRAMES_PER_SECOND // layout.latents_per_segment
    return [per_latent * latent - per_latent // 2 for latent in middle_latents(layout)]


def latent_thumbnails(latents: Tensor, layout: TokenLayout, to_rgb: LatentRGB) -> list[np.ndarray]:
    """A picture of each segment's middle from latents `[F, C, H, W]`."""
    return [to_rgb.picture(latents[frame]) for frame in middle_latents(layout)]


def save_contact_sheet(path: Path, thumbnails: Sequence[np.ndarray], aspect: float) -> None:
    """Pictures uint8 `[h, w, 3]` of any size in rows, numbered from 1, as a PNG; `aspect` is width / height of a frame.

    The file is replaced whole or not at all; OutputError where it cannot be written.
    """
    part = aside(path)
    try:
        lay_out(thumbnails, aspect).save(part, format="PNG")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise output_error(path, error) from error


def lay_out(thumbnails: Sequence[np.ndarray], aspect: float) -> Image.Image:
    """The sheet as a picture: at most seven in a row (a minute is 3 rows of 7), each with its number under it."""
    columns = min(MOST_COLUMNS, len(thumbnails))
    rows = -(-len(thumbnails) // columns)
    width, height = THUMBNAIL_WIDTH, round(THUMBNAIL_WIDTH / aspect)
    cell_width, cell_height = width + GAP, height + LABEL_HEIGHT + GAP
    sheet = Image.new("RGB", (columns * cell_width + GAP, rows * cell_height + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for number, thumbnail in enumerate(thumbnails):
        left, top = GAP + number % columns * cell_width, GAP + number // columns * cell_height
        sheet.paste(Image.fromarray(thumbnail).resize((width, height), Image.Resampling.BICUBIC), (left, top))
        draw.text((left, top + height), str(number + 1), fill="black")
    return sheet
