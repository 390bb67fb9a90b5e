"""The gate that lets a mixer into a pre-trained block."""

import torch
from torch import Tensor, nn

from storyreel.geometry import TokenLayout
from storyreel.mixers.pieces import Piecewise
from storyreel.mixers.placement import check_tokens, text_mask


class Gate(nn.Module):
    """residual + tanh(a) * update, with one vector a for text tokens and one for video tokens.

    Source: arXiv 2504.05298, section 3.

    Runs in the dtype of the residual. With both vectors 0 the gate is closed and returns the residual exactly.
    """

    def __init__(self, width: int, init: float = 0.1) -> None:
        super().__init__()
        self.text = nn.Parameter(torch.full((width,), init))
        self.video = nn.Parameter(torch.full((width,), init))

    def forward(self, residual: Tensor, update: Tensor, layout: TokenLayout) -> Tensor:
        """residual and update `[B, T, C]`, both in the order of `layout`, to `[B, T, C]`."""
        text, video = self.text.tanh().to(residual.dtype), self.video.tanh().to(residual.dtype)
        return torch.addcmul(residual, torch.where(text_mask(layout, residual.device), text, video), update)


class Gated(Piecewise):
    """Z = X + tanh(a) * M(X): a mixer M that sees both ways at once, read once (docs/decisions/0009)."""

    def __init__(self, mixer: nn.Module, width: int, gate_init: float = 0.1) -> None:
        super().__init__()
        self.mixer = mixer
        self.gate = Gate(width, gate_init)

    def forward(self, x: Tensor, layout: TokenLayout) -> Tensor:
        """x `[B, T, C]` in the order of `layout`, to the same shape and dtype. GeometryError for another T."""
        check_tokens(x, layout)
        return self.run_piece("forward", self._forward, x, layout)

    def _forward(self, x: Tensor, layout: TokenLayout) -> Tensor:
        return self.gate(x, self.mixer(x, layout), layout)
