"""`storyreel train`: one recipe, from where it stopped. A thin wrapper of `storyreel.training.run.run`."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from storyreel.cli.machine import check_workers
from storyreel.cli.progress import Counter, open_progress
from storyreel.errors import ConfigError, OutputError, refusal
from storyreel.recipes import RECIPES, get_recipe
from storyreel.sampling.progress import Progress
from storyreel.training.config import DrawRun, PackRun, Run, check_batches
from storyreel.training.launch import is_first, is_launched, launch
from storyreel.wording import counted

NOTE_EVERY_SECONDS = 30.0


@dataclass(frozen=True)
class Train:
    """Run one recipe, from where it stopped.

    A recipe finds in the folder --out what the recipes before it left there, and leaves its own. Everything is saved
    every two minutes and at the end; the numbers are in OUT/NAME/log.jsonl. --set changes one field of the recipe, and
    a run with changes is another run, which needs a name of its own. A value out of its range is refused at once.

    With several GPUs the recipe's batch is that of all of them, so that a step means the same on any number; it must be
    a multiple of their number. --minutes and Ctrl-C stop all of them after the same step.

    Example: storyreel train demo-3s --out runs --set steps=200 --set name=try
    """

    recipe: Annotated[Positional[str], arg(metavar="RECIPE", help=f"One of {', '.join(RECIPES)}.")]
    out: Annotated[Path, arg(metavar="DIR")] = Path("runs")
    """Folder of all runs of a model."""
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="KEY=VALUE")] = ()
    """Change a field of the recipe, such as optimiser.learning_rate=1e-4; may be given again for another."""
    minutes: Annotated[float | None, arg(metavar="M", help_behavior_hint="(default: no limit)")] = None
    """Stop after so long, with everything saved."""
    anneal: bool = False
    """With --minutes: let the learning rate fall so that the run is finished by then."""
    device: Annotated[str | None, arg(metavar="D", help_behavior_hint="(default: the first GPU, else the CPU)")] = None
    """cuda, cuda:1, mps or cpu."""
    gpus: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all, but one with --device)")] = None
    """GPUs that train together, a process each."""
    workers: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one a core)")] = None
    """Processes that draw or read clips, in all."""


def run(options: Train) -> None:
    """Trains, with progress on standard error; the last line, on standard output, says where the result is."""
    recipe = get_recipe(options.recipe, options.set)
    _check(options)
    processes = 1 if is_launched() else _processes(options, recipe)
    if processes > 1:
        check_batches(recipe, processes)
        launch(processes, train, options)
    else:
        train(options)


def _processes(options: Train, recipe: Run) -> int:
    """How many GPUs are to train. ConfigError where there are fewer than asked for."""
    if options.gpus == 1 or isinstance(recipe, DrawRun | PackRun) or options.device not in (None, "cuda"):
        return 1
    if options.gpus is None and options.device is not None:
        return 1
    with open_progress() as progress:
        progress.stage("look for GPUs")
        from torch.cuda import device_count

        here = device_count()
        if options.gpus is not None and options.gpus > here:
            way_out = f"Try --gpus {here}" if here else "Leave it out"
            raise ConfigError(refusal("--gpus", options.gpus, f"PyTorch sees {counted(here, 'GPU')} here", way_out))
        processes = options.gpus or max(1, here)
        if processes > 1:
            progress.note(f"{processes} GPUs, a process each")
    return processes


def train(options: Train) -> None:
    """What one process does, alone or one of several; of these the first tells how it goes."""
    recipe = get_recipe(options.recipe, options.set)
    with ExitStack() as closing:
        quiet = None if is_first() else closing.enter_context(open(os.devnull, "w"))
        progress = closing.enter_context(open_progress(quiet))
        progress.stage("load the libraries")
        from storyreel.sampling.device import choose_device

        if options.device is not None:
            choose_device(options.device)
        from storyreel.training.run import run as run_recipe

        run_recipe(
            recipe,
            options.out,
            device=options.device,
            minutes=options.minutes,
            anneal=options.anneal,
            workers=options.workers,
            report=Reporter(progress),
        )
    if is_first():
        print(f"{options.recipe}: {options.out / recipe.name}")


def _check(options: Train) -> None:
    if options.minutes is not None and not options.minutes > 0:
        raise ConfigError(refusal("--minutes", options.minutes, "it must be more than 0", "Try 10"))
    if options.anneal and options.minutes is None:
        raise ConfigError("--anneal lets the learning rate fall within --minutes, but there is none. Add --minutes 10.")
    if options.gpus is not None and options.gpus < 1:
        raise ConfigError(refusal("--gpus", options.gpus, "it must be at least 1", "Leave it out for all there are"))
    if (options.gpus or 1) > 1 and options.device not in (None, "cuda"):
        raise ConfigError(refusal("--device", options.device, f"--gpus is {options.gpus}", "Give one of the two"))
    check_workers(options.workers)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = "it is a file" if options.out.is_file() else error.strerror
        raise OutputError(f"--out {options.out} cannot be a folder for runs: {why}. Choose another.") from error


class Reporter:
    """Turns a run's reports (name, steps done, steps, numbers) into progress, with the numbers now and then."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._name = ""
        self._counter = Counter(progress)
        self._noted = -NOTE_EVERY_SECONDS

    def __call__(self, name: str, step: int, steps: int, values: dict[str, float]) -> None:
        if name != self._name:
            self._progress.stage(name, steps)
            self._name, self._counter = name, Counter(self._progress)
        self._counter(step)
        if values and time.monotonic() - self._noted >= NOTE_EVERY_SECONDS:
            numbers = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
            self._progress.note(f"{name} {step}/{steps}: {numbers}")
            self._noted = time.monotonic()
