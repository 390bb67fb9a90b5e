"""Permutations of tokens whose gradient is a gather too (that of an index is a scatter into zeros)."""

import torch
from torch import Tensor


class _Reorder(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(order, inverse)
        return x.index_select(1, order)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None]:
        order, inverse = ctx.saved_tensors  # pyright: ignore[reportAttributeAccessIssue]
        return _Reorder.apply(grads[0], inverse, order), None, None


def reorder(x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
    """x `[B, T, ...]` to `x[:, order]`; `order` and `inverse`, int64 `[T]`, are each other's inverse permutations."""
    return _Reorder.apply(x, order, inverse)
