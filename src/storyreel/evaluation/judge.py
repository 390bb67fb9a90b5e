"""The demo model's bars, measured on stories never trained on.

Four figures: PSNR of the autoencoder on drawn clips; what the probe reads in drawn clips; what it reads in those clips
after the autoencoder; what it reads in clips generated from the same texts. Shares come with a 95% Wilson interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from storyreel.data.clip_config import ClipConfig
from storyreel.data.clips import CHARACTERS, Clip
from storyreel.data.toon_clips import draw_clip
from storyreel.evaluation.probe import Probe, read_segments
from storyreel.evaluation.share import Share
from storyreel.models.vae import decode_stream, encode
from storyreel.sampling.batch import sample_latents
from storyreel.sampling.contact_sheet import save_contact_sheet, to_uint8
from storyreel.sampling.kept_latents import sample_or_load
from storyreel.sampling.pipeline import StoryreelPipeline
from storyreel.sampling.schedulers import SolverName

SEGMENT_FRAMES = 48


@dataclass(frozen=True)
class Reading:
    """What a probe reads right: the place, all characters of a segment, one character at a time."""

    place: Share
    all_characters: Share
    each_character: Share


@dataclass(frozen=True)
class Judgement:
    """All figures of one model; `settings` says how the clips were generated."""

    psnr_db: float
    """Of the autoencoder: each frame's PSNR, averaged over frames, as image libraries and papers count it."""
    pooled_psnr_db: float
    """Of the squared error of all frames together, which the worst of them decide; never more than `psnr_db`."""
    drawn: Reading
    reconstructed: Reading
    generated: Reading
    settings: dict[str, float | int | str]

    def to_dict(self) -> dict[str, object]:
        """For JSON, with the intervals written out."""
        readings = {name: getattr(self, name) for name in ("drawn", "reconstructed", "generated")}
        spelt = {
            name: {
                field: asdict(share) | {"share": share.value, "interval": share.interval()}
                for field, share in vars(reading).items()
            }
            for name, reading in readings.items()
        }
        return {"psnr_db": self.psnr_db, "pooled_psnr_db": self.pooled_psnr_db, **spelt, "settings": self.settings}


def judge(
    pipeline: StoryreelPipeline,
    probe: Probe,
    config: ClipConfig,
    *,
    max_text_tokens: int,
    steps: int,
    guidance: float,
    solver: SolverName = "dpm-ode",
    batch: int = 16,
    seed: int = 0,
    workers: int = 1,
    keep: Path | None = None,
    sheets: Path | None = None,
    on_batch: Callable[[int], None] = lambda done: None,
) -> Judgement:
    """Draws the clips of `config`, rebuilds them, generates their texts anew, and reads all three.

    keep: a folder for generated latents, from which a call that was stopped goes on, and which another decoder can use.
    sheets: a folder for contact sheets, drawn above generated, a sheet a batch. on_batch hears how many are done.
    """
    clips = _draw(config, workers)
    readings: dict[str, list[Reading]] = {"drawn": [], "reconstructed": [], "generated": []}
    errors: list[np.ndarray] = []
    for start in range(0, len(clips), batch):
        group = clips[start : start + batch]
        rebuilt = [_rebuild(pipeline, clip) for clip in group]
        errors += [squared_errors(made, clip.frames) for made, clip in zip(rebuilt, group, strict=True)]
        latents = (sample_latents if keep is None else partial(sample_or_load, folder=keep))(
            pipeline,
            [clip.texts for clip in group],
            steps=steps,
            guidance=guidance,
            solver=solver,
            max_text_tokens=max_text_tokens,
            seed=seed + start,
        )
        made = [np.concatenate(list(pipeline.decode(own[None]))) for own in latents]
        for name, videos in (
            ("drawn", [clip.frames for clip in group]),
            ("reconstructed", rebuilt),
            ("generated", made),
        ):
            readings[name].append(read(probe, videos, group))
        if sheets is not None:
            _save_sheet(sheets / f"judged_{start // batch:03d}.png", group, made)
        on_batch(min(start + batch, len(clips)))
    return Judgement(
        psnr_db=float(decibels(np.concatenate(errors)).mean()),
        pooled_psnr_db=float(decibels(np.concatenate(errors).mean())),
        settings={
            "steps": steps,
            "guidance": guidance,
            "solver": solver,
            "seed": seed,
            "clips": len(clips),
            "first_seed": config.first_seed,
        },
        **{name: _together(parts) for name, parts in readings.items()},
    )


def read(probe: Probe, videos: Sequence[np.ndarray], clips: Sequence[Clip]) -> Reading:
    """What the probe reads in videos (uint8 `[frames, H, W, 3]`) against the labels of the clips they should show."""
    place = whole = each = count = 0
    for video, clip in zip(videos, clips, strict=True):
        segments = torch.from_numpy(video[1:]).unflatten(0, (len(clip.texts), SEGMENT_FRAMES))
        places, characters = read_segments(probe, segments)
        true = _multi_hot(clip)
        place += int((places == torch.tensor(clip.places)).sum())
        whole += int((characters == true).all(dim=1).sum())
        each += int((characters == true).sum())
        count += len(clip.texts)
    return Reading(Share(place, count), Share(whole, count), Share(each, count * len(CHARACTERS)))


def squared_errors(made: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Mean squared error of each frame, float64 `[frames]`; videos uint8 `[frames, H, W, 3]`."""
    return ((made.astype(np.float64) - true) ** 2).mean(axis=(1, 2, 3))


def decibels(errors: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of mean squared errors of 8-bit values; what rounding alone leaves is the best."""
    return 10 * np.log10(255**2 / np.maximum(errors, 1 / 12))


def _multi_hot(clip: Clip) -> Tensor:
    true = torch.zeros(len(clip.texts), len(CHARACTERS), dtype=torch.bool)
    for segment, seen in enumerate(clip.characters):
        true[segment, list(seen)] = True
    return true


def _together(parts: list[Reading]) -> Reading:
    def total(name: str) -> Share:
        shares = [getattr(part, name) for part in parts]
        return Share(sum(share.right for share in shares), sum(share.count for share in shares))

    return Reading(total("place"), total("all_characters"), total("each_character"))


def _draw(config: ClipConfig, workers: int) -> list[Clip]:
    with ProcessPoolExecutor(max(1, workers), mp_context=get_context("spawn")) as pool:
        return list(pool.map(partial(draw_clip, config), range(config.count)))


def _rebuild(pipeline: StoryreelPipeline, clip: Clip) -> np.ndarray:
    pixels = torch.from_numpy(clip.frames).float().div(127.5).sub(1).permute(3, 0, 1, 2)[None]
    mean, _ = encode(pipeline.vae, pixels)
    return np.concatenate(
        [to_uint8(part[0].movedim(0, -1)).cpu().numpy() for part in decode_stream(pipeline.vae, mean)]
    )


def _save_sheet(path: Path, clips: Sequence[Clip], made: Sequence[np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    middles = range(SEGMENT_FRAMES // 2, len(made[0]), SEGMENT_FRAMES)
    pictures = [
        np.concatenate([clip.frames[i], video[i]]) for clip, video in zip(clips, made, strict=True) for i in middles
    ]
    save_contact_sheet(path, pictures, made[0].shape[2] / (2 * made[0].shape[1]))
