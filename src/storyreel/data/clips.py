"""Clips for training on disk: frames, marked texts and labels, a pair of files each.

`clip_000123.npy.gz` holds uint8 `[frames, height, width, 3]`, `clip_000123.json` its texts and labels.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from storyreel.toons.script import PlaceKind, Species

PLACES: tuple[str, ...] = get_args(PlaceKind)
CHARACTERS: tuple[str, ...] = get_args(Species)


@dataclass(frozen=True)
class Clip:
    """One clip: `places[i]` indexes PLACES, `characters[i]` has the indices in CHARACTERS of those in segment i."""

    frames: np.ndarray
    texts: tuple[str, ...]
    places: tuple[int, ...]
    characters: tuple[tuple[int, ...], ...]


def clip_numbers(folder: Path) -> list[int]:
    """Numbers of the clips that are complete in `folder`, ascending."""
    return sorted(int(path.stem.removeprefix("clip_")) for path in folder.glob("clip_??????.json"))


def read_clip(folder: Path, number: int) -> Clip:
    """Reads a complete clip back."""
    record = json.loads(record_path(folder, number).read_text(encoding="utf-8"))
    with gzip.open(frames_path(folder, number), "rb") as file:
        frames = np.load(file, allow_pickle=False)
    return Clip(frames, tuple(record["texts"]), tuple(record["places"]), tuple(map(tuple, record["characters"])))


def frames_path(folder: Path, number: int) -> Path:
    """Where the frames of a clip lie."""
    return folder / f"clip_{number:06d}.npy.gz"


def record_path(folder: Path, number: int) -> Path:
    """Where the texts and labels of a clip lie; written last, so a clip with a record is complete."""
    return folder / f"clip_{number:06d}.json"
