"""The op on drawn tensors of one shape: what a comparison of backends reads, and how far each is from float64.

Letters: B batch, T tokens, H heads, D head width, F = 4 D hidden width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from storyreel.ops.ttt import dual
from storyreel.ops.ttt.interface import ttt_linear, ttt_mlp
from storyreel.ops.ttt.problem import TTTProblem
from storyreel.ops.ttt.states import HeadNorm, LinearState, MLPState

OPS = ("ttt_mlp", "ttt_linear")
NAMES = {
    "ttt_mlp": ("q", "k", "v", "eta", "w1", "b1", "w2", "b2", "norm weight", "norm bias"),
    "ttt_linear": ("q", "k", "v", "eta", "w", "b", "norm weight", "norm bias"),
}
FACTOR = 2.0
"""How much more a backend may err than the matrix form does in the same dtype, where that is bfloat16 or float16."""
LIMITS = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""No backend may err more, `dual` included. It errs about 0.007 in bfloat16 (the op's README), 1e-6 in float32."""


Arguments = tuple[Tensor, Tensor, Tensor, Tensor, MLPState | LinearState, HeadNorm]


@dataclass(frozen=True)
class Shape:
    """What is read; `checkpoint_every` as in TTTProblem."""

    op: str
    batch: int
    tokens: int
    heads: int
    width: int = 64
    mini_batch: int = 64
    checkpoint_every: int = 0

    @property
    def mini_batches(self) -> int:
        return -(-self.tokens // self.mini_batch)

    @property
    def problem(self) -> TTTProblem:
        return TTTProblem(self.mini_batch, checkpoint_every=self.checkpoint_every)


class Trial:
    """Tensors of a shape, drawn on `device`; q, k, v in `dtype`, all else float32. All take gradients."""

    def __init__(self, shape: Shape, dtype: torch.dtype, device: torch.device, seed: int = 0) -> None:
        self.shape, self.dtype = shape, dtype
        chance = torch.Generator(device).manual_seed(seed)
        lead, rows, width = (shape.batch, shape.tokens, shape.heads), (shape.batch, shape.heads), shape.width

        def normal(*size: int, kind: torch.dtype = torch.float32) -> Tensor:
            return torch.randn(*size, generator=chance, device=device, dtype=kind)

        # One by one and in their own dtype: 63 s of tokens in float32 are 4 GB each.
        q, k = (torch.nn.functional.normalize(normal(*lead, width, kind=dtype), dim=-1) for _ in "qk")
        v, eta = normal(*lead, width, kind=dtype), torch.rand(*lead, generator=chance, device=device)
        state: list[Tensor] = []
        for lines, columns in [(width, 4 * width), (4 * width, width)] if shape.op == "ttt_mlp" else [(width, width)]:
            state += [normal(*rows, lines, columns) * lines**-0.5, 0.1 * normal(*rows, columns)]
        norm = (1 + 0.3 * normal(shape.heads, width), 0.3 * normal(shape.heads, width))
        self.tensors = tuple(x.requires_grad_() for x in (q, k, v, eta, *state, *norm))
        self.dy = normal(*lead, width, kind=dtype)
        self.dstate = tuple(torch.ones_like(x) for x in state)

    def bytes(self) -> int:
        return sum(x.numel() * x.element_size() for x in (*self.tensors, self.dy, *self.dstate))

    def arguments(self, tensors: Sequence[Tensor] | None = None) -> Arguments:
        """As the op takes them: q, k, v, eta, state and norm."""
        q, k, v, eta, *state, norm_w, norm_b = tensors or self.tensors
        memory = MLPState if self.shape.op == "ttt_mlp" else LinearState
        return q, k, v, eta, memory(*state), HeadNorm(norm_w, norm_b)

    def read(self, backend: str) -> tuple[Tensor, ...]:
        """y and the final state, by name of a backend."""
        q, k, v, eta, state, norm = self.arguments()
        problem = self.shape.problem
        if isinstance(state, MLPState):
            y, final = ttt_mlp(q, k, v, eta, state, norm, problem=problem, backend=backend)
        else:
            y, final = ttt_linear(q, k, v, eta, state, norm, problem=problem, backend=backend)
        return y, *final

    def go_back(self, outputs: Sequence[Tensor], tensors: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        """Gradients of all tensors (or of those that took their place), of a weighted sum of the outputs."""
        weights = [w.to(x.dtype) for w, x in zip((self.dy, *self.dstate), outputs, strict=True)]
        return torch.autograd.grad(outputs, tensors or self.tensors, weights)


def error_shape(shape: Shape, mini_batches: int = 17) -> Shape:
    """The same but for fewer tokens, an odd number of them, where there are more: float64 takes time and memory."""
    tokens = min(shape.tokens, mini_batches * shape.mini_batch + shape.mini_batch // 2 + 5)
    return replace(shape, tokens=tokens, checkpoint_every=min(shape.checkpoint_every, 4))


@dataclass(frozen=True)
class Errors:
    """||x - exact|| / ||exact|| by name ("y", "final w1", "d q"), beside the matrix form's in the same dtype."""

    own: dict[str, float]
    plain: dict[str, float]
    dtype: torch.dtype

    @property
    def outputs(self) -> float:
        return max(x for name, x in self.own.items() if not name.startswith("d "))

    @property
    def gradients(self) -> float | None:
        return max((x for name, x in self.own.items() if name.startswith("d ")), default=None)

    def trouble(self) -> str:
        """What is wrong, where a result is; a NaN is."""
        for name, own in self.own.items():
            if not own <= LIMITS[self.dtype]:
                return f"{name} errs {own:.2g}, more than {LIMITS[self.dtype]:.0e}"
            if self.dtype != torch.float32 and not own <= FACTOR * self.plain[name]:
                return f"{name} errs {own:.2g}, more than {FACTOR:g} times the matrix form's {self.plain[name]:.2g}"
        return ""


class Judge:
    """Holds backends against float64 on one shape. `backward`: their gradients too."""

    def __init__(self, shape: Shape, dtype: torch.dtype, device: torch.device, backward: bool) -> None:
        self.trial, self.backward = Trial(shape, dtype, device), backward
        doubles = tuple(x.detach().double().requires_grad_() for x in self.trial.tensors)
        self.exact = self._all(lambda: self._matrix_form(doubles), doubles, backward)
        self.plain = self._errors(lambda: self._matrix_form(self.trial.tensors), backward)

    def __call__(self, read: Callable[[Trial], tuple[Tensor, ...]], backward: bool = True) -> Errors:
        """Errors of `read`, which gives y and the final state of the trial's tensors."""
        own = self._errors(lambda: read(self.trial), backward and self.backward)
        return Errors(own, self.plain, self.trial.dtype)

    def _matrix_form(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        # Not through the interface: on a CPU that computes bfloat16 in float32.
        q, k, v, eta, state, norm = self.trial.arguments(tensors)
        y, final = dual.ttt(q, k, v, eta, state, norm, self.trial.shape.problem)
        return y, *final

    def _all(
        self, read: Callable[[], tuple[Tensor, ...]], tensors: Sequence[Tensor], backward: bool
    ) -> dict[str, Tensor]:
        names = NAMES[self.trial.shape.op]
        with torch.set_grad_enabled(backward):
            outputs = read()
        found = dict(zip(("y", *(f"final {name}" for name in names[4:-2])), outputs, strict=True))
        if backward:
            gradients = self.trial.go_back(outputs, tensors)
            found |= {f"d {name}": x for name, x in zip(names, gradients, strict=True)}
        return {name: x.detach() for name, x in found.items()}

    def _errors(self, read: Callable[[], tuple[Tensor, ...]], backward: bool) -> dict[str, float]:
        found = self._all(read, self.trial.tensors, backward)
        pairs = {name: (own.double(), self.exact[name]) for name, own in found.items()}
        return {name: ((own - exact).norm() / exact.norm()).item() for name, (own, exact) in pairs.items()}
