"""Films that are made for the tests: small, with everything about them known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLCogVideoX

from storyreel.data import build
from storyreel.data.film import FilmRow
from storyreel.data.manifest import Account, read_rows
from storyreel.data.paths import relative
from storyreel.data.segments import SegmentRow, SegmentsConfig
from storyreel.data.step import Job, Outcome, Step, run_step
from storyreel.models.text import build_text_encoder, build_tokenizer
from storyreel.models.transformer import StoryreelTransformer3DModel
from storyreel.models.vae import set_window
from storyreel.sampling.pipeline import StoryreelPipeline, save_pipeline
from storyreel.sampling.schedulers import build_scheduler
from storyreel.storyboard.reader import read_storyboard
from storyreel.toons.vocabulary import words
from storyreel.toons.writer import write_stories


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


def write_model(folder: Path, seed: int = 0, window: int | None = None) -> Path:
    """A whole model folder of real classes at a tiny size, for videos of 48x32 pixels and texts of 160 tokens.

    window: frames after which its autoencoder begins anew.
    """
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(words())
    transformer = StoryreelTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=1,
        time_embed_dim=16,
        in_channels=4,
        out_channels=4,
        text_embed_dim=32,
        max_text_seq_length=160,
        sample_width=6,
        sample_height=4,
        use_rotary_positional_embeddings=True,
        mixer_mini_batch=16,
    )
    vae = AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8), latent_channels=4, layers_per_block=1, norm_num_groups=4, scaling_factor=0.7
    )
    set_window(vae, window)
    encoder = build_text_encoder(len(tokenizer), width=32, layers=1, heads=2)
    pipeline = StoryreelPipeline(tokenizer, encoder, transformer, vae, build_scheduler("ddim"))
    save_pipeline(pipeline, folder, height=32, width=48, max_text_tokens=160, recipe="tiny", stages=[3])
    return folder


def write_captions(films: Path, segments: Path, output: Path, texts: dict[str, list[str]] | None = None) -> Path:
    """A step folder `captions` with the storyboards' texts, by the time of each segment."""
    names = {row.id: row.path for row in read_rows(segments.parent / "probe", FilmRow)}
    if texts is None:
        boards = {name: read_storyboard(films / name.replace(".mp4", ".json")) for name in names.values()}
        texts = {name: [own.text for own in board.segments] for name, board in boards.items()}
    jobs = []
    for row in read_rows(segments, SegmentRow):
        text = texts[names[row.film]][round(Fraction(row.start_seconds) / 3)]
        jobs.append(Job(row.id, {"text": text}, {"id": row.id, "text": text}))
    run_step(CAPTIONS, jobs, output, build.BuildConfig(), source=relative(segments, output), workers=1)
    return output


def _caption(payload: dict[str, str], config: object, output: Path) -> Outcome:
    row = {**payload, "provenance": {"by": "storyboard"}}
    return Outcome(rows=[row], accounts=[Account(unit="caption", seen=1, kept=1, dropped=0)])


CAPTIONS = Step("captions", 1, "caption", (), (), _caption)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def model_writer() -> Callable[..., Path]:
    return write_model


@pytest.fixture(scope="session")
def caption_writer() -> Callable[..., Path]:
    return write_captions


@pytest.fixture(scope="session")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of two drawn stories of 9 s up to segments and captions, at 48x32. To be read, not changed."""
    root = tmp_path_factory.mktemp("captioned")
    write_stories(root / "films", 2, 9, 64, 96, seed=5, workers=1)
    config = build.BuildConfig(segments=SegmentsConfig(width=48, height=32))
    build.run(root / "films", root / "out", config, workers=1)
    write_captions(root / "films", root / "out/segments", root / "out/captions")
    return root / "out"


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
