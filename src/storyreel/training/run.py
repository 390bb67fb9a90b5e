"""One entrance for every kind of run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from storyreel.data.clips import clip_numbers
from storyreel.data.latent_clips import encode_clips
from storyreel.data.toon_clips import draw_clips
from storyreel.models.vae import load_vae, prepare_for_gpu
from storyreel.training import parallel
from storyreel.training.actions import train_actions
from storyreel.training.config import (
    ActionsRun,
    DiffusionRun,
    DrawRun,
    EncodeRun,
    PackRun,
    PlanRun,
    ProbeRun,
    Run,
    SingleRun,
    VAERun,
    check_batches,
)
from storyreel.training.curves import plot_log
from storyreel.training.loop import Clock, Report, silent
from storyreel.training.pack import pack
from storyreel.training.plan import run_plan
from storyreel.training.probe import train_probe
from storyreel.training.transformer import train_diffusion
from storyreel.training.vae import train_vae

LOADERS = 12
"""Processes that read clips for training: more only wait."""


def run(
    recipe: Run,
    root: Path,
    *,
    device: torch.device | str | None = None,
    minutes: float | None = None,
    anneal: bool = False,
    workers: int | None = None,
    report: Report = silent,
) -> None:
    """Runs one recipe in the folder `root`, where earlier recipes left what this one needs; goes on where it stopped.

    device: None takes the first GPU, else the CPU. minutes: stop (with everything saved) after so long; with `anneal`,
    or for a plan of several runs, finish by then. workers: processes that draw or read clips, by default one a core.

    Called in each process that `launch` or torchrun started, it trains one model in all of them, a GPU each; then
    `workers` are those of all together. TrainingError where a batch cannot be divided.
    """
    root.mkdir(parents=True, exist_ok=True)
    helpers = workers if workers is not None else (os.cpu_count() or 1)
    with parallel.joined(device) as own:
        check_batches(recipe, parallel.size())
        if isinstance(recipe, PlanRun):

            def run_one(single: SingleRun, limit: float | None) -> None:
                _run_single(single, root, own, Clock(limit, limit is not None), helpers, report)

            drawing = max(1, helpers - 4 * parallel.size())
            run_plan(recipe, root, run_one, minutes=minutes, workers=drawing)
        else:
            _run_single(recipe, root, own, Clock(minutes, anneal), helpers, report)


def _run_single(
    recipe: SingleRun, root: Path, device: torch.device, clock: Clock, workers: int, report: Report
) -> None:
    readers = max(min(1, workers), workers // parallel.size())
    loaders = min(readers, LOADERS)
    if isinstance(recipe, VAERun):
        train_vae(recipe, root, device=device, clock=clock, report=report, workers=loaders)
    elif isinstance(recipe, EncodeRun):
        _encode(recipe, root, device, readers, report)
    elif isinstance(recipe, DiffusionRun):
        train_diffusion(recipe, root, device=device, clock=clock, report=report)
    elif isinstance(recipe, ProbeRun):
        train_probe(recipe, root, device=device, clock=clock, report=report, workers=loaders)
    elif isinstance(recipe, ActionsRun):
        train_actions(recipe, root, device=device, clock=clock, report=report)
    elif parallel.is_first():
        _run_alone(recipe, root, workers, report)
    if parallel.is_first():
        plot_log(root / recipe.name)
    # What this run wrote is there before any process begins the next.
    parallel.barrier()


def _run_alone(recipe: DrawRun | PackRun, root: Path, workers: int, report: Report) -> None:
    """What one process does for all."""
    if isinstance(recipe, PackRun):
        pack(recipe, root)
    else:
        on_clip = _counter(recipe.name, recipe.clips.count, report)
        draw_clips(recipe.clips, root / recipe.name, workers=max(1, workers), on_clip=on_clip)


def _encode(recipe: EncodeRun, root: Path, device: torch.device, workers: int, report: Report) -> None:
    vae = load_vae(root / recipe.vae_folder)
    if device.type == "cuda":
        prepare_for_gpu(vae)
    nn.Module.to(vae.eval(), device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    total = len(clip_numbers(root / recipe.clips_folder))
    encode_clips(
        root / recipe.clips_folder,
        root / recipe.name,
        vae,
        stills=recipe.stills,
        workers=workers,
        on_clip=_counter(recipe.name, total, report if parallel.is_first() else silent, parallel.size()),
        part=parallel.rank(),
        parts=parallel.size(),
        when_listed=parallel.barrier,
    )


def _counter(name: str, total: int, report: Report, each: int = 1) -> Callable[[], None]:
    """Reports now and then; every call stands for `each` clips, as the other processes make as many as this one."""
    done = 0

    def one_more() -> None:
        nonlocal done
        done = min(total, done + each)
        if done // each % 16 == 0 or done == total:
            report(name, done, total, {})

    return one_more
