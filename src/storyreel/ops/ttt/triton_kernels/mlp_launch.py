"""Launches of the TTT-MLP kernels.

Letters: B batch, T tokens, H heads, D head width, F hidden width, b tokens of a mini-batch, N = B * H.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from storyreel.ops.ttt.problem import TTTProblem
from storyreel.ops.ttt.states import HeadNorm, MLPState
from storyreel.ops.ttt.triton_kernels.groups import Group, Tokens, on, program
from storyreel.ops.ttt.triton_kernels.mlp_backward import mlp_scan_backward
from storyreel.ops.ttt.triton_kernels.mlp_forward import mlp_scan


class Kept(NamedTuple):
    """What the backward pass needs of M mini-batches, in the dtype of q but for b1."""

    z2: Tensor  # [N, M * b, D], the network's output at k
    z2q: Tensor  # [N, M * b, D], the network's output at q, after the step
    w1: Tensor  # [N, M + 1, D, F], before each mini-batch and after the last
    b1: Tensor  # [N, M + 1, F] float32
    w2: Tensor  # [N, M + 1, D, F], transposed


@dataclass(frozen=True)
class Tiling:
    """hidden: hidden values of a slice, at most; warps: of a program, doubled for heads or mini-batches over 64.

    stages: how far loads run ahead in the loops over slices. registers: of a thread at most, None for as many as it
    takes; no limit where the warps are doubled. These are the fastest of `bench/ttt_sweep.py` on an H200 (heads of
    64, b = 64, F = 256, bfloat16), where a third program a multiprocessor is worth more than the registers it costs.
    """

    hidden: int = 32
    warps: int = 4
    stages: int = 1
    registers: int | None = 168


FORWARD, BACKWARD = Tiling(), Tiling()


def packed(state: Sequence[Tensor]) -> MLPState:
    """A copy as the kernels work on it: contiguous, w2 transposed."""
    w1, b1, w2, b2 = state
    return MLPState(*(w.clone(memory_format=torch.contiguous_format) for w in (w1, b1, w2.mT, b2)))


def unpacked(work: Sequence[Tensor]) -> MLPState:
    w1, b1, w2, b2 = work
    return MLPState(w1, b1, w2.mT, b2)


def room(tokens: Tokens, problem: TTTProblem, group: Group, state: Sequence[Tensor]) -> Kept:
    w1 = state[0]
    rows, width, hidden = w1[..., 0, 0].numel(), *w1.shape[-2:]
    own = {"dtype": tokens.q.dtype, "device": tokens.q.device}
    outputs = (rows, group.mini_batches * problem.mini_batch, width)
    slots = (rows, group.mini_batches + 1)
    return Kept(
        torch.empty(outputs, **own),
        torch.empty(outputs, **own),
        torch.empty(*slots, width, hidden, **own),
        torch.empty(*slots, hidden, dtype=torch.float32, device=tokens.q.device),
        torch.empty(*slots, width, hidden, **own),
    )


def read(
    tokens: Tokens,
    norm: HeadNorm,
    problem: TTTProblem,
    group: Group,
    state: Sequence[Tensor],
    y: Tensor | None,
    kept: Sequence[Tensor] | None,
) -> None:
    """Reads a group: changes `state`, and writes y and what is to be kept where there is room for it."""
    batch, length, heads, _ = tokens.q.shape
    with on(tokens.q.device):
        cast(Any, mlp_scan)[(batch * heads,)](
            *tokens,
            *state,
            *norm,
            tokens.q if y is None else y,
            *(kept or Kept(tokens.q, tokens.q, tokens.q, norm.weight, tokens.q)),  # never written then
            *group,
            length,
            heads,
            *tokens.all_strides(),
            1.0 / problem.mini_batch,
            problem.eps,
            OUTPUT=y is not None,
            KEEP=kept is not None,
            **_constants(tokens, state[1].shape[-1], problem, FORWARD),
        )


def go_back(
    tokens: Tokens,
    norm: HeadNorm,
    problem: TTTProblem,
    group: Group,
    kept: Sequence[Tensor],
    dy: Tensor,
    dtokens: Tokens,
    dstate: Sequence[Tensor],
    dnorm: HeadNorm,
) -> None:
    """Takes `dstate` from the end of a group to its beginning; writes its `dtokens`, adds to `dnorm`."""
    batch, length, heads, _ = tokens.q.shape
    hidden = dstate[1].shape[-1]
    scratch = torch.empty(batch * heads, problem.mini_batch, hidden, dtype=tokens.q.dtype, device=dy.device)
    with on(dy.device):
        cast(Any, mlp_scan_backward)[(batch * heads,)](
            *tokens,
            dy,
            *norm,
            *kept,
            *dtokens,
            *dstate,
            *dnorm,
            scratch,
            *group,
            length,
            heads,
            *tokens.all_strides(),
            *dy.stride()[:3],
            1.0 / problem.mini_batch,
            problem.eps,
            **_constants(tokens, hidden, problem, BACKWARD),
        )


def _constants(tokens: Tokens, hidden: int, problem: TTTProblem, tiling: Tiling) -> dict[str, int | None]:
    own = program(tokens.q.shape[-1], problem, tiling.warps, tiling.registers)
    return {**own, "F": hidden, "C": math.gcd(hidden, tiling.hidden), "num_stages": tiling.stages}
