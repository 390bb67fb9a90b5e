"""A linear layer that runs in the dtype of its input."""

import torch
from torch import Tensor, nn

from storyreel.ops.linear import is_plain_float32, linear


class CastingLinear(nn.Linear):
    """nn.Linear whose weights are cast to the dtype of x, so that float32 masters serve bfloat16 activations.

    `products`, on the CPU without gradients: the dtype in which float32 activations are multiplied.
    """

    products: torch.dtype = torch.float32

    def forward(self, input: Tensor) -> Tensor:
        if is_plain_float32(input):
            return linear(input.to(self.products), self.weight, self.bias, out=input.dtype)
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return nn.functional.linear(input, self.weight.to(input.dtype), bias)
