"""Pictures enlarged by a super-resolution model of a file, tile by tile, so that memory does not grow with the picture.

spandrel tells the architecture by the names and shapes of the weights. Files are safetensors: a pickle may run code
when it is read.
"""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from storyreel.data.model_file import check_file
from storyreel.data.models_at_work import DTYPES
from storyreel.errors import ConfigError, WeightsError

CHANNELS = 3


class Enlarger(Protocol):
    """A model of pictures `[1, 3, H, W]`, in 0 to 1, whose sides it makes `scale` times as long."""

    @property
    def scale(self) -> int: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def dtype(self) -> torch.dtype: ...
    def __call__(self, image: Tensor) -> Tensor: ...


@functools.lru_cache(maxsize=1)
def model_at_work(path: str, digest: str, device: str, dtype: str) -> Enlarger:
    """The model of a file, ready to enlarge; `digest` is the file's hash, so that a changed file is loaded anew.

    WeightsError for a file that cannot be read, an architecture that spandrel does not know, and a model that does not
    enlarge RGB pictures, has to see a picture whole, or cannot compute in `dtype`.
    """
    del digest
    check_file(Path(path))
    spandrel = _spandrel()
    try:
        model = spandrel.ModelLoader(torch.device(device)).load_from_state_dict(load_file(path))
    except SafetensorError as error:
        raise WeightsError(f"{path} cannot be read: {error}. Fetch the file again.") from error
    except spandrel.UnsupportedModelError as error:
        raise WeightsError(
            f"{path} is of no architecture that spandrel knows. Its README lists those it does."
        ) from error
    trouble = _trouble(spandrel, model, dtype)
    if trouble:
        raise WeightsError(f"{path} ({model.architecture.name}) {trouble}.")
    return model.to(DTYPES[dtype]).eval()


def _spandrel() -> Any:
    """The library; an extra that takes seconds to import. ConfigError where its torchvision is not that of torch."""
    try:
        return importlib.import_module("spandrel")
    except RuntimeError as error:
        raise ConfigError(
            f"spandrel cannot be imported: {error}. Install torchvision from the same index as torch, in the version "
            "that belongs to it."
        ) from error


def _trouble(spandrel: Any, model: Any, dtype: str) -> str:
    if not isinstance(model, spandrel.ImageModelDescriptor) or model.scale < 2:
        return "does not enlarge pictures. Give a model whose scale is 2 or more"
    if (model.input_channels, model.output_channels) != (CHANNELS, CHANNELS):
        return f"takes {model.input_channels} channels and gives {model.output_channels}, but RGB has 3. Give another"
    if model.tiling != spandrel.ModelTiling.SUPPORTED:
        return "has to see a picture whole, so its memory has no bound. Give a model that can be tiled"
    if dtype == "bfloat16" and not model.supports_bfloat16:
        return "cannot compute in bfloat16. Give --dtype float32"
    return ""


def enlarge(model: Enlarger, picture: np.ndarray, tile: int, margin: int) -> np.ndarray:
    """A picture uint8 `[H, W, 3]` RGB as uint8 `[scale H, scale W, 3]`, tiles of `tile` x `tile` pixels one by one.

    Each is shown to the model with up to `margin` pixels of the picture around it, which are cut away from the result:
    a model that sees no farther gives what it would give of the whole picture.
    """
    height, width, _ = picture.shape
    scale = model.scale
    whole = np.empty((height * scale, width * scale, CHANNELS), np.uint8)
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            bottom, right = min(top + tile, height), min(left + tile, width)
            above, before = max(0, top - margin), max(0, left - margin)
            seen = picture[above : bottom + margin, before : right + margin]
            made = _as_bytes(model(_as_tensor(model, seen)))
            whole[top * scale : bottom * scale, left * scale : right * scale] = made[
                (top - above) * scale : (bottom - above) * scale, (left - before) * scale : (right - before) * scale
            ]
    return whole


def _as_tensor(model: Enlarger, picture: np.ndarray) -> Tensor:
    pixels = torch.from_numpy(np.ascontiguousarray(picture)).to(model.device)
    return pixels.to(model.dtype).div(255).permute(2, 0, 1)[None]


def _as_bytes(pixels: Tensor) -> np.ndarray:
    return pixels[0].permute(1, 2, 0).float().mul(255).round().to(torch.uint8).cpu().numpy()
