"""The backward pass of TTT-MLP from states that another forward pass kept.

Letters: B batch, T tokens, H heads, D head width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from storyreel.ops.ttt.hopper.states import Gradients, Kept
from storyreel.ops.ttt.problem import TTTProblem
from storyreel.ops.ttt.states import HeadNorm, MLPState
from storyreel.ops.ttt.triton_kernels import mlp_launch
from storyreel.ops.ttt.triton_kernels.groups import Tokens, groups


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
) -> Gradients:
    """Gradients of all that was read, from those of y (dy) and of the last state (dstate, which is not changed).

    q, k, v, dy `[B, T, H, D]`, eta `[B, T, H]` float32; kept: the states before every `every` mini-batches.
    """
    q, k, v, dy = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v, dy))
    tokens, norm = Tokens(q, k, v, eta), HeadNorm(*(x.contiguous() for x in norm))
    batch, length, heads, width = q.shape
    dtokens = Tokens(*(torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in tokens))
    dnorm = HeadNorm(*(torch.zeros(batch, heads, width, device=q.device) for _ in range(2)))
    own = mlp_launch.packed(dstate)
    for number, group in reversed(list(enumerate(groups(length, problem.mini_batch, every)))):
        state = [w[:, number].clone(memory_format=torch.contiguous_format) for w in kept]
        room = mlp_launch.room(tokens, problem, group, state)
        mlp_launch.read(tokens, norm, problem, group, state, None, room)
        mlp_launch.go_back(tokens, norm, problem, group, room, dy, dtokens, own, dnorm)
    return Gradients(*dtokens, mlp_launch.unpacked(own), HeadNorm(*(x.sum(0) for x in dnorm)))
