"""Several processes that train one model, a GPU each: every one computes its rows of each batch.

The group is torch.distributed's; without one, all of this is about one process and costs nothing. Tensors on GPUs go by
NCCL, the little that processes agree on in each step goes by gloo and does not wait for a GPU.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Self

import torch
import torch.distributed as dist
from torch import Tensor

from storyreel.errors import ConfigError, refusal
from storyreel.training.launch import is_launched

LONGEST_WAIT = timedelta(days=1)
"""For another process, such as the one that draws clips. A process that is gone is noticed at once."""


@contextmanager
def joined(name: torch.device | str | None) -> Iterator[torch.device]:
    """Joins the group of processes that `launch` or torchrun started; yields the device of this one.

    name: None is the GPU where there is one, else the CPU. ConfigError where there is no GPU for each process.
    """
    device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    if not is_launched() or dist.is_initialized():
        yield torch.device("cuda", torch.cuda.current_device()) if device.type == "cuda" and size() > 1 else device
        return
    local = int(os.environ.get("LOCAL_RANK", os.environ["RANK"]))
    if device.type == "cuda":
        here = torch.cuda.device_count()
        if device.index is not None:
            raise ConfigError(refusal("--device", name, "each of several processes has its own GPU", "Leave it out"))
        if local >= here:
            started = os.environ["WORLD_SIZE"]
            raise ConfigError(refusal("the number of processes", started, f"PyTorch sees {here} GPUs", f"Start {here}"))
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
    yield device
    # Not after an exception: it would wait for processes that may be gone.
    dist.destroy_process_group()


def size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if size() > 1 else 0


def is_first() -> bool:
    """Whether this process writes files and reports."""
    return rank() == 0


def rows(batch: int) -> slice:
    """This process's rows of a batch of all processes."""
    share, rest = divmod(batch, size())
    assert rest == 0, f"{batch} rows for {size()} processes"
    return slice(rank() * share, (rank() + 1) * share)


def parts(batch: int, rows_at_once: int | None) -> int:
    """In how many equal parts a process takes its rows: the fewest with at most `rows_at_once` rows each."""
    own = rows(batch)
    count = own.stop - own.start
    most = min(count, rows_at_once or count)
    return next(number for number in range(-(-count // most), count + 1) if count % number == 0)


def own_seed(seed: int) -> int:
    """A seed that differs between processes; `seed` itself in the first."""
    return seed + 1_000_003 * rank()


@torch.no_grad()
def average_(values: Tensor) -> Tensor:
    """The mean over all processes, in place, of a tensor on this process's device."""
    if size() > 1:
        dist.all_reduce(values)
        values /= size()
    return values


@torch.no_grad()
def copy_from_first_(tensors: Sequence[Tensor]) -> None:
    """The first process's values in all, in place."""
    if size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def largest(*values: float) -> list[float]:
    """The largest of each value over all processes; waits for them, but for no GPU."""
    if size() == 1:
        return list(values)
    all_of_them = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(all_of_them, dist.ReduceOp.MAX)
    return all_of_them.tolist()


def barrier() -> None:
    """Waits until every process is here."""
    largest(0.0)


class CtrlC:
    """Whether Ctrl-C came, as a flag, so that all processes can stop after the same step.

    In one process alone, and outside the main thread, Ctrl-C stays the KeyboardInterrupt that it is.
    """

    def __init__(self) -> None:
        self.came = False
        self._is_mine = size() > 1 and threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Self:
        if self._is_mine:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        if self._is_mine:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came = True
