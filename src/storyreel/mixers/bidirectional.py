"""Any mixer, read forward and then backward, behind gates."""

from torch import Tensor, nn

from storyreel.geometry import TokenLayout
from storyreel.mixers.gate import Gate
from storyreel.mixers.pieces import Piecewise
from storyreel.mixers.placement import check_tokens, reversal
from storyreel.ops.reorder import reorder


class GatedBidirectional(Piecewise):
    """Z = X + tanh(a) * M(X), then Z' = Z + tanh(b) * rev(M(rev(Z))): arXiv 2504.05298, section 3.

    The same mixer M reads both ways, with a gate for each. `rev` is the layout's own reversal, whose borders between
    text and video are exact, and M is told the reversed layout.
    """

    def __init__(self, mixer: nn.Module, width: int, gate_init: float = 0.1) -> None:
        super().__init__()
        self.mixer = mixer
        self.gate_forward = Gate(width, gate_init)
        self.gate_reverse = Gate(width, gate_init)

    def forward(self, x: Tensor, layout: TokenLayout) -> Tensor:
        """x `[B, T, C]` in the order of `layout`, to the same shape and dtype. GeometryError for another T."""
        check_tokens(x, layout)
        z = self.run_piece("forward", self._forward, x, layout)
        return self.run_piece("reverse", self._reverse, z, layout)

    def _forward(self, x: Tensor, layout: TokenLayout) -> Tensor:
        return self.gate_forward(x, self.mixer(x, layout), layout)

    def _reverse(self, z: Tensor, layout: TokenLayout) -> Tensor:
        backward, forward = reversal(layout, z.device)
        y = self.mixer(reorder(z, backward, forward), layout.reversed())
        return self.gate_reverse(z, reorder(y, forward, backward), layout)
