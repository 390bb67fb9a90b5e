"""The backward kernel's dataflow in torch, with its rounding: what its gradients should be, without a GPU.

Letters: N = B * H sequences and heads, T tokens, b of a mini-batch, D = 64 head width, F = 256 hidden width.
Names as in "The gradient of training, by hand" of the README of `ops/ttt`; rounding as in `emulation.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from storyreel.ops.ttt.hopper.emulation import TANH_ERROR, gelu_and_slope, rounded, standardise
from storyreel.ops.ttt.hopper.states import Gradients, Kept
from storyreel.ops.ttt.problem import TTTProblem
from storyreel.ops.ttt.reference import CUBIC, SLOPE
from storyreel.ops.ttt.states import HeadNorm, MLPState

WORKERS = 4


class Memory(NamedTuple):
    """A state or its gradient, float32."""

    w1: Tensor  # [N, D, F]
    b1: Tensor  # [N, 1, F]
    w2: Tensor  # [N, D, F], transposed
    b2: Tensor  # [N, 1, D]


class Step(NamedTuple):
    """The slope of the inner loss of a mini-batch: what is kept of it, and what is computed again from that."""

    standard: Tensor  # [N, b, D] rounded to float16
    inverse: Tensor  # [N, b, 1]
    error: Tensor  # [N, b, D]
    across: Tensor  # u
    along: Tensor  # m
    factor: Tensor  # f


def go_back(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    eta: Tensor,
    kept: Kept,
    norm: HeadNorm,
    problem: TTTProblem,
    every: int,
    dy: Tensor,
    dstate: MLPState,
    cluster: int = 2,
    tanh_error: float = TANH_ERROR,
) -> Gradients:
    """As `backward_launch.go_back`: every tensor alike. `tanh_error` is relative, of alternating sign."""
    batch, length, heads, _ = q.shape
    size = problem.mini_batch
    gamma, beta = (n.repeat(batch, 1)[:, None] for n in norm)
    parts = [
        [x.float() for x in _padded(x, -length % size).transpose(1, 2).flatten(0, 1).split(size, dim=1)]
        for x in (q, k, v, eta[..., None], dy)
    ]
    mini_batches = list(zip(*parts, strict=True))
    w1, b1, w2, b2 = (w.float().flatten(0, 1) for w in dstate)
    grown = Memory(w1, b1[:, None], w2.mT, b2[:, None])
    dnorm = [torch.zeros_like(gamma), torch.zeros_like(gamma)]
    found: list[tuple[Tensor, ...]] = []
    for number in reversed(range(kept.w1.shape[1])):
        group = mini_batches[number * every : (number + 1) * every]
        states = [Memory(kept.w1[:, number], kept.b1[:, number, None], kept.w2[:, number], kept.b2[:, number, None])]
        steps = []
        for _, k_, v_, eta_, _ in group:
            after, step = _learn(k_, v_, eta_, states[-1], gamma, beta, problem, tanh_error)
            states.append(after)
            steps.append(step)
        for i in reversed(range(len(group))):
            q_, k_, _, _, dy_ = group[i]
            dq, grown = _question(q_, dy_, states[i + 1], grown, gamma, problem, dnorm, cluster, tanh_error)
            *rest, grown = _walk(k_, states[i], steps[i], grown, gamma, problem, dnorm, cluster, tanh_error)
            found.append((dq, *rest))
    dq, dk, dv, deta = (
        torch.cat(x[::-1], dim=1).unflatten(0, (batch, heads)).transpose(1, 2)[:, :length]
        for x in zip(*found, strict=True)
    )
    w1, b1, w2, b2 = (w.unflatten(0, (batch, heads)) for w in grown)
    weight, bias = (x.unflatten(0, (batch, heads)).sum(0)[:, 0] for x in dnorm)
    state = MLPState(w1, b1[:, :, 0], w2.mT, b2[:, :, 0])
    dq, dk, dv = (x.to(q.dtype) for x in (dq, dk, dv))
    return Gradients(dq, dk, dv, deta[..., 0], state, HeadNorm(weight, bias))


def _learn(
    k: Tensor,
    v: Tensor,
    eta: Tensor,
    state: Memory,
    gamma: Tensor,
    beta: Tensor,
    problem: TTTProblem,
    tanh_error: float,
) -> tuple[Memory, Step]:
    """A mini-batch's step, again."""
    w1, b1, w2, b2 = state
    x2, bend = gelu_and_slope(k @ rounded(w1) + b1, tanh_error)
    x2, bend = rounded(x2), bend.half().float()
    standard, inverse = standardise(b2 + _summed(_parts(x2, rounded(w2))), problem.eps)
    standard = standard.half().float()
    error = gamma * standard + beta - (v - k)
    g = gamma * error
    along = _mean(g * standard)
    across = g - _mean(g) - standard * along
    factor = -eta / problem.mini_batch * inverse
    push2 = rounded(factor * across)
    push1 = rounded(push2 @ rounded(w2) * bend)
    after = Memory(
        w1 + k.mT @ push1, b1 + push1.sum(1, keepdim=True), w2 + push2.mT @ x2, b2 + push2.sum(1, keepdim=True)
    )
    return after, Step(standard, inverse, error, across, along, factor)


