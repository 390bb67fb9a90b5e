"""What a picture shows, as a vector: from weights in a given folder (CLIP, DINO), else from the demo's own probe.

Nothing is downloaded. A result carries the SHA-256 of the weights that made it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError

from storyreel.data.fingerprint import hash_of_file
from storyreel.errors import WeightsError
from storyreel.evaluation.probe import Probe, load_probe

PROBE_SIZE = (128, 192)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
KINDS = ("clip", "clip_vision_model", "dinov2", "vit")


class Extractor(Protocol):
    """Pictures, uint8 `[H, W, 3]` of one size, to features float32 `[n, D]`. `name` says whose features they are."""

    name: str
    sha256: str

    def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray: ...


class ProbeFeatures:
    """The demo's probe: small, trained on toons alone. What it takes for alike need not look alike to people."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.probe: Probe = load_probe(folder)
        torch.nn.Module.to(self.probe, device)
        self.name = "storyreel's probe"
        self.sha256 = hash_of_weights(folder)
        self._device = device

    @torch.no_grad()
    def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        pixels = _batch(pictures, self._device)
        if pixels.shape[-2:] != PROBE_SIZE:
            pixels = F.interpolate(pixels, PROBE_SIZE, mode="bilinear", antialias=True)
        return self.probe.features((pixels / 127.5 - 1)[:, None])[:, 0].cpu().numpy()

    @torch.no_grad()
    def read(self, features: np.ndarray) -> tuple[str, frozenset[str]]:
        """(place, species) that the probe reads in the frames of one segment, features `[n, D]`."""
        mean = torch.from_numpy(features).mean(0, keepdim=True).to(self._device)
        place = int(self.probe.to_places(mean).argmax())
        seen = (self.probe.to_characters(mean)[0] > 0).tolist()
        names = self.probe.config["characters"]
        return self.probe.config["places"][place], frozenset(n for n, there in zip(names, seen, strict=True) if there)


class FolderFeatures:
    """CLIP's image embeddings or DINO's class tokens, from a folder in the format of transformers.

    Pictures are resized so that the short side fits, and the middle is cut out, as CLIP and DINO do it.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        """WeightsError: no such model, none of KINDS, or weights that are no safetensors."""
        self._model, kind, side = _load(folder)
        torch.nn.Module.to(self._model, device)
        self._device, self._side = device, side
        self._mean, self._std = _normalisation(folder, kind)
        self.name = f"{kind} of {folder.resolve().name}"
        self.sha256 = hash_of_weights(folder)

    @torch.no_grad()
    def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        pixels = _batch(pictures, self._device) / 255
        height, width = pixels.shape[-2:]
        scale = self._side / min(height, width)
        size = (max(self._side, round(height * scale)), max(self._side, round(width * scale)))
        pixels = F.interpolate(pixels, size, mode="bicubic", antialias=True).clamp(0, 1)
        top, left = (size[0] - self._side) // 2, (size[1] - self._side) // 2
        pixels = pixels[..., top : top + self._side, left : left + self._side]
        mean, std = (torch.tensor(own, device=self._device)[:, None, None] for own in (self._mean, self._std))
        found = self._model(pixel_values=(pixels - mean) / std)
        embedding = getattr(found, "image_embeds", None)
        return (found.last_hidden_state[:, 0] if embedding is None else embedding).float().cpu().numpy()


def open_features(weights: Path | None, probe: Path, device: torch.device) -> tuple[Extractor, ProbeFeatures]:
    """(what features come from, the probe that reads places and characters)."""
    own = ProbeFeatures(probe, device)
    return (own if weights is None else FolderFeatures(weights, device)), own


def hash_of_weights(folder: Path) -> str:
    """SHA-256 of a folder's weights; of several files, that of their names and hashes. WeightsError without any."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise WeightsError(f"{folder} has no weights as safetensors. Save the model with save_pretrained.")
    if len(files) == 1:
        return hash_of_file(files[0])
    lines = "".join(f"{path.name} {hash_of_file(path)}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _load(folder: Path) -> tuple[Any, str, int]:
    from transformers import AutoConfig, AutoModel, CLIPVisionModelWithProjection

    hash_of_weights(folder)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if config.model_type not in KINDS:
            raise WeightsError(f"{folder} holds a {config.model_type}, but features come from {', '.join(KINDS)}.")
        is_clip = config.model_type.startswith("clip")
        model = (CLIPVisionModelWithProjection if is_clip else AutoModel).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0]
        raise WeightsError(f"{folder} holds no model that can be read: {first} Copy it again.") from error
    side = getattr(config, "vision_config", config).image_size
    return model.eval(), config.model_type, side


def _normalisation(folder: Path, kind: str) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation of the colours, from the folder where it says them."""
    path = folder / "preprocessor_config.json"
    own = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    usual = (CLIP_MEAN, CLIP_STD) if kind.startswith("clip") else (IMAGENET_MEAN, IMAGENET_STD)
    return own.get("image_mean", usual[0]), own.get("image_std", usual[1])


def _batch(pictures: Sequence[np.ndarray], device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).float()
