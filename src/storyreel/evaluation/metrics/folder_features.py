"""Features of a CLIP, DINO or DINOv2 model in a given folder, in the format of transformers, safetensors only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError

from storyreel.data.fingerprint import hash_of_file
from storyreel.errors import WeightsError

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
KINDS = ("clip", "clip_vision_model", "dinov2", "vit")
PREPROCESSING = "preprocessor_config.json"
NEAREST, BILINEAR, BICUBIC = 0, 2, 3
"""Pillow's numbers, which `resample` has."""


@dataclass(frozen=True)
class Preprocessing:
    """What a model wants done to a picture: resized to `size` (height and width, or the short side), the middle
    `crop` (height, width) cut out, and each channel (0 to 1) normalised."""

    size: tuple[int, int] | int
    crop: tuple[int, int] | None
    mean: Sequence[float]
    std: Sequence[float]
    resample: int = BICUBIC
    normalised: bool = True

    @classmethod
    def of(cls, folder: Path, kind: str, side: int) -> Preprocessing:
        """As PREPROCESSING in the folder says; without one, as CLIP and DINO do it for pictures of `side` pixels.

        WeightsError: the file is no JSON object, or its sizes are of another form.
        """
        path = folder / PREPROCESSING
        mean, std = (CLIP_MEAN, CLIP_STD) if kind.startswith("clip") else (IMAGENET_MEAN, IMAGENET_STD)
        if not path.is_file():
            return cls(side, (side, side), mean, std)
        try:
            own: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            size = _size(own.get("size", side))
            crop = _size(own.get("crop_size", size)) if own.get("do_center_crop", kind != "vit") else None
            if isinstance(crop, int):
                crop = (crop, crop)
            return cls(
                size,
                crop,
                own.get("image_mean") or mean,
                own.get("image_std") or std,
                int(own.get("resample", BILINEAR if kind == "vit" else BICUBIC)),
                bool(own.get("do_normalize", True)),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise WeightsError(f"{path} does not say how pictures are prepared: {error}. Copy it again.") from error

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width of what comes out; None where that depends on the picture."""
        return self.crop or (self.size if isinstance(self.size, tuple) else None)

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """float32 `[n, 3, H, W]` of 0 to 255, prepared."""
        height, width = pixels.shape[-2:]
        if isinstance(self.size, tuple):
            size = self.size
        else:
            scale = self.size / min(height, width)
            size = (max(self.size, int(height * scale)), max(self.size, int(width * scale)))
        mode = {NEAREST: "nearest", BILINEAR: "bilinear"}.get(self.resample, "bicubic")
        smooth = {} if mode == "nearest" else {"antialias": True}
        pixels = F.interpolate(pixels, size, mode=mode, **smooth).round().clamp(0, 255) / 255
        if self.crop:
            tall, wide = self.crop
            pad = max(0, tall - size[0]), max(0, wide - size[1])
            pixels = F.pad(pixels, (pad[1] // 2, pad[1] - pad[1] // 2, pad[0] // 2, pad[0] - pad[0] // 2))
            top, left = (pixels.shape[-2] - tall) // 2, (pixels.shape[-1] - wide) // 2
            pixels = pixels[..., top : top + tall, left : left + wide]
        if not self.normalised:
            return pixels
        mean, std = (torch.tensor(own, device=pixels.device)[:, None, None] for own in (self.mean, self.std))
        return (pixels - mean) / std


def _size(told: Any) -> tuple[int, int] | int:
    if isinstance(told, dict):
        return int(told["shortest_edge"]) if "shortest_edge" in told else (int(told["height"]), int(told["width"]))
    return int(told)


class FolderFeatures:
    """CLIP's image embeddings (of a CLIP without a projection its pooled output), or DINO's class tokens."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        """WeightsError: no such model, none of KINDS, weights missing or no safetensors, or preprocessing that does
        not fit."""
        self._model, kind, side = _load(folder)
        self._prepare = Preprocessing.of(folder, kind, side)
        # DINOv2 stretches its positions to any size; the others have been trained on one.
        if kind != "dinov2" and self._prepare.shape != (side, side):
            raise WeightsError(
                f"{folder / PREPROCESSING} makes pictures of {self._prepare.shape}, but the model takes {side} x {side}"
                " pixels. Copy both files from one place."
            )
        torch.nn.Module.to(self._model, device)
        self._device = device
        self.name = f"{kind} of {folder.resolve().name}"
        self.sha256 = hash_of_weights(folder)

    @torch.no_grad()
    def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        found = self._model(pixel_values=self._prepare(batch_of(pictures, self._device)))
        embedding = getattr(found, "image_embeds", None)
        if embedding is None and self._model.config.model_type.startswith("clip"):
            embedding = found.pooler_output
        return (found.last_hidden_state[:, 0] if embedding is None else embedding).float().cpu().numpy()


def batch_of(pictures: Sequence[np.ndarray], device: torch.device) -> torch.Tensor:
    """Pictures uint8 `[H, W, 3]` as float32 `[n, 3, H, W]` of 0 to 255."""
    return torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).float()


def hash_of_weights(folder: Path) -> str:
    """SHA-256 of a folder's weights; of several files, that of their names and hashes. WeightsError without any."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = [path.name for path in sorted(folder.glob("*.bin")) + sorted(folder.glob("*.pt*"))]
        found = f", only {pickles[0]}, a pickle, which could run anything" if pickles else ""
        raise WeightsError(f"{folder} has no weights as safetensors{found}. Save the model with save_pretrained.")
    if len(files) == 1:
        return hash_of_file(files[0])
    lines = "".join(f"{path.name} {hash_of_file(path)}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _load(folder: Path) -> tuple[Any, str, int]:
    """(model, kind, side of the pictures that it was trained on)."""
    from transformers import AutoConfig, AutoModel, CLIPVisionModel, CLIPVisionModelWithProjection

    if not folder.is_dir():
        raise WeightsError(f"{folder} is no folder. Give one that holds a CLIP or DINO model.")
    hash_of_weights(folder)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        kind = config.model_type
        if kind not in KINDS:
            raise WeightsError(f"{folder} holds a {kind}, but features come from {', '.join(KINDS)}.")
        model, lacks = _weights(CLIPVisionModelWithProjection if kind.startswith("clip") else AutoModel, folder)
        if any("visual_projection" in name for name in lacks):
            model, lacks = _weights(CLIPVisionModel, folder)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0]
        raise WeightsError(f"{folder} holds no model that can be read: {first} Copy it again.") from error
    # What ViT pools with is not looked at, and DINO's weights have none.
    if lost := [name for name in lacks if not name.startswith("pooler.")]:
        raise WeightsError(f"{folder} lacks {len(lost)} of the model's weights, {lost[0]} among them. Copy it again.")
    return model.eval(), kind, getattr(config, "vision_config", config).image_size


def _weights(model: Any, folder: Path) -> tuple[Any, list[str]]:
    """(the model of a folder, names of weights that the folder lacks and that were made up)."""
    loaded, info = model.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    return loaded, sorted(info["missing_keys"])
