"""Launches of the kernels, and what they are to autograd. Letters as in `storyreel.ops.local_inputs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from storyreel.ops.local_inputs.triton_kernels.kernels import backward, forward
from storyreel.ops.ttt_inputs.triton_kernels.launch import PROGRAMS, tile

if TYPE_CHECKING:
    from storyreel.ops.local_inputs import Slots


def local_inputs(
    projected: Tensor,
    q_weight: Tensor,
    q_bias: Tensor,
    k_weight: Tensor,
    k_bias: Tensor,
    rotary: tuple[Tensor, Tensor] | None,
    slots: Slots,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """As the op's `local_inputs`; norms in float32."""
    norms = (x.contiguous() for x in (q_weight, q_bias, k_weight, k_bias))
    if rotary is None:
        size = (slots.tokens.shape[1], len(q_weight) // 2)
        rotary = torch.ones(size, device=projected.device), torch.zeros(size, device=projected.device)
    cos, sin = (x.contiguous() for x in rotary)
    return _Windows.apply(projected.contiguous(), *norms, cos, sin, slots, eps)  # pyright: ignore[reportReturnType]


class _Windows(torch.autograd.Function):
    """(projected, four weights of norms, cos, sin, slots, eps) to (q, k, v)."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, ...]:
        projected, q_weight, q_bias, k_weight, k_bias, cos, sin, slots, eps = args
        batch, tokens, columns = projected.shape
        (windows, window), width = slots.tokens.shape, len(q_weight)
        heads = columns // (3 * width)
        out = [projected.new_empty(batch * windows, window, heads, width) for _ in range(3)]
        at_once, head_block = tile(heads, width)
        given = (projected, q_weight, q_bias, k_weight, k_bias, cos, sin, slots.tokens)
        kernel: Any = forward
        kernel[(-(-windows * window // at_once), -(-heads // head_block), batch)](
            *given,
            *out,
            tokens,
            windows * window,
            window,
            eps,
            H=heads,
            D=width,
            TOKENS=at_once,
            HEADS=head_block,
            num_warps=4,
        )
        ctx.save_for_backward(projected, q_weight, k_weight, cos, sin)
        ctx.slots, ctx.eps = slots, eps
        return tuple(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        projected, q_weight, k_weight, cos, sin = ctx.saved_tensors
        slots: Slots = ctx.slots
        batch, tokens, columns = projected.shape
        (windows, window), width = slots.tokens.shape, len(q_weight)
        heads = columns // (3 * width)
        at_once, head_block = tile(heads, width)
        blocks = -(-heads // head_block)
        steps = max(1, tokens * batch * blocks // (at_once * PROGRAMS))
        programs = -(-tokens // (at_once * steps))
        dprojected = torch.empty_like(projected)
        sums = torch.empty(batch * blocks * programs, 4, width, device=projected.device)
        given = (projected, q_weight, k_weight, cos, sin, slots.of_token, *(dy.contiguous() for dy in grads))
        kernel: Any = backward
        kernel[(programs, blocks, batch)](
            *given,
            dprojected,
            sums,
            tokens,
            windows * window,
            window,
            steps,
            ctx.eps,
            H=heads,
            D=width,
            TOKENS=at_once,
            HEADS=head_block,
            num_warps=4,
        )
        return dprojected, *sums.sum(0).unbind(), None, None, None, None
