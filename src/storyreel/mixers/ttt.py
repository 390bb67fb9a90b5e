"""The TTT layers: what surrounds the op of `storyreel.ops.ttt`.

Sources: arXiv 2504.05298, section 3, and what its authors' code adds (ttt-video-dit @6c316a7).

Letters: B batch, T tokens, C width, H heads, D head width, F hidden width of the memory (4 D).

Dtypes: a layer runs in the dtype of x and casts its weights to it for every matrix product: parameters may be float32
masters or bfloat16. Lengths, rotations, targets, eta, the initial state and the norms of the heads are computed in
float32 (float64 if x is).
"""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from storyreel.errors import ConfigError, refusal
from storyreel.geometry import TokenLayout
from storyreel.mixers.linear import CastingLinear
from storyreel.mixers.placement import check_tokens, rotations
from storyreel.ops.norm import head_layer_norm, unit
from storyreel.ops.rope import HEAD_WIDTH_MULTIPLE, rotate
from storyreel.ops.ttt import HeadNorm, LinearState, MLPState, TTTProblem, resolve_backend, ttt_linear, ttt_mlp

INITIAL_DEVIATION = 0.02
HIDDEN_FACTOR = 4
# 26,304 tokens of width 320, batch 2, both directions, one core: 5.0 s and 0.4 GiB; read whole, 6.3 s and 0.75 GiB.
STREAMED_MINI_BATCHES = 16

State = TypeVar("State", MLPState, LinearState)

Prepare = Callable[..., Any]


class TTTLayer(nn.Module, ABC, Generic[State]):
    """Projections, step sizes and norms; a concrete layer adds the memory's initial state and the op.

    `base_lr` None means the paper's for that memory. `problem` and `backend` say how the op is computed and may be
    replaced between calls.
    """

    default_base_lr: ClassVar[float]

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        mini_batch: int = 64,
        base_lr: float | None = None,
        eps: float = 1e-6,
        rope_theta: float = 10000.0,
        backend: str = "auto",
        checkpoint_every: int = 0,
    ) -> None:
        super().__init__()
        self.heads, self.head_width = heads, head_width(width, heads)
        self.base_lr = self.default_base_lr if base_lr is None else base_lr
        self.rope_theta = rope_theta
        self.problem = TTTProblem(mini_batch=mini_batch, eps=eps, checkpoint_every=checkpoint_every)
        self.backend = backend
        self.to_q = CastingLinear(width, width)
        self.to_k = CastingLinear(width, width)
        self.to_v = CastingLinear(width, width)
        self.to_eta = CastingLinear(width, heads)
        self.to_out = CastingLinear(width, width)
        self.head_norm_weight = nn.Parameter(torch.ones(heads, self.head_width))
        self.head_norm_bias = nn.Parameter(torch.zeros(heads, self.head_width))
        self.out_norm_weight = nn.Parameter(torch.ones(width))
        self.out_norm_bias = nn.Parameter(torch.zeros(width))
        for name, shape in self.state_shapes().items():
            start = torch.randn(heads, *shape) * INITIAL_DEVIATION if len(shape) == 2 else torch.zeros(heads, *shape)
            self.register_parameter(name, nn.Parameter(start))

    @abstractmethod
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape (of one head) of each parameter of the initial memory, in the order of the op's state."""

    @abstractmethod
    def initial_state(self, batch: int) -> State:
        """The learned memory that every sequence begins with."""

    @abstractmethod
    def read(self, q: Tensor, k: Tensor, v: Tensor, eta: Tensor, state: State, norm: HeadNorm) -> tuple[Tensor, State]:
        """q, k, v `[B, T, H, D]`, eta `[B, T, H]` and a state through the op: y `[B, T, H, D]` and the next state."""

    def state_numbers(self, tokens: int) -> int:
        """How many numbers the memory has, after any number of tokens."""
        return self.heads * sum(math.prod(shape) for shape in self.state_shapes().values())

    def forward(self, x: Tensor, layout: TokenLayout) -> Tensor:
        """x `[B, T, C]` in the order of `layout`, to the mixer's output (no residual) of the same shape and dtype.

        Without gradients the sequence is read piece by piece, so that what lies between x and y stays small.
        """
        check_tokens(x, layout)
        table = rotations(layout, self.head_width, self.rope_theta, x.device)
        state = self.initial_state(len(x))
        if torch.is_grad_enabled():
            return self._piece(x, *table, state)[0]
        size = STREAMED_MINI_BATCHES * self.problem.mini_batch
        outputs = []
        for piece, cos, sin in zip(x.split(size, dim=1), *(t.split(size) for t in table), strict=True):
            y, state = self._piece(piece.contiguous() if x.device.type == "cpu" else piece, cos, sin, state)
            outputs.append(y)
        return torch.cat(outputs, dim=1)

    def _piece(self, x: Tensor, cos: Tensor, sin: Tensor, state: State) -> tuple[Tensor, State]:
        norm = HeadNorm(self.head_norm_weight, self.head_norm_bias)
        q, k, v = self._prepared(x, cos, sin, norm)
        y, state = self.read(q, k, v, self.step_sizes(x), state, norm)
        y = y.flatten(-2)
        weight, bias = self.out_norm_weight.to(y.dtype), self.out_norm_bias.to(y.dtype)
        return self.to_out(nn.functional.layer_norm(y, y.shape[-1:], weight, bias, self.problem.eps)), state

    def step_sizes(self, x: Tensor) -> Tensor:
        """eta `[B, T, H]` of the tokens x `[B, T, C]`, each from that token alone: base_lr * sigmoid(x . w + c) / D."""
        return (self.base_lr / self.head_width) * self.to_eta(x).to(wide(x)).sigmoid()

    def _prepared(self, x: Tensor, cos: Tensor, sin: Tensor, norm: HeadNorm) -> tuple[Tensor, Tensor, Tensor]:
        projected = (to(x).unflatten(-1, (self.heads, self.head_width)) for to in (self.to_q, self.to_k, self.to_v))
        compiled = resolve_backend(self.backend, x.device) in ("dual_compiled", "triton", "hopper")
        prepare: Prepare = compiled_prepare() if compiled else prepare_tokens
        if self.problem.checkpoint_every and torch.is_grad_enabled():
            prepare = functools.partial(checkpoint, prepare, use_reentrant=False, preserve_rng_state=False)
        return prepare(*projected, cos, sin, *norm, self.problem.eps)

    def _learned(self, batch: int) -> list[Tensor]:
        parameters = (self.get_parameter(name) for name in self.state_shapes())
        return [w.expand(batch, *w.shape) for w in parameters]


