"""The way in: what the kernels can take, and what they are to autograd.

Letters: B batch, T tokens, H heads, D head width.

Nothing here waits for the device, so that all of it can be captured in a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from storyreel.errors import KernelUnavailable
from storyreel.ops.ttt.problem import TTTProblem
from storyreel.ops.ttt.states import HeadNorm, LinearState, MLPState
from storyreel.ops.ttt.triton_kernels import linear_launch, mlp_launch
from storyreel.ops.ttt.triton_kernels.groups import Group, Tokens, groups

HEAD_WIDTHS, MINI_BATCHES = (16, 32, 64, 128), (16, 32, 64, 128)
DTYPES = (torch.bfloat16, torch.float16, torch.float32)


class Memory(Protocol):
    """A memory's launches: `mlp_launch` and `linear_launch` say what each does."""

    def packed(self, state: Sequence[Tensor], /) -> MLPState | LinearState: ...

    def unpacked(self, work: Sequence[Tensor], /) -> MLPState | LinearState: ...

    def room(
        self, tokens: Tokens, problem: TTTProblem, group: Group, state: Sequence[Tensor], /
    ) -> tuple[Tensor, ...]: ...

    def read(
        self,
        tokens: Tokens,
        norm: HeadNorm,
        problem: TTTProblem,
        group: Group,
        state: Sequence[Tensor],
        y: Tensor | None,
        kept: Sequence[Tensor] | None,
        /,
    ) -> None: ...

    def go_back(
        self,
        tokens: Tokens,
        norm: HeadNorm,
        problem: TTTProblem,
        group: Group,
        kept: Sequence[Tensor],
        dy: Tensor,
        dtokens: Tokens,
        dstate: Sequence[Tensor],
        dnorm: HeadNorm,
        /,
    ) -> None: ...


def ttt(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    eta: Tensor,
    state: MLPState | LinearState,
    norm: HeadNorm,
    problem: TTTProblem,
) -> tuple[Tensor, MLPState | LinearState]:
    """q, k, v `[B, T, H, D]` in one of DTYPES, eta `[B, T, H]`, state and norm in float32, to y and the last state.

    The state as in `states.py`. KernelUnavailable, saying what is needed, for anything that the kernels cannot take.
    """
    _check(q, state, problem)
    memory: Memory = mlp_launch if isinstance(state, MLPState) else linear_launch
    q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v))
    tokens = Tokens(q, k, v, eta)
    norm = HeadNorm(*(x.contiguous() for x in norm))
    tensors = (*tokens, *norm, *state)
    if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
        y, *learned = _Scan.apply(*tensors, memory, problem)  # pyright: ignore[reportGeneralTypeIssues]
        return y, type(state)(*learned)
    y, work = torch.empty(q.shape, dtype=q.dtype, device=q.device), memory.packed(state)
    for group in groups(q.shape[1], problem.mini_batch, 0):
        memory.read(tokens, norm, problem, group, work, y, None)
    return y, memory.unpacked(work)


def _check(q: Tensor, state: MLPState | LinearState, problem: TTTProblem) -> None:
    width = q.shape[-1]
    fits = width in HEAD_WIDTHS and problem.mini_batch in MINI_BATCHES and q.dtype in DTYPES
    needs, got = f"heads of {_either(HEAD_WIDTHS)}, mini-batches of {_either(MINI_BATCHES)}", f"heads of {width}"
    got += f", mini-batches of {problem.mini_batch}"
    if isinstance(state, MLPState):
        hidden = state.b1.shape[-1]
        fits = fits and hidden % 16 == 0
        needs, got = f"{needs}, a hidden width divisible by 16", f"{got}, hidden width {hidden}"
    if not fits:
        raise KernelUnavailable(
            f'TTT backend "triton" needs {needs} and bfloat16, float16 or float32; got {got} and {q.dtype}. '
            'Try backend="dual".'
        )


def _either(numbers: tuple[int, ...]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} or {numbers[-1]}"


class _Scan(torch.autograd.Function):
    """(q, k, v, eta, norm weight, norm bias, *state, memory, problem) to (y, *state)."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, ...]:
        *tensors, memory, problem = args
        tokens, norm, state = Tokens(*tensors[:4]), HeadNorm(*tensors[4:6]), memory.packed(tensors[6:])
        y = torch.empty(tokens.q.shape, dtype=tokens.q.dtype, device=tokens.q.device)
        kept: list[Tensor] = []
        for group in groups(tokens.q.shape[1], problem.mini_batch, problem.checkpoint_every):
            if problem.checkpoint_every:
                kept += (w.clone() for w in state)
                memory.read(tokens, norm, problem, group, state, y, None)
            else:
                room = memory.room(tokens, problem, group, state)
                kept += room
                memory.read(tokens, norm, problem, group, state, y, room)
        ctx.save_for_backward(*tokens, *norm, *kept)
        ctx.memory, ctx.problem = memory, problem
        return y, *memory.unpacked(state)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        memory: Memory = ctx.memory
        problem: TTTProblem = ctx.problem
        saved = ctx.saved_tensors  # once: each reading unpacks them, which checkpointing allows no second time
        tokens, norm, kept = Tokens(*saved[:4]), HeadNorm(*saved[4:6]), saved[6:]
        dy = grads[0] if grads[0].stride(-1) == 1 else grads[0].contiguous()
        dstate = memory.packed(grads[1:])
        batch, length, heads, width = tokens.q.shape
        dtokens = Tokens(*(torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in tokens))
        dnorm = HeadNorm(*(torch.zeros(batch, heads, width, device=dy.device) for _ in range(2)))
        own = list(enumerate(groups(length, problem.mini_batch, problem.checkpoint_every)))
        for number, group in reversed(own):
            room = kept
            if problem.checkpoint_every:
                size = len(dstate)
                state = [w.clone() for w in kept[size * number : size * (number + 1)]]
                room = memory.room(tokens, problem, group, state)
                memory.read(tokens, norm, problem, group, state, None, room)
            memory.go_back(tokens, norm, problem, group, room, dy, dtokens, dstate, dnorm)
        return *dtokens, *(x.sum(0) for x in dnorm), *memory.unpacked(dstate), None, None
