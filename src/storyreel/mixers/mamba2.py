"""The layer of Mamba 2 around the op of `storyreel.ops.ssd`.

Sources: arXiv 2405.21060 (Mamba 2); its size for video, arXiv 2504.05298, section 4.1.

Letters: B batch, T tokens, C width, H heads of the layer itself, P head width, I = H P inner width, N state width.
"""

import math

import torch
from torch import Tensor, nn

from storyreel.mixers.linear import CastingLinear
from storyreel.mixers.recurrent import Carried, Decay, RecurrentLayer, ShortConvolution
from storyreel.mixers.sizes import mamba2_sizes
from storyreel.mixers.ttt import wide
from storyreel.ops.ssd import ssd


class Mamba2(RecurrentLayer):
    """A state that decays by one number a head and token, with a short convolution in front and a gated norm behind.

    `width` and `heads` are those of the block; the layer's own sizes follow from them (`mixers/sizes.py`): as many
    parameters as TTTMLP (within 2%) and about four times TTTLinear's state. At width 3072 with 48 heads it has 64 heads
    of 64 and N = 192, a state of 64 x 64 x 192 = 4 x (48 x 64 x 64); at 320 with 5 heads, 7 heads of 64 and N = 208.
    All heads share b and c. There are no positions: order shows in convolution and decay.

    Runs in the dtype of x and casts its weights to it; steps, decays, state and norm are in float32 (float64 if x is).
    ConfigError for widths that TTTMLP refuses.
    """

    def __init__(self, width: int, heads: int, *, eps: float = 1e-6, backend: str = "auto") -> None:
        super().__init__()
        self.sizes = mamba2_sizes(width, heads)
        self.eps, self.backend = eps, backend
        inner, states = self.sizes.heads * self.sizes.head_width, self.sizes.state_width
        self.widths = (inner, states, states)
        self.to_gate = CastingLinear(width, inner, bias=False)
        self.to_x = CastingLinear(width, inner, bias=False)
        self.to_b = CastingLinear(width, states, bias=False)
        self.to_c = CastingLinear(width, states, bias=False)
        self.to_dt = CastingLinear(width, self.sizes.heads, bias=False)
        self.convolution = ShortConvolution(sum(self.widths), bias=True)
        self.decay = Decay(self.sizes.heads)
        self.skip = nn.Parameter(torch.ones(self.sizes.heads))
        self.out_norm_weight = nn.Parameter(torch.ones(inner))
        self.to_out = CastingLinear(inner, width, bias=False)

    def start(self, x: Tensor) -> Carried:
        """The last inputs of the convolution `[B, 3, I + 2 N]` and the state `[B, H, P, N]`."""
        return self.convolution.start(x), torch.zeros(len(x), *self.sizes, dtype=wide(x), device=x.device)

    def read(self, x: Tensor, carried: Carried) -> tuple[Tensor, Carried]:
        past, state = carried
        mixed, past = self.convolution(torch.cat([self.to_x(x), self.to_b(x), self.to_c(x)], dim=-1), past)
        inner, b, c = mixed.split(self.widths, dim=-1)
        dt, rate = self.decay(self.to_dt(x))
        heads = inner.unflatten(-1, self.sizes[:2])
        y, state = ssd(c[:, :, None], b[:, :, None], heads, dt, rate, self.skip, state, backend=self.backend)
        inside = wide(x)
        y = y.flatten(-2).to(inside) * nn.functional.silu(self.to_gate(x).to(inside))
        y = nn.functional.rms_norm(y, y.shape[-1:], self.out_norm_weight.to(inside), self.eps)
        return self.to_out(y.to(x.dtype)), (past, state)

    def state_numbers(self, tokens: int) -> int:
        return math.prod(self.sizes)
