"""Launches of the TTT-Linear kernels.

Letters: B batch, T tokens, H heads, D head width, b tokens of a mini-batch, N = B * H.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from storyreel.ops.ttt.problem import TTTProblem
from storyreel.ops.ttt.states import HeadNorm, LinearState
from storyreel.ops.ttt.triton_kernels.groups import Group, Tokens, on, program
from storyreel.ops.ttt.triton_kernels.linear_backward import linear_scan_backward
from storyreel.ops.ttt.triton_kernels.linear_forward import linear_scan


class Kept(NamedTuple):
    """What the backward pass needs of M mini-batches: the states before each and after the last."""

    w: Tensor  # [N, M + 1, D, D] in the dtype of q
    b: Tensor  # [N, M + 1, D] float32


@dataclass(frozen=True)
class Choice:
    """warps: of a program, doubled for heads or mini-batches over 64; registers: of a thread at most, None: no limit.

    No limit where the warps are doubled. With 168 three programs share a multiprocessor (65,536 registers), as those
    of TTT-MLP do; without, two.
    """

    warps: int = 4
    registers: int | None = 168


FORWARD, BACKWARD = Choice(), Choice()


def packed(state: Sequence[Tensor]) -> LinearState:
    """A contiguous copy, for the kernels to write on."""
    return LinearState(*(w.clone(memory_format=torch.contiguous_format) for w in state))


def unpacked(work: Sequence[Tensor]) -> LinearState:
    return LinearState(*work)


def room(tokens: Tokens, problem: TTTProblem, group: Group, state: Sequence[Tensor]) -> Kept:
    b = state[1]
    slots, width = (b[..., 0].numel(), group.mini_batches + 1), b.shape[-1]
    return Kept(
        torch.empty(*slots, width, width, dtype=tokens.q.dtype, device=b.device),
        torch.empty(*slots, width, dtype=torch.float32, device=b.device),
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
    batch, length, heads, width = tokens.q.shape
    with on(tokens.q.device):
        cast(Any, linear_scan)[(batch * heads,)](
            *tokens,
            *state,
            *norm,
            tokens.q if y is None else y,
            *(kept or Kept(tokens.q, norm.weight)),  # never written then
            *group,
            length,
            heads,
            *tokens.all_strides(),
            1.0 / problem.mini_batch,
            problem.eps,
            OUTPUT=y is not None,
            KEEP=kept is not None,
            **program(width, problem, FORWARD.warps, FORWARD.registers),
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
    batch, length, heads, width = tokens.q.shape
    with on(dy.device):
        cast(Any, linear_scan_backward)[(batch * heads,)](
            *tokens,
            dy,
            *norm,
            *kept,
            *dtokens,
            *dstate,
            *dnorm,
            *group,
            length,
            heads,
            *tokens.all_strides(),
            *dy.stride()[:3],
            1.0 / problem.mini_batch,
            problem.eps,
            **program(width, problem, BACKWARD.warps, BACKWARD.registers),
        )
