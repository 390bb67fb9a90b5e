"""Films that are made for the tests: small, with everything about them known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest


def write_film(
    path: Path,
    frames: Iterable[np.ndarray],
    rate: Fraction | int = 24,
    *,
    ticks: list[int] | None = None,
    time_base: Fraction | None = None,
    aspect: Fraction | None = None,
    rotation: int = 0,
    codec: str = "libx264",
    interlaced: bool = False,
    sound: bool = False,
) -> Path:
    """A film of RGB frames; `ticks` are their times in `time_base`, `rotation` is counter-clockwise."""
    frames = list(frames)
    options = {"crf": "10", "preset": "veryfast"} if codec == "libx264" else {}
    if interlaced:
        options |= {"flags": "+ildct+ilme"}
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=Fraction(rate), options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p" if codec != "mjpeg" else "yuvj420p"
        stream.codec_context.thread_count = 1
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        if time_base:
            stream.codec_context.time_base = time_base
        tone: Any = container.add_stream("aac", rate=8000) if sound else None
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            if ticks:
                frame.pts, frame.time_base = ticks[number], time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone:
            add_tone(container, tone)
    return path


def add_tone(container: Any, stream: Any) -> None:
    samples = np.sin(np.arange(8192) / 10).astype(np.float32)[None]
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 8000, 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_sound(path: Path) -> Path:
    """A file with sound alone."""
    with av.open(str(path), "w") as container:
        add_tone(container, container.add_stream("aac", rate=8000))
    return path


def drifting_squares(frames: int, height: int = 48, width: int = 64, seed: int = 0) -> list[np.ndarray]:
    """A still, colourful picture over which a bright square wanders; frame k holds k in its corner, as 8 bits.

    The bits are blocks of 4 x 4 pixels along the top, white for 1, so that they live through H.264.
    """
    chance = np.random.default_rng(seed)
    blocks = chance.integers(40, 200, (height // 8, width // 8, 3))
    ground = np.kron(blocks, np.ones((8, 8, 1))).astype(np.uint8)
    film = []
    for number in range(frames):
        picture = ground.copy()
        x = 4 + number // 2 % (width - 16)
        picture[20:28, x : x + 8] = 230
        for bit in range(10):
            picture[0:4, 4 * bit : 4 * bit + 4] = 255 if number >> bit & 1 else 0
        film.append(picture)
    return film


def number_in(picture: np.ndarray) -> int:
    """The number that `drifting_squares` wrote into a frame (uint8 `[H, W, 3]`, not scaled)."""
    return sum(1 << bit for bit in range(10) if picture[1:3, 4 * bit + 1 : 4 * bit + 3].mean() > 128)


@pytest.fixture(scope="session")
def film_writer() -> Callable[..., Path]:
    return write_film


@pytest.fixture(scope="session")
def sound_writer() -> Callable[[Path], Path]:
    return write_sound


@pytest.fixture(scope="session")
def squares() -> Callable[..., list[np.ndarray]]:
    return drifting_squares


@pytest.fixture(scope="session")
def read_number() -> Callable[[np.ndarray], int]:
    return number_in
