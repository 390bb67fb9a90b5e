"""The part that all training runs share: steps until the end, the time limit or Ctrl-C, with a log and checkpoints."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from storyreel.errors import TrainingError
from storyreel.training.checkpoint import load_checkpoint, save_checkpoint
from storyreel.training.config import Run
from storyreel.training.optimiser import MasterAdamW

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
    optimiser: MasterAdamW,
    one_step: Callable[[int], dict[str, Tensor]],
    *,
    steps: int,
    clock: Clock,
    report: Report,
) -> bool:
    """Runs `one_step` (forward and backward, values to log) and the optimiser; True when all `steps` are done.

    Resumes from the folder's checkpoint; saves one every two minutes, at the end and at Ctrl-C.
    """
    key = fingerprint(run)
    load_checkpoint(folder, optimiser, key)
    folder.mkdir(parents=True, exist_ok=True)
    saved = time.monotonic()
    try:
        while optimiser.steps < steps and clock.fraction() < 1:
            step = optimiser.steps
            values = one_step(step)
            values["gradient_norm"] = optimiser.step(clock.progress(step, steps))
            if step % LOG_EVERY_STEPS == 0 or step == steps - 1:
                _log(run, folder, step, steps, values, clock, report)
            if time.monotonic() - saved > CHECKPOINT_EVERY_SECONDS:
                save_checkpoint(folder, optimiser, key)
                saved = time.monotonic()
    except KeyboardInterrupt:
        save_checkpoint(folder, optimiser, key)
        raise
    save_checkpoint(folder, optimiser, key)
    return optimiser.steps >= steps


def _log(
    run: Run, folder: Path, step: int, steps: int, values: dict[str, Tensor], clock: Clock, report: Report
) -> None:
    numbers = {name: round(float(value), 5) for name, value in values.items()}
    if not all(math.isfinite(number) for number in numbers.values()):
        raise TrainingError(f"{run.name} diverged at step {step}: {numbers}. Lower its learning rate.")
    line = {"step": step, "seconds": round(time.monotonic() - clock.start, 1), **numbers}
    with (folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    report(run.name, step, steps, numbers)
