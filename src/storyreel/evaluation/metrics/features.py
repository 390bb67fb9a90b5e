"""What a picture shows, as a vector: from weights in a given folder (CLIP, DINO), else from the demo's own probe.

Nothing is downloaded. A result carries the SHA-256 of the weights that made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F

from storyreel.evaluation.metrics.folder_features import FolderFeatures, batch_of, hash_of_weights
from storyreel.evaluation.probe import Probe, load_probe

PROBE_SIZE = (128, 192)


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
        pixels = batch_of(pictures, self._device)
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


def open_features(weights: Path | None, probe: Path, device: torch.device) -> tuple[Extractor, ProbeFeatures]:
    """(what features come from, the probe that reads places and characters)."""
    own = ProbeFeatures(probe, device)
    return (own if weights is None else FolderFeatures(weights, device)), own
