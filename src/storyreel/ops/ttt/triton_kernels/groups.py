"""What the launches of both memories have in common: the tokens, the mini-batches of one launch, and the GPU.

Letters: B batch, T tokens, H heads, D head width.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
import triton  # pyright: ignore[reportMissingImports]
from torch import Tensor

from storyreel.errors import KernelUnavailable
from storyreel.ops.ttt.problem import TTTProblem


class Tokens(NamedTuple):
    """What is read: q, k, v `[B, T, H, D]` and eta `[B, T, H]` float32."""

    q: Tensor
    k: Tensor
    v: Tensor
    eta: Tensor

    def all_strides(self) -> Iterator[int]:
        for x in self:
            yield from x.stride()[:3]


class Group(NamedTuple):
    """Mini-batches that one launch reads: so many, from token `first` on."""

    first: int
    mini_batches: int


def groups(tokens: int, mini_batch: int, every: int) -> Iterator[Group]:
    """The sequence in groups of `every` mini-batches, 0 for one group of all."""
    count = -(-tokens // mini_batch)
    every = every or count
    for start in range(0, count, every):
        yield Group(start * mini_batch, min(every, count - start))


def program(width: int, problem: TTTProblem, warps: int, registers: int | None) -> dict[str, int | None]:
    """Sizes of a program: twice the warps for heads or mini-batches over 64, and then no limit on registers.

    Of eight warps one program fits a multiprocessor with 168 registers a thread as with 255.
    """
    large = max(width, problem.mini_batch) > 64
    own = {"num_warps": 2 * warps, "maxnreg": None} if large else {"num_warps": warps, "maxnreg": registers}
    return {"SIZE": problem.mini_batch, "D": width, **own}


@contextlib.contextmanager
def on(device: torch.device) -> Iterator[None]:
    """Launches on the GPU of the tensors, which need not be the current one; KernelUnavailable if it is too small."""
    try:
        with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
            yield
    except triton.OutOfResources as error:
        raise KernelUnavailable(
            f'TTT backend "triton" needs more than this GPU has for tensors of this size and dtype: {error} '
            'Try bfloat16 or backend="dual".'
        ) from error
