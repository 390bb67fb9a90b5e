"""Time and memory of one transformer block with each mixer: forward as in sampling, and a training step.

A training step is forward and backward with the block computed a second time for its gradients (rematerialised), or
some of its pieces, as long videos are trained. bfloat16 on a GPU, float32 elsewhere; random weights and tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from storyreel.errors import KernelUnavailable
from storyreel.geometry import TokenLayout
from storyreel.mixers import build_gated_mixer
from storyreel.models.forward import choose_backends
from storyreel.models.forward_names import Forward
from storyreel.models.fused_block import fuse_block
from storyreel.models.positions import rotary_table
from storyreel.models.transformer import StoryreelBlock
from storyreel.training.block_parts import PartTime, parts, time_part
from storyreel.training.rematerialisation import Rematerialisation

TIME_EMBEDDING = 512
# A TTT layer keeps its memory after so many mini-batches and computes those between again.
CHECKPOINT_EVERY = 64
PROCESS = Path("/proc/self")


REMAT = "block+projections"
"""How long videos are trained: see training/rematerialisation.py."""


@dataclass(frozen=True)
class BlockTime:
    """Medians of the repeats in milliseconds, and the most memory held by then in MiB (None: the system does not say).

    On a GPU that is the GPU's, elsewhere the whole process's; of the forward pass, and of both. `refused` says why
    there are no times, or none of a training step.
    """

    layer: str
    seconds: int
    tokens: int
    forward_ms: float | None = None
    training_ms: float | None = None
    forward_mib: float | None = None
    peak_mib: float | None = None
    refused: str | None = None


def time_block(
    name: str,
    layout: TokenLayout,
    width: int,
    heads: int,
    *,
    batch: int,
    repeats: int,
    device: torch.device,
    forward: Forward = "plain",
    remat: str = REMAT,
) -> BlockTime:
    """One block whose slot holds the mixer of that name ("local": none), on `batch` sequences of `layout`.

    forward: "plain", "compiled" or "fused". remat: what the training step computes again. ConfigError for an unknown
    mixer, or a width that `heads` do not divide into heads.
    """
    torch.manual_seed(0)
    reset_peak(device)
    measured: dict[str, Any] = {}
    try:
        block = _block(name, layout, width, heads, device, forward)
        call, train = _calls(block, layout, batch, device, Rematerialisation.of(remat))
        choose_backends(block, training=False)
        measured["forward_ms"] = _milliseconds(call, repeats, device)
        measured["forward_mib"] = peak_mib(device)
        choose_backends(block, training=True)
        measured["training_ms"] = _milliseconds(train, repeats, device)
    except (KernelUnavailable, torch.OutOfMemoryError) as error:
        return BlockTime(name, layout.seconds, layout.total_tokens, **measured, refused=str(error).splitlines()[0])
    return BlockTime(name, layout.seconds, layout.total_tokens, **measured, peak_mib=peak_mib(device))


def time_parts(
    name: str, layout: TokenLayout, width: int, heads: int, *, batch: int, repeats: int, device: torch.device
) -> list[PartTime]:
    """Every part of the fused block of `time_block`, by itself, in the order in which they run."""
    torch.manual_seed(0)
    block = _block(name, layout, width, heads, device, "fused")
    choose_backends(block, training=True)
    dtype = next(block.parameters()).dtype
    pass_bytes = float(batch * layout.total_tokens * width * dtype.itemsize)
    return [
        time_part(part, pass_bytes, lambda call: _milliseconds(call, repeats, device))
        for part in parts(block, layout, batch)
    ]


def _block(
    name: str, layout: TokenLayout, width: int, heads: int, device: torch.device, forward: Forward
) -> StoryreelBlock:
    """In bfloat16 on a GPU, float32 elsewhere."""
    mixer = build_gated_mixer(
        name,
        width,
        heads,
        mini_batch=layout.mini_batch,
        checkpoint_every=CHECKPOINT_EVERY if layout.segments > 1 else 0,
    )
    block = StoryreelBlock(width, heads, width // heads, TIME_EMBEDDING, mixer=mixer)
    nn.Module.to(block, device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    if forward == "fused":
        fuse_block(block)
    elif forward == "compiled":
        block.compile(dynamic=False)
    return block


def _calls(
    block: StoryreelBlock, layout: TokenLayout, batch: int, device: torch.device, remat: Rematerialisation
) -> tuple[Callable[[], None], Callable[[], None]]:
    """A forward pass as in sampling, and a training step, on random tokens."""
    dtype = next(block.parameters()).dtype
    width, heads = block.norm1.norm.normalized_shape[0], block.attn1.heads
    x = torch.randn(batch, layout.total_tokens, width, device=device, dtype=dtype, requires_grad=True)
    temb = torch.randn(batch, 1, TIME_EMBEDDING, device=device, dtype=dtype)
    rotary = rotary_table(layout, width // heads, (layout.rows, layout.columns), device)
    dy = torch.randn_like(x)
    remat.apply(block)
    whole = remat.whole(block)

    def call() -> None:
        with torch.no_grad():
            block(x, temb, layout, rotary)

    def train() -> None:
        whole(x, temb, layout, rotary).backward(dy)
        for tensor in (x, *block.parameters()):
            tensor.grad = None

    return call, train


def _milliseconds(call: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Median over `repeats` calls, after one that compiles and warms up."""
    call()
    times = []
    for _ in range(repeats):
        synchronise(device)
        began = time.perf_counter()
        call()
        synchronise(device)
        times.append(1000 * (time.perf_counter() - began))
    return sorted(times)[len(times) // 2]


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    elif (PROCESS / "clear_refs").exists():
        (PROCESS / "clear_refs").write_text("5")  # Linux: the peak counts from here on


def peak_mib(device: torch.device) -> float | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if not (PROCESS / "clear_refs").exists():
        return None
    lines = (PROCESS / "status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM:"))
