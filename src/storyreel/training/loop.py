"""The part that all training runs share: steps until the end, the time limit or Ctrl-C, with a log and checkpoints."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from storyreel.errors import TrainingError
from storyreel.training import parallel
from storyreel.training.checkpoint import load_checkpoint, save_checkpoint
from storyreel.training.config import Run
from storyreel.training.optimiser import MasterOptimiser

LOG_EVERY_STEPS = 20
CHECKPOINT_EVERY_SECONDS = 120.0
Report = Callable[[str, int, int, dict[str, float]], None]


def silent(name: str, step: int, steps: int, values: dict[str, float]) -> None:
    """A report that says nothing."""


def fingerprint(run: Run) -> str:
    """Hash of a configuration: a checkpoint belongs to one configuration."""
    return hashlib.sha256(repr(run).encode()).hexdigest()[:16]


class Clock:
    """A time limit in minutes, None for no limit.

    With `anneal`, the run is to be complete by then: its learning rate follows the scarcer of steps and time, and the
    run counts as done. Without, it only stops and goes on another time.
    """

    def __init__(self, minutes: float | None = None, anneal: bool = False) -> None:
        self.start = time.monotonic()
        self.seconds = None if minutes is None else 60 * minutes
        self.anneal = anneal
        self._first_step: float | None = None

    def fraction(self) -> float:
        """How much of the limit is used, 0 without a limit."""
        return 0.0 if self.seconds is None else (time.monotonic() - self.start) / self.seconds

    def progress(self, step: int, steps: int) -> float:
        """How far a run is at `step` of `steps`, in [0, 1]; time counts from the first step, when all is compiled."""
        if not self.anneal or self.seconds is None:
            return step / steps
        now = time.monotonic()
        if self._first_step is None:
            self._first_step = now
        left = max(1e-3, self.start + self.seconds - self._first_step)
        return max(step / steps, (now - self._first_step) / left)


def train_steps(
    run: Run,
    folder: Path,
    optimiser: MasterOptimiser,
    one_step: Callable[[int], dict[str, Tensor]],
    *,
    steps: int,
    clock: Clock,
    report: Report,
) -> bool:
    """Runs `one_step` (forward and backward, values to log) and the optimiser; True when all `steps` are done.

    Resumes from the folder's checkpoint; saves one every two minutes, at the end and at Ctrl-C. Several processes take
    the same steps: the first one's clock decides, and Ctrl-C in any of them.
    """
    optimiser.copy_from_first()
    key = fingerprint(run)
    load_checkpoint(folder, optimiser, key)
    folder.mkdir(parents=True, exist_ok=True)
    saved = time.monotonic()
    try:
        with parallel.CtrlC() as ctrl_c:
            _, over, stopped = _agreed(0.0, clock, ctrl_c)
            while optimiser.steps < steps and not over and not stopped:
                step = optimiser.steps
                values = one_step(step)
                progress, over, stopped = _agreed(clock.progress(step, steps), clock, ctrl_c)
                values["gradient_norm"] = optimiser.step(progress)
                if step % LOG_EVERY_STEPS == 0 or step == steps - 1:
                    _log(run, folder, step, steps, values, clock, report)
                if time.monotonic() - saved > CHECKPOINT_EVERY_SECONDS:
                    _save(folder, optimiser, key)
                    saved = time.monotonic()
        if stopped:
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        _save(folder, optimiser, key)
        raise
    _save(folder, optimiser, key)
    return optimiser.steps >= steps


def _agreed(progress: float, clock: Clock, ctrl_c: parallel.CtrlC) -> tuple[float, bool, bool]:
    """How far the run is, whether its time is over, and whether to stop for Ctrl-C: the same in all processes."""
    mine = (progress, float(clock.fraction() >= 1)) if parallel.is_first() else (0.0, 0.0)
    progress, over, stopped = parallel.largest(*mine, float(ctrl_c.came))
    return progress, over > 0, stopped > 0


def _save(folder: Path, optimiser: MasterOptimiser, key: str) -> None:
    if parallel.is_first():
        save_checkpoint(folder, optimiser, key)


def _log(
    run: Run, folder: Path, step: int, steps: int, values: dict[str, Tensor], clock: Clock, report: Report
) -> None:
    means = parallel.average_(torch.stack([value.float() for value in values.values()])).tolist()
    numbers = {name: round(mean, 5) for name, mean in zip(values, means, strict=True)}
    if not all(math.isfinite(number) for number in numbers.values()):
        raise TrainingError(f"{run.name} diverged at step {step}: {numbers}. Lower its learning rate.")
    if not parallel.is_first():
        return
    line = {"step": step, "seconds": round(time.monotonic() - clock.start, 1), **numbers}
    with (folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    report(run.name, step, steps, numbers)
