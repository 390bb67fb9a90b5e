"""Launches of the kernels, and what they are to autograd.

Letters: B batch, T tokens, H heads, D head width, F hidden width, b tokens of a mini-batch, N = B * H.

Nothing here waits for the device, so that all of it can be captured in a CUDA graph.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
import triton  # pyright: ignore[reportMissingImports]
from torch import Tensor
from torch.autograd.function import once_differentiable

from storyreel.errors import KernelUnavailable
from storyreel.ops.ttt.problem import TTTProblem
from storyreel.ops.ttt.states import HeadNorm, LinearState, MLPState
from storyreel.ops.ttt.triton_kernels.mlp_backward import mlp_scan_backward
from storyreel.ops.ttt.triton_kernels.mlp_forward import mlp_scan

HEAD_WIDTHS, MINI_BATCHES = (16, 32, 64, 128), (16, 32, 64, 128)
DTYPES = (torch.bfloat16, torch.float16, torch.float32)


class Tokens(NamedTuple):
    """What is read: q, k, v `[B, T, H, D]` and eta `[B, T, H]` float32."""

    q: Tensor
    k: Tensor
    v: Tensor
    eta: Tensor


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
    takes. These are the fastest of `bench/ttt_op.py --sweep` on an H200 (heads of 64, b = 64, F = 256, bfloat16), where
    a third program a multiprocessor is worth more than the registers it costs.
    """

    hidden: int = 32
    warps: int = 4
    stages: int = 1
    registers: int | None = 168


FORWARD, BACKWARD = Tiling(), Tiling()


class Group(NamedTuple):
    """Mini-batches that one launch reads: so many, from token `first` on."""

    first: int
    mini_batches: int


def ttt(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    eta: Tensor,
    state: MLPState | LinearState,
    norm: HeadNorm,
    problem: TTTProblem,
) -> tuple[Tensor, MLPState]:
    """q, k, v `[B, T, H, D]` in one of DTYPES, eta `[B, T, H]`, state and norm in float32, to y and the last state.

    The state as in `states.py`. KernelUnavailable, saying what is needed, for anything that the kernels cannot take.
    """
    state = _served(q, state, problem)
    q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v))
    tokens = Tokens(q, k, v, eta)
    norm = HeadNorm(*(x.contiguous() for x in norm))
    tensors = (*tokens, *state, *norm)
    if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
        y, *learned = _MLPScan.apply(*tensors, problem)  # pyright: ignore[reportGeneralTypeIssues]
        final = MLPState(*learned)
    else:
        y, work = torch.empty(q.shape, dtype=q.dtype, device=q.device), _packed(state)
        for group in _groups(q.shape[1], problem.mini_batch, 0):
            _read(tokens, work, norm, problem, group, y, None)
        final = _unpacked(work)
    return y, final


def _served(q: Tensor, state: MLPState | LinearState, problem: TTTProblem) -> MLPState:
    """The state, if the kernels can serve; KernelUnavailable otherwise."""
    width = q.shape[-1]
    if not isinstance(state, MLPState):
        raise KernelUnavailable('TTT backend "triton" has TTT-MLP alone; got TTT-Linear. Try backend="dual".')
    hidden = state.b1.shape[-1]
    fits = width in HEAD_WIDTHS and problem.mini_batch in MINI_BATCHES and hidden % 16 == 0 and q.dtype in DTYPES
    if not fits:
        raise KernelUnavailable(
            f'TTT backend "triton" needs heads of {_either(HEAD_WIDTHS)}, mini-batches of {_either(MINI_BATCHES)}, a '
            "hidden width divisible by 16 and bfloat16, float16 or float32; got heads of "
            f"{width}, mini-batches of {problem.mini_batch}, hidden width {hidden} and {q.dtype}. "
            'Try backend="dual".'
        )
    return state


def _either(numbers: tuple[int, ...]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} or {numbers[-1]}"


