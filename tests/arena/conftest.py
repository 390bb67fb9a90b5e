"""Votes and videos to test on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from storyreel.arena.ballots import Ballots
from storyreel.arena.votes import Vote


@pytest.fixture
def make_vote() -> Callable[..., Vote]:
    """A vote, with whatever is given changed; each has a pair of its own."""
    made = 0

    def make(model_a: str = "a", model_b: str = "b", winner: str = "model_a", **change) -> Vote:
        nonlocal made
        made += 1
        fields = {"judge": "rater", "tstamp": 10.0 + made, "axis": "aesthetics", "story": "one", "pair_id": f"p{made}"}
        return Vote.model_validate({"model_a": model_a, "model_b": model_b, "winner": winner} | fields | change)

    return make


def ballots_of(rows: list[tuple[int, int, int, int]], methods: int, raters: int) -> Ballots:
    """One axis; rows are (left, right, outcome, rater)."""
    left, right, outcome, rater = np.array(rows).T
    names = tuple(f"method {at}" for at in range(methods))
    raters_names = tuple(f"rater {at}" for at in range(raters))
    blank = np.zeros(len(rows), np.int64)
    return Ballots(names, raters_names, ("axis",), left, right, outcome, rater, blank, np.arange(len(rows)))


@pytest.fixture
def make_ballots() -> Callable[..., Ballots]:
    return ballots_of


def draw_video(
    path: Path,
    seconds: float,
    *,
    seed: int = 0,
    width: int = 96,
    height: int = 64,
    rate: int = 16,
    noise: int = 0,
    comment: str = "",
) -> Path:
    """An MP4 of a square that moves 3 pixels a frame over a plain ground; `noise` makes it hard to encode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        container.metadata["comment"] = comment
        stream: Any = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(round(seconds * rate)):
            pixels = np.full((height, width, 3), 40 * (seed % 5 + 1), np.int16)
            at = number * 3 % (width - 16)
            pixels[20:36, at : at + 16] = 250 - 30 * (seed % 7)
            pixels += random.integers(-noise, noise + 1, pixels.shape, np.int16)
            frame = av.VideoFrame.from_ndarray(pixels.clip(0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def drawn() -> Callable[..., Path]:
    return draw_video
