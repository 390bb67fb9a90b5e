"""Step `latents`: the takes of the segments, encoded once by a model's autoencoder, as mean and log-variance.

LATENTS/rows.jsonl                       a LatentRow for every segment
LATENTS/takes/FILM/SHOT.safetensors      ID.mean and ID.logvar of each segment of a take, bfloat16 [13, C, H, W]

Segments that follow each other in a take are encoded in one go, so that only the first of them begins without a past.
Of a segment's 13 latents the first stands for its first frame alone, as it has to be where a window begins; the 12
others are those of the whole run, and the only ones where a window goes on. An autoencoder that begins anew with each
segment (models/vae.py `set_window`) encodes each by itself, which gives the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX
from safetensors.torch import save_file
from torch import Tensor

from storyreel.data.estimate import AtWork, Estimate, free_bytes, run_estimated
from storyreel.data.files import whole
from storyreel.data.fingerprint import hash_of
from storyreel.data.latent_rows import LatentRow, hash_of_moments
from storyreel.data.manifest import Account, Dropped, Manifest, read_manifest, read_record, read_rows
from storyreel.data.models_at_work import check_dtype, hash_of_part, one_thread, vae_at_work
from storyreel.data.paths import relative
from storyreel.data.segments import SegmentRow
from storyreel.data.step import Job, Outcome, Step
from storyreel.data.takes import SEGMENT_FRAMES, read_take
from storyreel.errors import DataError
from storyreel.geometry import LatentShape, PixelShape
from storyreel.models.sizes import ModelSizes
from storyreel.models.vae import encode, encode_stream, window_of

BYTES_A_VALUE = 4
"""Mean and log-variance, two bytes each."""


@dataclass(frozen=True)
class LatentsConfig:
    """How takes are encoded. dtype: in which the autoencoder computes, "float32" or "bfloat16"."""

    dtype: str = "float32"

    def __post_init__(self) -> None:
        check_dtype(self.dtype)


def run(
    segments: Path,
    output: Path,
    config: LatentsConfig,
    *,
    model: Path,
    device: str = "cpu",
    **at_work: Unpack[AtWork],
) -> Manifest:
    """Encodes every segment of the step `segments` (its folder) with the autoencoder of a model folder.

    Rows are `LatentRow`s. A GPU's last bits are not those of a CPU, so hashes agree on one kind of device only; with a
    GPU `workers` should be 1. DataError where the disk is too small, GeometryError where the segments' size fits no
    latents.
    """
    manifest = read_manifest(segments, "segments")
    shape = latent_shape(manifest, model)
    digest = hash_of_part(model, "vae")
    by_shot: dict[str, list[SegmentRow]] = {}
    for row in read_rows(segments, SegmentRow):
        by_shot.setdefault(row.shot, []).append(row)
    jobs = [_job(segments, shot, rows, model, digest, device) for shot, rows in sorted(by_shot.items())]
    return run_estimated(
        STEP,
        jobs,
        output,
        config,
        source=relative(segments, output),
        guess=lambda todo, processes: _estimate(todo, output, config, shape, processes),
        at_work=at_work,
    )


def latent_shape(segments: Manifest, model: Path) -> LatentShape:
    """Size of one segment's latents; GeometryError where the segments' size gives the model no whole patches."""
    sizes = ModelSizes.read(model)
    pixels = PixelShape(SEGMENT_FRAMES + 1, segments.config["height"], segments.config["width"])
    shape = pixels.latent(sizes.compression)
    shape.grid(sizes.patch)
    return shape


@dataclass(frozen=True)
class _Payload:
    folder: str
    segments: tuple[SegmentRow, ...]
    model: str
    digest: str
    device: str


def _job(folder: Path, shot: str, rows: Sequence[SegmentRow], model: Path, digest: str, device: str) -> Job:
    record = read_record(folder, shot)
    take = next((own for own in record.artefacts if own.path == rows[0].take), None) if record else None
    if take is None:
        raise DataError(f"{folder} has no record of {rows[0].take}. Run storyreel data segments again.")
    ordered = sorted(rows, key=lambda row: row.number)
    chain = [(row.id, row.first_frame, row.follows) for row in ordered]
    inputs = {"take": take.sha256, "segments": hash_of(chain), "vae": digest}
    return Job(shot, inputs, _Payload(str(folder), tuple(ordered), str(model), digest, device))


def _estimate(todo: Sequence[Job], output: Path, config: LatentsConfig, shape: LatentShape, processes: int) -> Estimate:
    segments = sum(len(job.payload.segments) for job in todo)
    values = shape.frames * shape.channels * shape.height * shape.width
    seconds = _seconds_a_segment(todo[0].payload, config) * segments / processes
    size = segments * values * BYTES_A_VALUE
    return Estimate("latents", segments, "segments", size, free_bytes(output), seconds)


def _seconds_a_segment(payload: _Payload, config: LatentsConfig) -> float:
    """By the second chunk of the first take: loading and warming up are not counted."""
    with one_thread():
        vae = vae_at_work(payload.model, payload.digest, payload.device, config.dtype)
        size = vae.num_sample_frames_batch_size
        first = payload.segments[0]
        frames = _pixels(Path(payload.folder) / first.take, first.first_frame, first.first_frame + 2 * size)
        chunks = encode_stream(vae, frames, 2 * size + 1)
        next(chunks)
        start = time.monotonic()
        next(chunks)
        return (time.monotonic() - start) * SEGMENT_FRAMES / size


def _work(payload: _Payload, config: LatentsConfig, output: Path) -> Outcome:
    first = payload.segments[0]
    take = Path(payload.folder) / first.take
    name = f"takes/{first.film}/{first.shot}.safetensors"
    outcome, tensors = Outcome(), {}
    with one_thread():
        vae = vae_at_work(payload.model, payload.digest, payload.device, config.dtype)
        for chain in _chains(payload.segments, alone=begins_anew(vae)):
            for row, mean, logvar in encode_chain(vae, take, chain):
                if not bool(mean.isfinite().all() and logvar.isfinite().all()):
                    detail = f"{row.take}, segment {row.number}: its latents are not finite"
                    outcome.dropped.append(Dropped(id=row.id, unit="segment", reason="not finite", detail=detail))
                    continue
                tensors |= {f"{row.id}.mean": mean, f"{row.id}.logvar": logvar}
                own = LatentRow(
                    id=row.id,
                    film=row.film,
                    shot=row.shot,
                    file=name,
                    shape=(mean.shape[0], mean.shape[1], mean.shape[2], mean.shape[3]),
                    encoder=payload.digest,
                    sha256=hash_of_moments(mean, logvar),
                )
                outcome.rows.append(own.model_dump(mode="json"))
    if tensors:
        with whole(output / name) as part:
            save_file(tensors, part, metadata={"encoder": payload.digest})
        outcome.artefacts.append(name)
    kept, lost = len(outcome.rows), len(outcome.dropped)
    outcome.accounts = [Account(unit="segment", seen=kept + lost, kept=kept, dropped=lost)]
    return outcome


def begins_anew(vae: AutoencoderKLCogVideoX) -> bool:
    """Whether each segment's latents are the same alone and within its take: a window of the VAE ends where it does."""
    window = window_of(vae)
    return window is not None and SEGMENT_FRAMES % window == 0