class _MLPScan(torch.autograd.Function):
    """(q, k, v, eta, w1, b1, w2, b2, norm weight, norm bias, problem) to (y, w1, b1, w2, b2)."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, ...]:
        *tensors, problem = args
        tokens, state, norm = Tokens(*tensors[:4]), _packed(MLPState(*tensors[4:8])), HeadNorm(*tensors[8:])
        y = torch.empty(tokens.q.shape, dtype=tokens.q.dtype, device=tokens.q.device)
        kept: list[Tensor] = []
        for group in _groups(tokens.q.shape[1], problem.mini_batch, problem.checkpoint_every):
            if problem.checkpoint_every:
                kept += (w.clone() for w in state)
                _read(tokens, state, norm, problem, group, y, None)
            else:
                room = _room(tokens, state, problem, group)
                kept += room
                _read(tokens, state, norm, problem, group, y, room)
        ctx.save_for_backward(*tokens, *norm, *kept)
        ctx.problem = problem
        return y, *_unpacked(state)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        problem: TTTProblem = ctx.problem
        tokens, norm = Tokens(*ctx.saved_tensors[:4]), HeadNorm(*ctx.saved_tensors[4:6])
        kept = ctx.saved_tensors[6:]
        dy = grads[0] if grads[0].stride(-1) == 1 else grads[0].contiguous()
        dstate = _packed(MLPState(*grads[1:]))
        batch, length, heads, width = tokens.q.shape
        dtokens = Tokens(*(torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in tokens))
        dnorm = tuple(torch.zeros(batch, heads, width, device=dy.device) for _ in range(2))
        scratch = torch.empty(
            batch * heads, problem.mini_batch, dstate.b1.shape[-1], dtype=tokens.q.dtype, device=dy.device
        )
        groups = list(enumerate(_groups(length, problem.mini_batch, problem.checkpoint_every)))
        for number, group in reversed(groups):
            if problem.checkpoint_every:
                state = MLPState(*(w.clone() for w in kept[4 * number : 4 * number + 4]))
                room = _room(tokens, state, problem, group)
                _read(tokens, state, norm, problem, group, None, room)
            else:
                room = Kept(*kept)
            _go_back(tokens, norm, problem, group, room, dy, dtokens, dstate, dnorm, scratch)
        return *dtokens, *_unpacked(dstate), *(x.sum(0) for x in dnorm), None


def _packed(state: MLPState) -> MLPState:
    """A copy as the kernels work on it: contiguous, w2 transposed."""
    state = state._replace(w2=state.w2.mT)
    return MLPState(*(w.clone(memory_format=torch.contiguous_format) for w in state))


def _unpacked(work: MLPState) -> MLPState:
    return work._replace(w2=work.w2.mT)


def _groups(tokens: int, mini_batch: int, every: int) -> Iterator[Group]:
    """The sequence in groups of `every` mini-batches, 0 for one group of all."""
    count = -(-tokens // mini_batch)
    every = every or count
    for start in range(0, count, every):
        yield Group(start * mini_batch, min(every, count - start))


def _room(tokens: Tokens, state: MLPState, problem: TTTProblem, group: Group) -> Kept:
    rows, width, hidden = state.w1[..., 0, 0].numel(), *state.w1.shape[-2:]
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


def _constants(tokens: Tokens, hidden: int, problem: TTTProblem, tiling: Tiling) -> dict[str, int | None]:
    width = tokens.q.shape[-1]
    return {
        "SIZE": problem.mini_batch,
        "D": width,
        "F": hidden,
        "C": math.gcd(hidden, tiling.hidden),
        "num_warps": tiling.warps * (2 if max(width, problem.mini_batch) > 64 else 1),
        "num_stages": tiling.stages,
        "maxnreg": tiling.registers,
    }


def _read(
    tokens: Tokens,
    state: MLPState,
    norm: HeadNorm,
    problem: TTTProblem,
    group: Group,
    y: Tensor | None,
    room: Kept | None,
) -> None:
    """Reads a group: changes `state`, and writes y and what is to be kept where there is room for it."""
    batch, length, heads, _ = tokens.q.shape
    kept = room or Kept(tokens.q, tokens.q, tokens.q, norm.weight, tokens.q)  # never written then
    with _on(tokens.q.device):
        cast(Any, mlp_scan)[(batch * heads,)](
            *tokens,
            *state,
            *norm,
            tokens.q if y is None else y,
            *kept,
            *group,
            length,
            heads,
            *_strides(tokens),
            1.0 / problem.mini_batch,
            problem.eps,
            OUTPUT=y is not None,
            KEEP=room is not None,
            **_constants(tokens, state.b1.shape[-1], problem, FORWARD),
        )


def _go_back(
    tokens: Tokens,
    norm: HeadNorm,
    problem: TTTProblem,
    group: Group,
    kept: Kept,
    dy: Tensor,
    dtokens: Tokens,
    dstate: MLPState,
    dnorm: tuple[Tensor, ...],
    scratch: Tensor,
) -> None:
    """Takes `dstate` from the end of a group to its beginning; writes its `dtokens`, adds to `dnorm`."""
    batch, length, heads, _ = tokens.q.shape
    with _on(dy.device):
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
            *_strides(tokens),
            *dy.stride()[:3],
            1.0 / problem.mini_batch,
            problem.eps,
            **_constants(tokens, dstate.b1.shape[-1], problem, BACKWARD),
        )


def _strides(tokens: Tokens) -> Iterator[int]:
    for x in tokens:
        yield from x.stride()[:3]


@contextlib.contextmanager
def _on(device: torch.device) -> Iterator[None]:
    """Launches on the GPU of the tensors, which need not be the current one; KernelUnavailable if it is too small."""
    try:
        with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
            yield
    except triton.OutOfResources as error:
        raise KernelUnavailable(
            f'TTT backend "triton" needs more than this GPU has for tensors of this size and dtype: {error} '
            'Try bfloat16 or backend="dual".'
        ) from error
