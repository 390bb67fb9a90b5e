"""Where the time of a step goes: the dearest kernels, and how long the GPU does nothing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

PROFILED_STEPS = 3
KERNELS_SHOWN = 30


def show_profile(step: Callable[[], object], device: torch.device, milliseconds: float) -> float | None:
    """Prints the dearest kernels and how long the GPU does nothing; returns its busy milliseconds a step.

    milliseconds: of a step without the profiler, which slows the host but no kernel.
    """
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiler:
        for _ in range(PROFILED_STEPS):
            step()
        synchronise(device)
    order = f"self_{'device' if on_gpu else 'cpu'}_time_total"
    averages = profiler.key_averages()
    print(averages.table(sort_by=order, row_limit=KERNELS_SHOWN, max_name_column_width=90))
    print(f"(of {PROFILED_STEPS} steps)")
    if not on_gpu:
        return None
    spans = [
        (event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type == DeviceType.CUDA and not event.is_user_annotation
    ]
    busy = covered(spans) / 1000 / PROFILED_STEPS
    print(f"GPU busy {busy:.1f} of {milliseconds:.1f} ms a step, idle {max(0.0, 1 - busy / milliseconds):.1%}")
    print(f"{len(spans) / PROFILED_STEPS:.0f} kernels and copies a step")
    return busy


def covered(spans: list[tuple[float, float]]) -> float:
    """How much of the line the spans cover, however they overlap."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
