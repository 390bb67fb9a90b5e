"""Launches of the kernels, and what they are to autograd. Letters as in `storyreel.ops.ttt_inputs`.

Nothing here waits for the device, so that all of it can be captured in a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from storyreel.ops.ttt_inputs.triton_kernels.kernels import backward, forward

ELEMENTS = 2048
"""Of a tile: 16 a thread of four warps, for the backward pass holds some eight tiles at once."""
PROGRAMS = 132 * 8
"""Of the backward pass, about, where there are so many tokens: each writes two float32 rows."""


@dataclass(frozen=True)
class Problem:
    rate: float
    eps: float


def ttt_inputs(
    projected: Tensor,
    cos: Tensor,
    sin: Tensor,
    weight: Tensor,
    bias: Tensor,
    place: Tensor | None,
    problem: Problem,
) -> tuple[Tensor, ...]:
    """As the op's `ttt_inputs`; weight and bias in float32."""
    return _Inputs.apply(projected, cos, sin, weight, bias, place, problem)  # pyright: ignore[reportReturnType]


def write(
    out: Sequence[Tensor],
    projected: Tensor,
    cos: Tensor,
    sin: Tensor,
    weight: Tensor,
    bias: Tensor,
    place: Tensor | None,
    first: int,
    problem: Problem,
) -> None:
    """As the op's `ttt_inputs_into`; all but `projected` contiguous."""
    projected = projected.contiguous()
    batch, tokens, stride = projected.shape
    heads, width = weight.shape
    at_once, head_block = tile(heads, width)
    inputs = (projected, cos.contiguous(), sin.contiguous(), weight, bias, projected if place is None else place)
    kernel: Any = forward
    kernel[(-(-tokens // at_once), -(-heads // head_block), batch)](
        *inputs,
        *out,
        tokens,
        out[0].shape[1],
        stride,
        first,
        problem.rate,
        problem.eps,
        PLACED=place is not None,
        H=heads,
        D=width,
        TOKENS=at_once,
        HEADS=head_block,
        num_warps=4,
    )


class _Inputs(torch.autograd.Function):
    """(projected, cos, sin, weight, bias, place, problem) to (q, k, v, eta)."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, ...]:
        projected, cos, sin, weight, bias, place, problem = args
        projected, weight, bias = projected.contiguous(), weight.contiguous(), bias.contiguous()
        size = (*projected.shape[:2], *weight.shape)
        out = (*(projected.new_empty(size) for _ in range(3)), projected.new_empty(size[:3], dtype=torch.float32))
        write(out, projected, cos, sin, weight, bias, place, 0, problem)
        ctx.save_for_backward(projected, cos, sin, weight, place)
        ctx.problem = problem
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        projected, cos, sin, weight, place = ctx.saved_tensors
        problem: Problem = ctx.problem
        batch, tokens, stride = projected.shape
        heads, width = weight.shape
        at_once, head_block = tile(heads, width)
        blocks = -(-heads // head_block)
        steps = max(1, tokens * batch * blocks // (at_once * PROGRAMS))
        programs = -(-tokens // (at_once * steps))
        dprojected = torch.empty_like(projected)
        dprojected[..., heads * (3 * width + 1) :] = 0
        sums = torch.empty(batch, programs, 2, heads, width, device=projected.device)
        inputs = (projected, cos.contiguous(), sin.contiguous(), weight, projected if place is None else place)
        kernel: Any = backward
        kernel[(programs, blocks, batch)](
            *inputs,
            *(dy.contiguous() for dy in grads),
            dprojected,
            sums,
            tokens,
            stride,
            steps,
            problem.rate,
            problem.eps,
            PLACED=place is not None,
            H=heads,
            D=width,
            TOKENS=at_once,
            HEADS=head_block,
            num_warps=4,
        )
        dweight, dbias = sums.sum((0, 1)).unbind()
        return dprojected, None, None, dweight, dbias, None, None


def tile(heads: int, width: int) -> tuple[int, int]:
    """Tokens and heads of a tile, powers of two, with few idle heads."""
    block = next((size for size in (16, 8) if heads % size == 0), min(16, 1 << (heads - 1).bit_length()))
    return max(1, ELEMENTS // (block * width)), block