class TTTMLP(TTTLayer[MLPState]):
    """The memory is a two-layer network with GELU."""

    default_base_lr = 0.1

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        width, hidden = self.head_width, HIDDEN_FACTOR * self.head_width
        return {"w1": (width, hidden), "b1": (hidden,), "w2": (hidden, width), "b2": (width,)}

    def initial_state(self, batch: int) -> MLPState:
        return MLPState(*self._learned(batch))

    def read(
        self, q: Tensor, k: Tensor, v: Tensor, eta: Tensor, state: MLPState, norm: HeadNorm
    ) -> tuple[Tensor, MLPState]:
        return ttt_mlp(q, k, v, eta, state, norm, problem=self.problem, backend=self.backend)


class TTTLinear(TTTLayer[LinearState]):
    """The memory is one matrix and a bias."""

    default_base_lr = 1.0

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"w": (self.head_width, self.head_width), "b": (self.head_width,)}

    def initial_state(self, batch: int) -> LinearState:
        return LinearState(*self._learned(batch))

    def read(
        self, q: Tensor, k: Tensor, v: Tensor, eta: Tensor, state: LinearState, norm: HeadNorm
    ) -> tuple[Tensor, LinearState]:
        return ttt_linear(q, k, v, eta, state, norm, problem=self.problem, backend=self.backend)


def prepare_tokens(
    q: Tensor, k: Tensor, v: Tensor, cos: Tensor, sin: Tensor, norm_weight: Tensor, norm_bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Projections `[B, T, H, D]` to what the op reads: unit q and k, rotated, and v such that v - k is the target."""
    dtype, inside = q.dtype, wide(q)
    q, k, v = (x.to(inside) for x in (q, k, v))
    q, k = rotate(unit(q), cos, sin), rotate(unit(k), cos, sin)
    v = head_layer_norm(v - k, norm_weight.to(inside), norm_bias.to(inside), eps) + k
    return q.to(dtype), k.to(dtype), v.to(dtype)


@functools.cache
def compiled_prepare(backend: str | Callable[..., Any] = "inductor") -> Prepare:
    """`prepare_tokens`, compiled once for any number of tokens (docs/decisions/0013)."""
    compiled = torch.compile(prepare_tokens, backend=backend)

    def prepare(q: Tensor, k: Tensor, v: Tensor, cos: Tensor, sin: Tensor, *others: Any) -> tuple[Tensor, ...]:
        from torch._dynamo import maybe_mark_dynamic

        for x, tokens_axis in ((q, 1), (k, 1), (v, 1), (cos, 0), (sin, 0)):
            maybe_mark_dynamic(x, tokens_axis)
        return compiled(q, k, v, cos, sin, *others)

    return prepare


def wide(x: Tensor) -> torch.dtype:
    """float32, or float64 if x is."""
    return torch.promote_types(x.dtype, torch.float32)


def head_width(width: int, heads: int) -> int:
    """width / heads; ConfigError where that is no whole number, or none that `rope_table` can divide."""
    if heads < 1 or width % heads or width // heads % HEAD_WIDTH_MULTIPLE:
        limit = f"{heads} heads need a multiple of {max(heads, 1) * HEAD_WIDTH_MULTIPLE}"
        raise ConfigError(refusal("width", width, limit, "Heads of 64 are usual"))
    return width // heads
