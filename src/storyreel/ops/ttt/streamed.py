"""TTT-MLP and TTT-Linear in matrix form without gradients, for the CPU: what `dual.py` computes, in fewer passes.

- The questions of a mini-batch and the keys of the next one meet the same memory: they go through it together.
- GELU and its slope share one sigmoid: gelu(z) = z sigmoid(u) with u = 2 sqrt(2/pi) (z + a z^3), faster than by tanh.
- What depends on no state is computed for all tokens at once; the state changes in place.

Letters: N = B * H sequences and heads, T tokens, b tokens of a mini-batch, D head width, F hidden width. Everything has
the dtype of the state.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from storyreel.ops.ttt.problem import TTTProblem
from storyreel.ops.ttt.states import HeadNorm, LinearState, MLPState

RATE = 2 * math.sqrt(2 / math.pi)
CUBE = 0.044715 / RATE**2
"""Hidden values are kept as s = RATE * z: the sigmoid of s + CUBE * s^3 is that of u."""

HEADS_A_THREAD = 5
"""At once: what they have in hand, 0.8 MiB a head at the demo's sizes, should stay in a core's caches."""


class Memory(Protocol):
    """The state of some sequences and heads, changed in place."""

    state: Sequence[Tensor]

    def answer(self, x: Tensor) -> Tensor:
        """x `[N, n, D]` to what the memory makes of it, `[N, n, D]`."""
        ...

    def learn(self, x: Tensor, slope: Tensor) -> None:
        """One step: x `[N, m, D]` are the last m that `answer` was given, slope `[N, m, D]` of what it answered."""
        ...


class MLP:
    """x -> gelu(x w1 + b1) w2 + b2; w1 `[N, D, F]`, b1 `[N, 1, F]`, w2 `[N, F, D]`, b2 `[N, 1, D]`."""

    def __init__(self, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> None:
        self.state = self.w1, self.b1, self.w2, self.b2 = _own(w1, b1, w2, b2)
        self.given: list[Tensor] = []

    def answer(self, x: Tensor) -> Tensor:
        s, u, share, hidden, _ = self._hidden_values(x.shape[1])
        torch.baddbmm(self.b1, x, self.w1, beta=RATE, alpha=RATE, out=s)
        torch.mul(s, s, out=u)
        torch.addcmul(s, s, u, value=CUBE, out=u)
        torch.sigmoid(u, out=share)
        torch.mul(s, share, out=hidden)
        return torch.baddbmm(self.b2, hidden, self.w2, alpha=1 / RATE)

    def learn(self, x: Tensor, slope: Tensor) -> None:
        s, u, share, hidden, slope1 = (values[:, -x.shape[1] :] for values in self.given)
        # gelu' = share + z u' share (1 - share), where z u' = 3 u - 2 s
        half = torch.add(s, u, alpha=-1.5, out=u)
        rest = torch.addcmul(half, half, share, value=-1, out=half)
        derivative = torch.addcmul(share, share, rest, value=-2, out=rest)
        torch.bmm(slope, self.w2.mT, out=slope1).mul_(derivative)
        self.w1.baddbmm_(x.mT, slope1, alpha=-1)
        self.b1.sub_(slope1.sum(1, keepdim=True))
        self.w2.baddbmm_(hidden.mT, slope, alpha=-1 / RATE)
        self.b2.sub_(slope.sum(1, keepdim=True))

    def _hidden_values(self, tokens: int) -> list[Tensor]:
        """Five of `[N, tokens, F]`, the same ones as long as `tokens` stays: what is fresh is not in the cache."""
        if not self.given or self.given[0].shape[1] != tokens:
            self.given = [self.w1.new_empty(len(self.w1), tokens, self.w1.shape[2]) for _ in range(5)]
        return self.given


class Linear:
    """x -> x w + b; w `[N, D, D]`, b `[N, 1, D]`."""

    def __init__(self, w: Tensor, b: Tensor) -> None:
        self.state = self.w, self.b = _own(w, b)

    def answer(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.b, x, self.w)

    def learn(self, x: Tensor, slope: Tensor) -> None:
        self.w.baddbmm_(x.mT, slope, alpha=-1)
        self.b.sub_(slope.sum(1, keepdim=True))


def _own(*tensors: Tensor) -> list[Tensor]:
    return [x.clone(memory_format=torch.contiguous_format) for x in tensors]


def ttt(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    eta: Tensor,
    state: MLPState | LinearState,
    norm: HeadNorm,
    problem: TTTProblem,
) -> tuple[Tensor, MLPState | LinearState]:
    """As `dual.ttt`: q, k, v `[B, T, H, D]`, eta `[B, T, H]` to y `[B, T, H, D]` and the state after the last token."""
    batch, tokens, heads, width = q.shape
    lengths = [min(problem.mini_batch, tokens - start) for start in range(0, tokens, problem.mini_batch)]
    # The loss pulls the answer's standard form s to (v - k): its slope of s is weight^2 * s + pull.
    pull = _heads_first((k - v + norm.bias) * norm.weight)
    steps = _heads_first(eta[..., None]) / problem.mini_batch
    squared = norm.weight.square().repeat(batch, 1)[:, None]
    rows = [(w if w.dim() == 4 else w[:, :, None]).flatten(0, 1) for w in state]
    own = (_taken_in_turn(k, q, lengths), pull, steps, squared, *rows)
    together = HEADS_A_THREAD * torch.get_num_threads()
    answers, memories = torch.empty_like(pull), []
    for out, *some in zip(answers.split(together), *(x.split(together) for x in own), strict=True):
        turns, pulled, step, weight, *learned = some
        memories.append((MLP if isinstance(state, MLPState) else Linear)(*learned))
        _read(memories[-1], turns, pulled, step, weight, lengths, problem.eps, out)
    standard = torch.nn.functional.layer_norm(answers, (width,), eps=problem.eps)
    y = torch.addcmul(q + norm.bias, standard.unflatten(0, (batch, heads)).transpose(1, 2), norm.weight)
    final = (torch.cat(parts) for parts in zip(*(memory.state for memory in memories), strict=True))
    return y, type(state)(*(w.reshape(own.shape) for w, own in zip(final, state, strict=True)))


def _read(
    memory: Memory,
    turns: Tensor,
    pull: Tensor,
    steps: Tensor,
    squared: Tensor,
    lengths: Sequence[int],
    eps: float,
    answers: Tensor,
) -> None:
    """Teaches the memory every mini-batch, and writes its `answers` `[N, T, D]` to all questions.

    turns `[N, 2 T, D]` as of `_taken_in_turn`; pull `[N, T, D]`, steps `[N, T, 1]`, squared weights `[N, 1, D]`.
    """
    whole = lengths[0]
    keys, *others = turns.split([whole, *map(sum, itertools.pairwise(lengths)), lengths[-1]], dim=1)
    parts = (x.split(whole, dim=1) for x in (pull, steps, answers))
    answered = memory.answer(keys)
    for together, pulled, step, out in zip(others, *parts, strict=True):
        memory.learn(keys, _slope(answered, pulled, step, squared, eps))
        both = memory.answer(together)
        own = out.shape[1]
        out.copy_(both[:, :own])
        keys, answered = together[:, own:], both[:, own:]


def _slope(answer: Tensor, pull: Tensor, step: Tensor, squared: Tensor, eps: float) -> Tensor:
    """The loss's gradient of the answers `[N, b, D]`, times each token's step."""
    shape = answer.shape[-1:]
    standard, mean, inverse = torch.native_layer_norm(answer, shape, None, None, eps)
    slope = torch.addcmul(pull, squared, standard)
    wanted = [True, False, False]
    slope, _, _ = torch.ops.aten.native_layer_norm_backward(slope, answer, shape, mean, inverse, None, None, wanted)
    return slope.mul_(step)


def _taken_in_turn(k: Tensor, q: Tensor, lengths: Sequence[int]) -> Tensor:
    """`[B, T, H, D]` twice to `[N, 2 T, D]`: keys of a mini-batch, its questions, keys of the next, and so on."""
    batch, tokens, heads, width = k.shape
    turns = k.new_empty(batch, heads, 2 * tokens, width)
    whole = tokens // lengths[0] * lengths[0]
    shape = (whole // lengths[0], 2, lengths[0])
    for place, x in enumerate((k, q)):
        x = x.transpose(1, 2)
        turns[:, :, : 2 * whole].unflatten(2, shape)[:, :, :, place] = x[:, :, :whole].unflatten(2, shape[::2])
        start = 2 * whole + place * (tokens - whole)
        turns[:, :, start : start + tokens - whole] = x[:, :, whole:]
    return turns.flatten(0, 1)


def _heads_first(x_BTHD: Tensor) -> Tensor:
    return x_BTHD.transpose(1, 2).flatten(0, 1)
