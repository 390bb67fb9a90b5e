"""TTT-MLP and TTT-Linear, token by token: the specification (the mathematics is in this folder's README).

Letters: B batch, T tokens, H heads, D head width, F hidden width. Any floating dtype; all tensors share it.
"""

import math

import torch
from torch import Tensor

from storyreel.ops.ttt.problem import TTTProblem
from storyreel.ops.ttt.states import HeadNorm, LinearState, MLPState

State = MLPState | LinearState
SLOPE, CUBIC = math.sqrt(2 / math.pi), 0.044715


def ttt(
    q: Tensor, k: Tensor, v: Tensor, eta: Tensor, state: State, norm: HeadNorm, problem: TTTProblem
) -> tuple[Tensor, State]:
    """q, k, v `[B, T, H, D]`, eta `[B, T, H]` to y `[B, T, H, D]` and the state after the last token."""
    outputs = []
    for start in range(0, q.shape[1], problem.mini_batch):
        tokens = range(start, min(start + problem.mini_batch, q.shape[1]))
        learned = state
        for t in tokens:  # every gradient is taken at `state`, where the mini-batch began
            slope = loss_slope(network(k[:, t], state), v[:, t] - k[:, t], norm, problem.eps)
            step = (eta[:, t] / problem.mini_batch)[..., None]
            pairs = zip(learned, gradient(k[:, t], slope, state), strict=True)
            learned = type(state)(*(w - (step if w.dim() == 3 else step[..., None]) * g for w, g in pairs))
        state = learned
        for t in tokens:  # every token reads the state that the mini-batch ends with
            outputs.append(q[:, t] + norm.weight * standardise(network(q[:, t], state), problem.eps)[0] + norm.bias)
    return torch.stack(outputs, dim=1), state


def loss_slope(z: Tensor, target: Tensor, norm: HeadNorm, eps: float) -> Tensor:
    """Gradient of 1/2 ||norm.weight * standardise(z) + norm.bias - target||^2 of z, all `[B, H, D]`."""
    standard, deviation = standardise(z, eps)
    slope = norm.weight * (norm.weight * standard + norm.bias - target)
    along = (slope * standard).mean(-1, keepdim=True)
    return (slope - slope.mean(-1, keepdim=True) - along * standard) / deviation


def standardise(z: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    deviation = torch.sqrt(z.var(-1, correction=0, keepdim=True) + eps)
    return (z - z.mean(-1, keepdim=True)) / deviation, deviation


def network(x: Tensor, state: State) -> Tensor:
    if isinstance(state, LinearState):
        return apply(x, state.w) + state.b
    return apply(gelu(apply(x, state.w1) + state.b1), state.w2) + state.b2


def gradient(k: Tensor, slope: Tensor, state: State) -> State:
    """One token's gradient of every weight, given `slope` `[B, H, D]`, that of the network's output."""
    if isinstance(state, LinearState):
        return LinearState(outer(k, slope), slope)
    z1 = apply(k, state.w1) + state.b1
    slope1 = apply(slope, state.w2.mT) * gelu_derivative(z1)
    return MLPState(outer(k, slope1), slope1, outer(gelu(z1), slope), slope)


def apply(x: Tensor, w: Tensor) -> Tensor:
    return torch.einsum("bhi,bhij->bhj", x, w)


def outer(x: Tensor, y: Tensor) -> Tensor:
    return torch.einsum("bhi,bhj->bhij", x, y)


def gelu(z: Tensor) -> Tensor:
    return z / 2 * (1 + torch.tanh(SLOPE * (z + CUBIC * z**3)))


def gelu_derivative(z: Tensor) -> Tensor:
    tanh = torch.tanh(SLOPE * (z + CUBIC * z**3))
    return (1 + tanh) / 2 + z / 2 * (1 - tanh**2) * SLOPE * (1 + 3 * CUBIC * z**2)
