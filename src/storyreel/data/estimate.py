"""What a step will take, told before it starts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from storyreel.data.manifest import ItemRecord, Manifest
from storyreel.data.step import Each, Job, OnItem, Step, run_step, stale_jobs
from storyreel.data.step import nobody as without_progress
from storyreel.errors import DataError
from storyreel.processes import cores

GIB = 2**30
WORTH_PROCESSES_SECONDS = 20
"""Work from which processes of their own pay, each of which loads the models' libraries first."""


@dataclass(frozen=True)
class Estimate:
    """Disk and time of what a step has left to do: `bytes` on a disk with `free_bytes`, about `seconds`."""

    step: str
    items: int
    unit: str
    bytes: int
    free_bytes: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.step}: {self.items} {self.unit} to make, about {in_bytes(self.bytes)} "
            f"({in_bytes(self.free_bytes)} free) and {in_time(self.seconds)}"
        )


OnEstimate = Callable[[Estimate], None]
"""Told once, before the first item."""


def nobody(estimate: Estimate) -> None:
    """An OnEstimate that does nothing."""


def free_bytes(folder: Path) -> int:
    """Room on the disk of a folder, which need not exist yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def check_room(estimate: Estimate, output: Path) -> None:
    """DataError where the disk has less room than the step needs."""
    if estimate.bytes > estimate.free_bytes:
        raise DataError(
            f"{estimate.step} needs about {in_bytes(estimate.bytes)}, but the disk of {output} has "
            f"{in_bytes(estimate.free_bytes)} left. Make room there, or choose another folder."
        )


class AtWork(TypedDict):
    """How a step runs that tells an estimate first: what `run_step` takes of these names, and who is told.

    Progress goes to `on_item`, the estimate to `on_estimate`, where given.
    """

    workers: NotRequired[int | None]
    run_each: NotRequired[Each | None]
    on_item: NotRequired[OnItem]
    on_estimate: NotRequired[OnEstimate]


def run_estimated(
    step: Step,
    jobs: Sequence[Job],
    output: Path,
    config: Any,
    *,
    source: str,
    guess: Callable[[Sequence[Job], int], Estimate | None],
    at_work: AtWork,
    extra: Callable[[list[ItemRecord]], list[str]] | None = None,
) -> Manifest:
    """`run_step`; but first `guess(jobs, processes)` of the items that are missing or stale is told.

    It may be None, where nothing is worth telling. What takes this process less time than others need to load their
    libraries it does alone, unless a number of workers is asked for. DataError where the disk is too small.
    """
    todo = stale_jobs(step, jobs, output, config)
    workers, run_each = at_work.get("workers"), at_work.get("run_each")
    on_item = at_work.get("on_item", without_progress)
    # A guess loads models, which is already part of this step.
    on_item(len(jobs) - len(todo), len(jobs))
    processes = max(1, min(workers or cores(), len(todo)))
    estimate = guess(todo, processes) if todo else None
    if estimate and workers is None and run_each is None and estimate.seconds * processes < WORTH_PROCESSES_SECONDS:
        workers, estimate = 1, replace(estimate, seconds=estimate.seconds * processes)
    if estimate:
        check_room(estimate, output)
        at_work.get("on_estimate", nobody)(estimate)
    return run_step(
        step,
        jobs,
        output,
        config,
        source=source,
        workers=workers,
        on_item=on_item,
        run_each=run_each,
        extra=extra,
    )


def in_bytes(number: int) -> str:
    """
    >>> in_bytes(900), in_bytes(3 * 2**20), in_bytes(5 * 2**30 // 2)
    ('1 KiB', '3 MiB', '2.5 GiB')
    """
    if number < 2**20:
        return f"{-(-number // 1024)} KiB"
    return f"{number / 2**20:.0f} MiB" if number < GIB else f"{number / GIB:.1f} GiB"


def in_time(seconds: float) -> str:
    """
    >>> in_time(3.2), in_time(600), in_time(7300)
    ('4 s', '10 min', '2.0 h')
    """
    if seconds < 120:
        return f"{-(-seconds // 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
