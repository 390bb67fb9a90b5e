"""Drawn clips as latents: encoded once, kept in shards, read whole into memory.

A shard `latents_0003.safetensors` holds `latents`, bfloat16 `[clips, F, C, H, W]` (the posterior mean times the scaling
factor); `latents_0003.json` beside it holds the clips' numbers, texts and labels. Of K stills a clip, each is a video
of one frame with a record of its own: `[clips * K, 1, C, H, W]`.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKLCogVideoX
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from storyreel.data.clips import clip_numbers, read_clip
from storyreel.errors import TrainingError, refusal
from storyreel.models.vae import encode
from storyreel.toons.camera import segment_and_seconds

SHARD_CLIPS = 128


class DrawnClips(Dataset[tuple[Tensor, list[dict[str, object]]]]):
    """Videos (uint8 `[videos, frames, H, W, 3]`) and their records of each of the given clips of a folder.

    A clip is one video, or `stills` videos of one frame.
    """

    def __init__(self, folder: Path, numbers: list[int], stills: int = 0) -> None:
        self.folder, self.numbers, self.stills = folder, numbers, stills

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> tuple[Tensor, list[dict[str, object]]]:
        number = self.numbers[index]
        clip = read_clip(self.folder, number)
        labels = {"texts": clip.texts, "places": clip.places, "characters": clip.characters}
        if not self.stills:
            return torch.from_numpy(clip.frames)[None], [{"number": number, **labels}]
        moments = still_frames(number, len(clip.frames), self.stills)
        records = []
        for frame in moments:
            segment, _ = segment_and_seconds(frame)
            own = {name: values[segment : segment + 1] for name, values in labels.items()}
            records.append({"number": number, "frame": frame, **own})
        return torch.from_numpy(clip.frames[moments])[:, None], records


def still_frames(number: int, frames: int, count: int) -> list[int]:
    """Which of a clip's `frames` are its `count` stills: one in each of as many equal parts, by its number alone.

    TrainingError unless there are as many frames.
    """
    if not 1 <= count <= frames:
        limit = f"a clip of {frames} frames has 1 to {frames}"
        raise TrainingError(refusal("stills", count, limit, "Try 6, or 0 for whole clips"))
    drawn = random.Random(f"stills {number}")
    return [drawn.randrange(part * frames // count, (part + 1) * frames // count) for part in range(count)]


def encode_clips(
    clips_folder: Path,
    out: Path,
    vae: AutoencoderKLCogVideoX,
    *,
    stills: int = 0,
    batch: int = 8,
    workers: int = 4,
    on_clip: Callable[[], None] = lambda: None,
    part: int = 0,
    parts: int = 1,
    when_listed: Callable[[], None] = lambda: None,
) -> int:
    """Encodes every complete clip that `out` does not hold yet, `batch` clips at once; returns how many it encoded.

    stills: how many single frames to encode in the place of each clip, 0 for the clips themselves. TrainingError where
    a clip has not as many, or `out` holds another number of them.
    Several processes share the work: process `part` of `parts` takes every parts-th clip and shard number. It calls
    `when_listed`, which must wait for all of them, when it knows what is missing and before it writes.
    """
    out.mkdir(parents=True, exist_ok=True)
    shards = _shard_records(out)
    done = _clips_done(out, shards, stills)
    numbers = [number for number in clip_numbers(clips_folder) if number not in done][part::parts]
    first = 1 + max(shards, default=-1)
    when_listed()
    loader = DataLoader(
        DrawnClips(clips_folder, numbers, stills),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=2 * batch if workers else None,
    )
    clips = iter(loader)
    for turn, start in enumerate(range(0, len(numbers), SHARD_CLIPS)):
        shard = first + part + turn * parts
        latents, records = [], []
        size = min(SHARD_CLIPS, len(numbers) - start)
        for group in range(0, size, batch):
            pairs = [next(clips) for _ in range(min(batch, size - group))]
            latents.append(_encode(vae, torch.cat([videos for videos, _ in pairs])))
            records += [record for _, own in pairs for record in own]
            for _ in pairs:
                on_clip()
        _write_shard(out, shard, torch.cat(latents), records)
    return len(numbers)


def _clips_done(out: Path, shards: dict[int, list[dict[str, object]]], stills: int) -> set[object]:
    """Numbers of the clips in `shards`, whole clips or so many stills of each."""
    records = list(itertools.chain(*shards.values()))
    videos = Counter(record["number"] for record in records)
    if any(("frame" in record) != bool(stills) or videos[record["number"]] != max(1, stills) for record in records):
        raise TrainingError(f"{out} does not hold {stills} stills of each clip. Encode into a folder of another name.")
    return set(videos)


def _encode(vae: AutoencoderKLCogVideoX, frames: Tensor) -> Tensor:
    """uint8 `[B, frames, H, W, 3]` (B videos) to the scaled posterior mean, bfloat16 `[B, F, C, h, w]` on the CPU."""
    pixels = frames.to(vae.device).to(vae.dtype).div(127.5).sub(1).permute(0, 4, 1, 2, 3)
    mean, _ = encode(vae, pixels)
    return mean.transpose(1, 2).to(torch.bfloat16).cpu()


def _write_shard(out: Path, shard: int, latents: Tensor, records: list[dict[str, object]]) -> None:
    name = f"latents_{shard:04d}"
    save_file({"latents": latents.contiguous()}, out / f"{name}.safetensors")
    beside = out / f"{name}.part"
    beside.write_text(json.dumps(records), encoding="utf-8")
    os.replace(beside, out / f"{name}.json")


def _shard_records(folder: Path) -> dict[int, list[dict[str, object]]]:
    """Records of every complete shard (its JSON is written last), by shard number."""
    paths = sorted(folder.glob("latents_????.json"))
    return {int(path.stem.removeprefix("latents_")): json.loads(path.read_text(encoding="utf-8")) for path in paths}


@dataclass(frozen=True)
class LatentClips:
    """All latents of a folder, `[N, F, C, H, W]` bfloat16, with the marked texts of each clip's segments."""

    latents: Tensor
    texts: list[list[str]]

    @classmethod
    def load(cls, folder: Path) -> LatentClips:
        """Reads every shard; TrainingError where there is none."""
        shards = _shard_records(folder)
        if not shards:
            raise TrainingError(f"{folder} holds no latents. Run the encode step of the recipe first.")
        latents = [load_file(folder / f"latents_{shard:04d}.safetensors")["latents"] for shard in shards]
        texts = [list(map(str, record["texts"])) for records in shards.values() for record in records]  # pyright: ignore[reportArgumentType]
        return cls(torch.cat(latents), texts)

    def __len__(self) -> int:
        return len(self.texts)


def batch_indices(count: int, batch: int, seed: int) -> Iterator[Tensor]:
    """Endless batches of clip numbers: every clip once an epoch, in an order that follows from the seed alone."""
    epoch, waiting = 0, torch.empty(0, dtype=torch.int64)
    while True:
        while len(waiting) < batch:
            generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
            waiting = torch.cat([waiting, torch.randperm(count, generator=generator)])
            epoch += 1
        yield waiting[:batch]
        waiting = waiting[batch:]
