"""Milliseconds and memory of the op by backend, for results that are right."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from storyreel.errors import KernelUnavailable
from storyreel.ops.ttt.trial import Judge, Shape, Trial

REFERENCE_TOKENS = 4096
"""The reference form takes its tokens one by one: 63 s of them would take a day."""
BUDGET_SECONDS = 10.0
"""No repeats after so much time, but one there always is."""
Read = Callable[[Trial], tuple[Tensor, ...]]
Prepared = TypeVar("Prepared")


@dataclass(frozen=True)
class Time:
    """Median of `repeats` calls; the most memory held by one, its inputs included (None: no GPU)."""

    ms: float
    repeats: int
    peak_mib: float | None


@dataclass(frozen=True)
class OpTime:
    """One backend, or one launch of the Hopper kernels, on one shape.

    Errors as in `trial.Errors`. A backend that cannot serve has its reason in `refused`, one whose result is wrong has
    it in `wrong`; neither has times.
    """

    shape: Shape
    backend: str
    launch: str | None = None
    cluster: int | None = None
    forward: Time | None = None
    backward: Time | None = None
    error_outputs: float | None = None
    error_gradients: float | None = None
    refused: str = ""
    wrong: str = ""

    def microseconds(self, of: Time | None) -> float | None:
        """Of a mini-batch."""
        return 1000 * of.ms / self.shape.mini_batches if of else None


def by_name(backend: str) -> Read:
    return lambda trial: trial.read(backend)


def measure(row: OpTime, read: Read, trial: Trial, judge: Judge, repeats: int, backward: bool = True) -> OpTime:
    """`row` with errors and, if those are small enough, times; backward if the judge looks at gradients."""
    device = trial.tensors[0].device
    try:
        if row.backend == "reference" and row.shape.tokens > REFERENCE_TOKENS:
            raise KernelUnavailable(f"reads token by token, and is timed for at most {REFERENCE_TOKENS:,} tokens")
        errors = judge(read, backward)
        row = replace(row, error_outputs=errors.outputs, error_gradients=errors.gradients, wrong=errors.trouble())
        if row.wrong:
            return row
        with torch.no_grad():
            if not all(x.isfinite().all() for x in read(trial)):
                return replace(row, wrong=f"not all outputs of {row.shape.tokens:,} tokens are finite")
            forward = timed(lambda _: read(trial), device, repeats, lambda: None, trial.bytes())
            row = replace(row, forward=forward)
        if backward and judge.backward:
            row = replace(row, backward=timed(trial.go_back, device, repeats, lambda: read(trial), trial.bytes()))
    except KernelUnavailable as error:
        row = replace(row, refused=str(error))
    except torch.OutOfMemoryError as error:
        row = replace(row, refused=str(error).split(". ")[0])
    return row


def timed(
    call: Callable[[Prepared], object],
    device: torch.device,
    repeats: int,
    prepare: Callable[[], Prepared],
    held_bytes: int,
) -> Time:
    """`call(prepare())`, of which the call alone is timed, after two that compile and warm up.

    held_bytes: inputs, for the memory, which counts what `prepare` makes too. On a GPU the time is that between CUDA
    events, with nothing of the last call left in its L2 cache.
    """
    on_gpu = device.type == "cuda"
    began = time.perf_counter()
    call(prepare())
    peak, others = None, 0
    if on_gpu:
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        others = torch.cuda.memory_allocated(device) - held_bytes
    call(prepare())
    if on_gpu:
        torch.cuda.synchronize(device)
        peak = (torch.cuda.max_memory_allocated(device) - others) / 2**20
    times: list[float] = []
    clock = _gpu_milliseconds if on_gpu else _cpu_milliseconds
    while len(times) < repeats and not (times and time.perf_counter() - began > BUDGET_SECONDS):
        times.append(clock(call, prepare(), device))
    return Time(sorted(times)[len(times) // 2], len(times), peak)


def _gpu_milliseconds(call: Callable[[Prepared], object], given: Prepared, device: torch.device) -> float:
    with torch.cuda.device(device):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        cache_bytes = torch.cuda.get_device_properties(device).L2_cache_size
        torch.zeros(4 * cache_bytes, dtype=torch.uint8, device=device)
        start.record()
        call(given)
        end.record()
        end.synchronize()
        return start.elapsed_time(end)


def _cpu_milliseconds(call: Callable[[Prepared], object], given: Prepared, _: torch.device) -> float:
    start = time.perf_counter()
    call(given)
    return 1000 * (time.perf_counter() - start)