def _chains(rows: Sequence[SegmentRow], *, alone: bool) -> Iterator[list[SegmentRow]]:
    """Segments of a take that follow each other without a gap; alone: each for itself."""
    chain: list[SegmentRow] = []
    for row in rows:
        if chain and (alone or row.follows != chain[-1].id):
            yield chain
            chain = []
        chain.append(row)
    yield chain


@torch.no_grad()
def encode_chain(
    vae: AutoencoderKLCogVideoX, take: Path, chain: Sequence[SegmentRow]
) -> Iterator[tuple[SegmentRow, Tensor, Tensor]]:
    """(segment, mean, logvar) of segments that follow each other; tensors bfloat16 `[13, C, H, W]` on the CPU.

    The video is read and encoded a few frames at a time.
    """
    begin, count = chain[0].first_frame, SEGMENT_FRAMES * len(chain) + 1
    heads: list[Tensor] = []

    def watched() -> Iterator[Tensor]:
        for number, frame in enumerate(_pixels(take, begin, begin + count - 1)):
            if number % SEGMENT_FRAMES == 0 and 0 < number < count - 1:
                heads.append(frame)
            yield frame

    per_segment = SEGMENT_FRAMES // int(vae.config["temporal_compression_ratio"])
    parts: list[Tensor] = []  # mean and log-variance, [2, n, C, H, W], of what no segment has yet
    done = 0
    for pair in encode_stream(vae, watched(), count):
        parts.append(_stored(*pair))
        while done < len(chain) and sum(part.shape[1] for part in parts) >= per_segment + (done == 0):
            ready = torch.cat(parts, dim=1)
            own, rest = ready.split([per_segment + (done == 0), ready.shape[1] - per_segment - (done == 0)], dim=1)
            if done:
                head = _stored(*encode(vae, heads.pop(0)[:, :, None]))
                own = torch.cat([head, own], dim=1)
            yield chain[done], own[0].contiguous(), own[1].contiguous()
            parts, done = [rest], done + 1


def _pixels(take: Path, first: int, last: int) -> Iterator[Tensor]:
    """Frames of a take, each float32 `[1, 3, H, W]` in -1 to 1."""
    for frame in read_take(take, first, last):
        yield torch.from_numpy(np.ascontiguousarray(frame)).float().div(127.5).sub(1).permute(2, 0, 1)[None]


def _stored(mean: Tensor, logvar: Tensor) -> Tensor:
    """`[1, C, n, H, W]` twice to bfloat16 `[2, n, C, H, W]` on the CPU."""
    return torch.cat([mean, logvar]).transpose(1, 2).to("cpu", torch.bfloat16)


STEP = Step("latents", 1, "segment", ("takes",), ("av", "diffusers", "numpy", "safetensors", "torch"), _work)
