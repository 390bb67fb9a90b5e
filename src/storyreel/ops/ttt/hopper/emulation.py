"""The kernel's dataflow in torch, with its rounding: what every value of a launch should be, without a GPU.

Letters: N = B * H sequences and heads, b tokens of a mini-batch, D = 64 head width, F = 256 hidden width.

Products have bfloat16 operands and float32 sums; the weights are float32, their bfloat16 copies feed the products. The
hidden values are dealt out to `workers`, whose parts of the network's output are rounded to bfloat16 on the way to the
others. What is left to chance on the device is the order of float32 sums, and tanh, right to 2^-11 there.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from storyreel.ops.ttt.problem import TTTProblem
from storyreel.ops.ttt.reference import CUBIC, SLOPE
from storyreel.ops.ttt.states import HeadNorm, MLPState

TANH_ERROR = 2.0**-11


class Values(NamedTuple):
    """One mini-batch from inside, in the order in which the kernel dumps them (`plan.cuh: Dump`), float32."""

    z1: Tensor  # [N, b, F], bias included
    z2: Tensor  # [N, b, D]
    step2: Tensor  # [N, b, D]: what z2 should move by, -eta / b times its slope
    step1: Tensor  # [N, b, F]: the same for z1
    w1: Tensor  # [N, D, F] after the step
    w2: Tensor  # [N, D, F] after the step, transposed
    z1q: Tensor  # [N, b, F], of q at the state after the step
    z2q: Tensor  # [N, b, D]


def ttt(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    eta: Tensor,
    state: MLPState,
    norm: HeadNorm,
    problem: TTTProblem,
    workers: int = 2,
    answerers: int = 0,
    tanh_error: float = TANH_ERROR,
) -> tuple[Tensor, MLPState, Values]:
    """q, k, v `[B, T, H, D]` bfloat16, eta `[B, T, H]`, state and norm float32, to y, the last state and the values of
    the first mini-batch. workers, and answerers for the outputs (0: as many): see `launch.Launch`. `tanh_error` is
    relative, of alternating sign.
    """
    shares = workers, answerers or workers
    batch, length, heads, _ = q.shape
    size = problem.mini_batch
    missing = -length % size
    rows = [_padded(x, missing).transpose(1, 2).flatten(0, 1) for x in (q, k, v, eta[..., None])]
    w1, b1, w2, b2 = (w.float().flatten(0, 1) for w in state)
    memory = (w1, b1[:, None], w2.mT, b2[:, None])
    gamma, beta = (n.repeat(batch, 1)[:, None] for n in norm)
    outputs, first = [], None
    for start in range(0, length + missing, size):
        own_q, own_k, own_v, own_eta = (x[:, start : start + size].float() for x in rows)
        y, memory, values = _mini_batch(own_q, own_k, own_v, own_eta, memory, gamma, beta, problem, shares, tanh_error)
        outputs.append(y)
        first = first or values
    assert first is not None
    y = torch.cat(outputs, dim=1).unflatten(0, (batch, heads)).transpose(1, 2)[:, :length]
    w1, b1, w2, b2 = (w.unflatten(0, (batch, heads)) for w in memory)
    return y.to(q.dtype), MLPState(w1, b1[:, :, 0], w2.mT, b2[:, :, 0]), first


def _mini_batch(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    eta: Tensor,
    memory: tuple[Tensor, ...],
    gamma: Tensor,
    beta: Tensor,
    problem: TTTProblem,
    shares: tuple[int, int],
    tanh_error: float,
) -> tuple[Tensor, tuple[Tensor, ...], Values]:
    w1, b1, w2, b2 = memory
    workers, answerers = shares
    z1 = k @ rounded(w1) + b1
    x2, bend = gelu_and_slope(z1, tanh_error)
    x2, bend = rounded(x2), bend.half().float()
    z2 = b2 + sum(rounded(part) for part in second_layer(x2, w2, workers))
    standard, inverse = standardise(z2, problem.eps)
    slope = gamma * gamma * standard + gamma * (beta - (v - k))
    along = (slope * standard).mean(-1, keepdim=True)
    step2 = -eta / problem.mini_batch * inverse * (slope - slope.mean(-1, keepdim=True) - standard * along)
    push2 = rounded(step2)
    step1 = push2 @ rounded(w2) * bend
    push1 = rounded(step1)
    w1, b1 = w1 + k.mT @ push1, b1 + push1.sum(1, keepdim=True)
    w2, b2 = w2 + push2.mT @ x2, b2 + push2.sum(1, keepdim=True)

    z1q = q @ rounded(w1) + b1
    parts = second_layer(rounded(gelu_and_slope(z1q, tanh_error)[0]), w2, answerers)
    own = torch.arange(q.shape[1]).div(q.shape[1] // answerers, rounding_mode="floor")[:, None]  # who finishes a row
    z2q = b2 + sum(torch.where(own == number, part, rounded(part)) for number, part in enumerate(parts))
    y = q + gamma * standardise(z2q, problem.eps)[0] + beta
    return y, (w1, b1, w2, b2), Values(z1, z2, step2, step1, w1, w2, z1q, z2q)


def second_layer(x2: Tensor, w2: Tensor, workers: int) -> list[Tensor]:
    """Each worker's part of the network's output."""
    size = x2.shape[-1] // workers
    return [a @ w.mT for a, w in zip(x2.split(size, -1), rounded(w2).split(size, -1), strict=True)]


def gelu_and_slope(z: Tensor, tanh_error: float) -> tuple[Tensor, Tensor]:
    tanh = torch.tanh(SLOPE * (z + CUBIC * z**3)) * (1 + tanh_error * torch.sign(torch.sin(1e4 * z)))
    return z / 2 * (1 + tanh), (1 + tanh) / 2 + z / 2 * (1 - tanh**2) * SLOPE * (1 + 3 * CUBIC * z**2)


def standardise(z: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    centred = z - z.mean(-1, keepdim=True)
    inverse = torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps)
    return centred * inverse, inverse


def rounded(x: Tensor) -> Tensor:
    return x.bfloat16().float()


def _padded(x: Tensor, tokens: int) -> Tensor:
    return torch.cat([x, x.new_zeros(x.shape[0], tokens, *x.shape[2:])], dim=1)
