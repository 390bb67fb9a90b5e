"""What Mamba 2 and Gated DeltaNet share: a layer that hands a state from piece to piece, short convolutions, decays.

Letters: B batch, T tokens, C width, H heads.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from storyreel.geometry import TokenLayout
from storyreel.mixers.placement import check_tokens
from storyreel.mixers.sizes import TAPS
from storyreel.mixers.ttt import wide

STREAMED_TOKENS = 1024
# A GPU's kernels want long pieces: 32,768 tokens at width 3072 are 1.6 GB for the keys and queries of all heads.
STREAMED_TOKENS_ON_GPU = 32_768
SLOWEST_STEP, FASTEST_STEP = 1e-3, 1e-1
SLOWEST_RATE, FASTEST_RATE = 1.0, 16.0

Carried = tuple[Tensor, ...]


class RecurrentLayer(nn.Module, ABC):
    """(x, layout) -> y for a layer whose past is a few tensors. `backend` may be replaced between calls."""

    backend: str

    @abstractmethod
    def start(self, x: Tensor) -> Carried:
        """What every sequence begins with, for x `[B, T, C]`: zeros on its device."""

    @abstractmethod
    def read(self, x: Tensor, carried: Carried) -> tuple[Tensor, Carried]:
        """A piece x `[B, T, C]` of a sequence and what was carried to it: y `[B, T, C]`, and what to carry on."""

    @abstractmethod
    def state_numbers(self, tokens: int) -> int:
        """How many numbers the state has, after any number of tokens; the convolution's three inputs apart."""

    def forward(self, x: Tensor, layout: TokenLayout) -> Tensor:
        """x `[B, T, C]` in the order of `layout`, to the mixer's output (no residual) of the same shape and dtype.

        Without gradients the sequence is read piece by piece, so that what lies between x and y stays small.
        GeometryError for another T.
        """
        check_tokens(x, layout)
        carried = self.start(x)
        if torch.is_grad_enabled():
            return self.read(x, carried)[0]
        outputs = []
        for piece in x.split(STREAMED_TOKENS_ON_GPU if x.is_cuda else STREAMED_TOKENS, dim=1):
            y, carried = self.read(piece, carried)
            outputs.append(y)
        return torch.cat(outputs, dim=1)


class ShortConvolution(nn.Module):
    """Each channel mixed with its own last three values, then SiLU. Runs in the dtype of x."""

    def __init__(self, width: int, *, bias: bool) -> None:
        super().__init__()
        # Not called weight: an optimiser of matrices must not take the taps of single channels for one.
        self.taps = nn.Parameter(torch.empty(width, TAPS).uniform_(-(TAPS**-0.5), TAPS**-0.5))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def start(self, x: Tensor) -> Tensor:
        """Zeros `[B, 3, W]` in the dtype of x, in front of the first token."""
        return x.new_zeros(len(x), TAPS - 1, len(self.taps))

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """x `[B, T, W]` and the three inputs before it `[B, 3, W]` to y like x and the last three inputs."""
        x = torch.cat([past, x], dim=1)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        taps = self.taps[:, None].to(x.dtype)
        y = nn.functional.conv1d(x.transpose(1, 2), taps, bias, groups=len(self.taps)).transpose(1, 2)
        return nn.functional.silu(y), x[:, 1 - TAPS :]


class Decay(nn.Module):
    """Step sizes dt = softplus(d + bias) and the rates -exp(rate_log) by which states decay: exp(-dt exp(rate_log)).

    Starts as Mamba 2 does, by chance: rates from 1 to 16, steps from 0.001 to 0.1 (evenly in their logarithm). Only the
    first head is always the slowest, for a layer of one head or few may draw none whose memory lasts long enough to
    learn from.
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        steps = torch.empty(heads).uniform_(math.log(SLOWEST_STEP), math.log(FASTEST_STEP)).exp()
        rates = torch.empty(heads).uniform_(SLOWEST_RATE, FASTEST_RATE)
        steps[0], rates[0] = SLOWEST_STEP, SLOWEST_RATE
        self.bias = nn.Parameter(steps + torch.log(-torch.expm1(-steps)))  # softplus of it is `steps`
        self.rate_log = nn.Parameter(rates.log())

    def forward(self, d: Tensor) -> tuple[Tensor, Tensor]:
        """d `[B, T, H]` to dt `[B, T, H]` and the rates `[H]`, both in float32 (float64 if d is)."""
        inside = wide(d)
        dt = nn.functional.softplus(d.to(inside) + self.bias.to(inside))
        return dt, -self.rate_log.to(inside).exp()
