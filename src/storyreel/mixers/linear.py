"""A linear layer that runs in the dtype of its input."""

from torch import Tensor, nn

from storyreel.ops.linear import linear


class CastingLinear(nn.Linear):
    """nn.Linear whose weights are cast to the dtype of x, so that float32 masters serve bfloat16 activations."""

    def forward(self, input: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return linear(input, self.weight.to(input.dtype), bias)
