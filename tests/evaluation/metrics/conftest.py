"""A drawn story with places and characters that come again, and the networks that look at it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from storyreel.assets import DEMO_PROBE
from storyreel.evaluation.metrics.video import Eyes, open_eyes
from storyreel.sampling.video import VideoWriter
from storyreel.toons.writer import write_stories

SEED = 45
"""Four scenes at three places by day, and two seams without a cut."""


@pytest.fixture(scope="session")
def eyes() -> Eyes:
    return open_eyes(None, DEMO_PROBE, torch.device("cpu"))


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    write_stories(folder, 1, 21, 96, 144, seed=SEED, workers=1)
    return folder / f"story_{SEED:08d}.mp4"


def write_clip(path: Path, seed: int, frames: int = 49) -> Path:
    """A small video of one moving pattern."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pattern = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    with VideoWriter(path, 48, 64) as writer:
        for number in range(frames):
            writer.write(np.roll(pattern, number, axis=1)[None, :48, :64])
    return path


@pytest.fixture(scope="session")
def clip():
    return write_clip
