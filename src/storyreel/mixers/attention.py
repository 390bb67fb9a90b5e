"""Softmax attention in the mixer slot: over the whole sequence, or over a window behind each token.

Sources: the window of 8192 tokens, arXiv 2504.05298, section 4.1; LayerNorm of queries and keys, CogVideoX.

Letters: B batch, T tokens, C width, H heads of the layer itself, D head width.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from storyreel.errors import ConfigError, refusal
from storyreel.geometry import TokenLayout
from storyreel.mixers.linear import CastingLinear
from storyreel.mixers.placement import check_tokens, rotations
from storyreel.mixers.sizes import attention_sizes
from storyreel.mixers.ttt import wide
from storyreel.ops.rope import rotate
from storyreel.ops.softmax import full_attention, window_attention

WINDOW_TOKENS = 8192

Rotary = tuple[Tensor, Tensor]
Carried = tuple[Tensor, Tensor]


class AttentionLayer(nn.Module, ABC):
    """Projections, LayerNorm of each head's queries and keys, and rotary positions in the whole video.

    `width` and `heads` are those of the block; the layer has as many heads more as make its parameters those of TTTMLP
    (`mixers/sizes.py`). Text tokens are not turned. `backend` may be replaced between calls.

    Runs in the dtype of x and casts its weights to it; norms and rotations are in float32 (float64 if x is).
    ConfigError for widths that TTTMLP refuses.
    """

    def __init__(
        self, width: int, heads: int, *, eps: float = 1e-6, rope_theta: float = 10000.0, backend: str = "auto"
    ) -> None:
        super().__init__()
        self.sizes = attention_sizes(width, heads)
        self.eps, self.rope_theta, self.backend = eps, rope_theta, backend
        inner, own_width = self.sizes.heads * self.sizes.head_width, self.sizes.head_width
        self.to_q = CastingLinear(width, inner)
        self.to_k = CastingLinear(width, inner)
        self.to_v = CastingLinear(width, inner)
        self.to_out = CastingLinear(inner, width)
        self.q_norm_weight, self.k_norm_weight = (nn.Parameter(torch.ones(own_width)) for _ in "qk")
        self.q_norm_bias, self.k_norm_bias = (nn.Parameter(torch.zeros(own_width)) for _ in "qk")

    @abstractmethod
    def forward(self, x: Tensor, layout: TokenLayout) -> Tensor:
        """x `[B, T, C]` in the order of `layout`, to the mixer's output (no residual) of the same shape and dtype.

        GeometryError for another T.
        """

    @abstractmethod
    def state_numbers(self, tokens: int) -> int:
        """How many numbers of so many tokens must be kept for those that follow: keys and values."""

    def _rotary(self, x: Tensor, layout: TokenLayout) -> Rotary:
        check_tokens(x, layout)
        return rotations(layout, self.sizes.head_width, self.rope_theta, x.device)

    def _projected(self, x: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (to(x).unflatten(-1, self.sizes) for to in (self.to_q, self.to_k, self.to_v))
        q = self._placed(q, self.q_norm_weight, self.q_norm_bias, rotary)
        return q, self._placed(k, self.k_norm_weight, self.k_norm_bias, rotary), v

    def _placed(self, x: Tensor, weight: Tensor, bias: Tensor, rotary: Rotary) -> Tensor:
        inside = wide(x)
        normed = nn.functional.layer_norm(x.to(inside), x.shape[-1:], weight.to(inside), bias.to(inside), self.eps)
        return rotate(normed, *rotary).to(x.dtype)


class FullAttention(AttentionLayer):
    """Every token attends to every token, forward and backward in time at once."""

    def forward(self, x: Tensor, layout: TokenLayout) -> Tensor:
        q, k, v = self._projected(x, self._rotary(x, layout))
        return self.to_out(full_attention(q, k, v, backend=self.backend).flatten(-2))

    def state_numbers(self, tokens: int) -> int:
        return 2 * tokens * self.sizes.heads * self.sizes.head_width


class SlidingWindowAttention(AttentionLayer):
    """Every token attends to itself and the `window` - 1 tokens before it in the order of the sequence.

    ConfigError for a window below 1.
    """

    def __init__(self, width: int, heads: int, *, window: int = WINDOW_TOKENS, backend: str = "auto") -> None:
        super().__init__(width, heads, backend=backend)
        if window < 1:
            raise ConfigError(
                refusal("window", window, "it must be at least 1 token", f"The paper takes {WINDOW_TOKENS}")
            )
        self.window = window

    def start(self, x: Tensor) -> Carried:
        """Keys and values `[B, 0, H, D]` in the dtype of x: nothing comes before the first token."""
        return x.new_zeros(len(x), 0, *self.sizes), x.new_zeros(len(x), 0, *self.sizes)

    def read(self, x: Tensor, rotary: Rotary, carried: Carried) -> tuple[Tensor, Carried]:
        """A piece x `[B, T, C]` of a sequence, its rows of `placement.rotations`, and what was carried to it.

        Returns y `[B, T, C]` and what to carry on: the last `window` - 1 keys and values, or all there are.
        """
        q, *own = self._projected(x, rotary)
        k, v = (torch.cat([past, new], dim=1) for past, new in zip(carried, own, strict=True))
        y = self.to_out(window_attention(q, k, v, self.window, backend=self.backend).flatten(-2))
        first = max(0, k.shape[1] - self.window + 1)
        return y, (k[:, first:], v[:, first:])

    def forward(self, x: Tensor, layout: TokenLayout) -> Tensor:
        return self.read(x, self._rotary(x, layout), self.start(x))[0]

    def state_numbers(self, tokens: int) -> int:
        return 2 * min(tokens, self.window - 1) * self.sizes.heads * self.sizes.head_width
