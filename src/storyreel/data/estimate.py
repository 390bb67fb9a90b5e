"""What a step will take, told before it starts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from storyreel.data.step import cores
from storyreel.errors import DataError

GIB = 2**30


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


def processes(workers: int | None, items: int) -> int:
    """How many processes a step will use."""
    return max(1, min(workers or cores(), items))


def check_room(estimate: Estimate, output: Path) -> None:
    """DataError where the disk has less room than the step needs."""
    if estimate.bytes > estimate.free_bytes:
        raise DataError(
            f"{estimate.step} needs about {in_bytes(estimate.bytes)}, but the disk of {output} has "
            f"{in_bytes(estimate.free_bytes)} left. Make room there, or choose another folder."
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