def _question(
    q: Tensor,
    dy: Tensor,
    state: Memory,
    grown: Memory,
    gamma: Tensor,
    problem: TTTProblem,
    dnorm: list[Tensor],
    cluster: int,
    tanh_error: float,
) -> tuple[Tensor, Memory]:
    """dq, and the gradient of the state that answered q."""
    w1, b1, w2, b2 = state
    x2, bend = gelu_and_slope(q @ rounded(w1) + b1, tanh_error)
    x2, bend = rounded(x2), bend.half().float()
    standard, inverse = standardise(b2 + _summed(_parts(x2, rounded(w2))), problem.eps)
    dnorm[0] += (dy * standard).sum(1, keepdim=True)
    dnorm[1] += dy.sum(1, keepdim=True)
    g = gamma * dy
    dz2 = rounded((g - _mean(g) - standard * _mean(g * standard)) * inverse)
    dz1 = rounded(dz2 @ rounded(w2) * bend)
    dq = _finished(_parts(dz1, rounded(w1)), dy, cluster)
    return dq, _grow(grown, q, dz1, x2, dz2)


def _walk(
    k: Tensor,
    state: Memory,
    step: Step,
    grown: Memory,
    gamma: Tensor,
    problem: TTTProblem,
    dnorm: list[Tensor],
    cluster: int,
    tanh_error: float,
) -> tuple[Tensor, Tensor, Tensor, Memory]:
    """dk, dv, deta, and the gradient of the state before the step."""
    w1, b1, w2, _ = state
    z1 = k @ rounded(w1) + b1
    x2, bend = gelu_and_slope(z1, tanh_error)
    x2, bend, bend2 = rounded(x2), bend.half().float(), _second_slope(z1, tanh_error)
    push2 = rounded(step.factor * step.across)
    g1, g2, w1_in, w2_in = rounded(grown.w1), rounded(grown.w2), rounded(w1), rounded(w2)

    da = k @ g1 + grown.b1
    dbefore = rounded(da * bend)
    dp = grown.b2 + _summed(a + b for a, b in zip(_parts(x2, g2), _parts(dbefore, w2_in), strict=True))
    before = push2 @ w2_in
    push1 = rounded(before * bend)
    rest = rounded(da * bend2 * before + push2 @ g2 * bend)
    grown = grown._replace(w2=grown.w2 + push2.mT @ dbefore)

    standard, factor, across = step.standard, step.factor, rounded(step.across)
    level, lean, turn = _mean(dp), _mean(dp * standard), _mean(dp * across)
    deta = -turn * (dp.shape[-1] / problem.mini_batch) * step.inverse
    dg = factor * (dp - level - standard * lean)
    derror = gamma * dg
    dnorm[0] += (dg * (step.error + gamma * standard)).sum(1, keepdim=True)
    dnorm[1] += derror.sum(1, keepdim=True)
    ds = gamma * derror
    ds = ds - _mean(ds) - standard * _mean(ds * standard)
    dz2 = (ds - step.along * dg - factor * lean * across - standard * factor * turn) * step.inverse

    dz2 = rounded(dz2)
    dz1 = rounded(dz2 @ w2_in * bend + rest)
    dk = _finished([a + b for a, b in zip(_parts(push1, g1), _parts(dz1, w1_in), strict=True)], derror, cluster)
    return dk, -derror, deta, _grow(grown, k, dz1, x2, dz2)


def _grow(grown: Memory, x: Tensor, dz1: Tensor, x2: Tensor, dz2: Tensor) -> Memory:
    w1, b1, w2, b2 = grown
    return Memory(w1 + x.mT @ dz1, b1 + dz1.sum(1, keepdim=True), w2 + dz2.mT @ x2, b2 + dz2.sum(1, keepdim=True))


def _parts(hidden: Tensor, w: Tensor) -> list[Tensor]:
    """Each worker's part of hidden `[N, b, F]` times w `[N, D, F]` transposed."""
    size = hidden.shape[-1] // WORKERS
    return [a @ b.mT for a, b in zip(hidden.split(size, -1), w.split(size, -1), strict=True)]


def _summed(parts: Iterable[Tensor]) -> Tensor:
    return sum((rounded(part) for part in parts), torch.zeros(()))


def _finished(parts: list[Tensor], first: Tensor, cluster: int) -> Tensor:
    """The sum of the parts and `first`. Worker w finishes the 16 rows of warp w, and `first` comes with its part. Where
    two workers share a multiprocessor, one brings the first 8 rows of both, the other the last 8.
    """
    rows, local = torch.arange(first.shape[1]), WORKERS // cluster
    owner, half = rows // (first.shape[1] // WORKERS), rows // 8 % 2
    brings = owner // local * local + (half if local > 1 else 0)
    total = torch.zeros(())
    for number, part in enumerate(parts):
        whole = part + torch.where((brings == number)[:, None], first, 0)
        total = total + torch.where((owner == number)[:, None], whole, rounded(whole))
    return total


def _second_slope(z: Tensor, tanh_error: float) -> Tensor:
    tanh = torch.tanh(SLOPE * (z + CUBIC * z**3)) * (1 + tanh_error * torch.sign(torch.sin(1e4 * z)))
    w = 2 * SLOPE * (1 + 3 * CUBIC * z**2)
    return (1 - tanh**2) / 4 * (2 * w - z * tanh * w**2 + 12 * SLOPE * CUBIC * z**2)


def _mean(x: Tensor) -> Tensor:
    return x.mean(-1, keepdim=True)


def _padded(x: Tensor, tokens: int) -> Tensor:
    return torch.cat([x, x.new_zeros(x.shape[0], tokens, *x.shape[2:])], dim=1)
