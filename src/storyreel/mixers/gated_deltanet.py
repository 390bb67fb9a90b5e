"""The layer of Gated DeltaNet around the op of `storyreel.ops.delta`.

Source: arXiv 2412.06464 (Gated DeltaNet).

Letters: B batch, T tokens, C width, H heads of the layer itself, K key width, V value width.
"""

import math

import torch
from torch import Tensor, nn

from storyreel.mixers.linear import CastingLinear
from storyreel.mixers.recurrent import Carried, Decay, RecurrentLayer, ShortConvolution
from storyreel.mixers.sizes import delta_sizes
from storyreel.mixers.ttt import wide
from storyreel.ops.delta import gated_delta
from storyreel.ops.norm import unit


class GatedDeltaNet(RecurrentLayer):
    """A state that forgets what it held under a key before it writes there, with convolutions, and a gated norm behind.

    `width` and `heads` are those of the block; the layer's own sizes follow from them (`mixers/sizes.py`): as many
    parameters as TTTMLP (within 2%) and about four times TTTLinear's state, as Mamba2 has. Heads are fewer and wider:
    eight of the block's make one, and values are wider than keys.
    There are no positions: order shows in convolution and decay.

    Runs in the dtype of x and casts its weights to it; lengths, steps, decays, state and norm are in float32 (float64
    if x is). ConfigError for widths that TTTMLP refuses.
    """

    def __init__(self, width: int, heads: int, *, eps: float = 1e-6, backend: str = "auto") -> None:
        super().__init__()
        self.sizes = delta_sizes(width, heads)
        self.eps, self.backend = eps, backend
        keys, values = self.sizes.heads * self.sizes.key_width, self.sizes.heads * self.sizes.value_width
        self.widths = (keys, keys, values)
        self.to_q = CastingLinear(width, keys, bias=False)
        self.to_k = CastingLinear(width, keys, bias=False)
        self.to_v = CastingLinear(width, values, bias=False)
        self.to_gate = CastingLinear(width, values, bias=False)
        self.to_dt = CastingLinear(width, self.sizes.heads, bias=False)
        self.to_beta = CastingLinear(width, self.sizes.heads, bias=False)
        self.convolution = ShortConvolution(sum(self.widths), bias=False)
        self.decay = Decay(self.sizes.heads)
        self.out_norm_weight = nn.Parameter(torch.ones(self.sizes.value_width))
        self.to_out = CastingLinear(values, width, bias=False)

    def start(self, x: Tensor) -> Carried:
        """The last inputs of the convolution `[B, 3, 2 H K + H V]` and the state `[B, H, V, K]`."""
        heads, key, value = self.sizes
        return self.convolution.start(x), torch.zeros(len(x), heads, value, key, dtype=wide(x), device=x.device)

    def read(self, x: Tensor, carried: Carried) -> tuple[Tensor, Carried]:
        past, state = carried
        inside, heads = wide(x), self.sizes.heads
        mixed, past = self.convolution(torch.cat([self.to_q(x), self.to_k(x), self.to_v(x)], dim=-1), past)
        q, k, v = (part.unflatten(-1, (heads, -1)) for part in mixed.split(self.widths, dim=-1))
        dt, rate = self.decay(self.to_dt(x))
        beta = self.to_beta(x).to(inside).sigmoid()
        q, k = unit(q.to(inside)), unit(k.to(inside))
        y, state = gated_delta(q, k, v, dt * rate, beta, state, backend=self.backend)
        y = nn.functional.rms_norm(y.to(inside), y.shape[-1:], self.out_norm_weight.to(inside), self.eps)
        y = y.flatten(-2) * nn.functional.silu(self.to_gate(x).to(inside))
        return self.to_out(y.to(x.dtype)), (past, state)

    def state_numbers(self, tokens: int) -> int:
        return math.prod(self.sizes)
