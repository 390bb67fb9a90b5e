"""Where the milliseconds of a denoising step go: kernels by the part of the model that launched them, beside its floor.

Parts are named by the model itself (mixers/pieces.py: part); their floors are those of training/block_parts.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from storyreel.geometry import TokenLayout
from storyreel.mixers.pieces import PART, directly, part, run_pieces_by
from storyreel.models.transformer import StoryreelBlock, StoryreelTransformer3DModel
from storyreel.training.block_parts import parts
from storyreel.training.block_timing import synchronise

ELSEWHERE = "outside of the blocks' parts"
KERNELS_SHOWN = 12


@dataclass(frozen=True)
class Span:
    """Something that ran from `start` to `end`, in microseconds."""

    name: str
    start: float
    end: float


@dataclass
class Kernel:
    """All calls of one kernel, or on a CPU of one operator, by one part."""

    name: str
    milliseconds: float = 0.0
    calls: int = 0


@dataclass
class PartProfile:
    """One part of all blocks in one step; the floor is None where nobody counted it, or the part is none of a block."""

    part: str
    milliseconds: float
    floor_ms: float | None
    kernels: list[Kernel] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, the dearest kernels alone."""
        return asdict(self) | {"kernels": [asdict(kernel) for kernel in self.kernels[:KERNELS_SHOWN]]}


def profile_step(
    step: Callable[[], object], transformer: StoryreelTransformer3DModel, layout: TokenLayout, device: torch.device
) -> list[PartProfile]:
    """Runs `step`, one denoising step with both branches of this transformer, once; the dearest part comes first."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    run_pieces_by(transformer, _named)
    try:
        with profile(activities=activities) as profiler:
            step()
            synchronise(device)
    finally:
        run_pieces_by(transformer, directly)
    found = by_part(*_spans(profiler.events() or (), device.type == "cuda"))
    floors = floors_of(transformer, layout)
    rows = [
        PartProfile(name, sum(kernel.milliseconds for kernel in kernels), floors.get(name), kernels)
        for name, kernels in found.items()
    ]
    return sorted(rows, key=lambda row: -row.milliseconds)


def by_part(leaves: Iterable[Span], scopes: Iterable[Span]) -> dict[str, list[Kernel]]:
    """What ran, by the innermost scope that its middle lies in; the dearest kernel of each comes first."""
    starts = [(scope.start, 0, -scope.end, scope) for scope in scopes]
    starts += [((leaf.start + leaf.end) / 2, 1, 0.0, leaf) for leaf in leaves]
    open_scopes: list[Span] = []
    found: dict[str, dict[str, Kernel]] = defaultdict(dict)
    for moment, is_leaf, _, span in sorted(starts, key=lambda item: item[:3]):
        while open_scopes and open_scopes[-1].end <= moment:
            open_scopes.pop()
        if not is_leaf:
            open_scopes.append(span)
            continue
        where = open_scopes[-1].name.removeprefix(PART) if open_scopes else ELSEWHERE
        kernel = found[where].setdefault(span.name, Kernel(span.name))
        kernel.milliseconds += (span.end - span.start) / 1000
        kernel.calls += 1
    return {where: sorted(own.values(), key=lambda kernel: -kernel.milliseconds) for where, own in found.items()}


def floors_of(transformer: StoryreelTransformer3DModel, layout: TokenLayout) -> dict[str, float]:
    """Milliseconds of each part of all blocks, for both branches, at an H100's rates."""
    arguments: dict[str, Any] = _arguments(transformer)
    arguments["num_layers"] = 1
    with torch.device("meta"):
        model = StoryreelTransformer3DModel(**arguments)
    block = model.transformer_blocks[0]
    assert isinstance(block, StoryreelBlock)
    width, itemsize = block.attn1.to_q.weight.shape[1], transformer.dtype.itemsize
    pass_bytes = float(2 * layout.total_tokens * width * itemsize)
    known = {own.name: (own.times, own.floor_ms(pass_bytes)) for own in parts(block, layout, 2)}
    blocks = len(transformer.transformer_blocks)
    return {name: blocks * times * floor for name, (times, floor) in known.items() if floor is not None}


def _arguments(transformer: StoryreelTransformer3DModel) -> dict[str, Any]:
    return {name: value for name, value in transformer.config.items() if not name.startswith("_")}


def _named(name: str, function: Callable[..., Any], *given: Any) -> Any:
    with part(f"{name}, the rest"):
        return function(*given)


def _spans(events: Iterable[Any], on_gpu: bool) -> tuple[list[Span], list[Span]]:
    """What ran, and the parts around it, as the same device saw them.

    On a GPU kernels and copies ran; on a CPU operators did, those that another one called apart.
    """
    ran, scopes = [], []
    for event in events:
        if (event.device_type == DeviceType.CUDA) != on_gpu:
            continue
        span = Span(event.name, event.time_range.start, event.time_range.end)
        if event.name.startswith(PART):
            scopes.append(span)
        elif not event.is_user_annotation and (on_gpu or _is_outermost(event)):
            ran.append(span)
    return ran, scopes


def _is_outermost(event: Any) -> bool:
    return event.cpu_parent is None or event.cpu_parent.name.startswith(PART)
