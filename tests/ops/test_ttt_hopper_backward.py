"""The backward pass of the Hopper backend.

As in `test_ttt_hopper.py`: without such a GPU its kernels run on a model of one and are held against
`backward_emulation.py`, the same dataflow in torch; that one is held against float64.
"""

import ctypes
import shutil
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from storyreel.ops.ttt import HeadNorm, MLPState, TTTProblem, dual
from storyreel.ops.ttt.hopper import backward_emulation, backward_launch, emulation, launch
from storyreel.ops.ttt.hopper.backward_launch import BACKWARD_LAUNCHES, BackwardLaunch
from storyreel.ops.ttt.hopper.launch import Launch
from storyreel.ops.ttt.hopper.states import Gradients, Kept

PROBLEM = TTTProblem(64)
needs_a_host_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
Read = tuple[Tensor, Tensor, Tensor, Tensor, MLPState, HeadNorm]


@dataclass(frozen=True)
class Case:
    tokens: int
    batch: int = 1
    heads: int = 1
    every: int = 1
    strided: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Inputs:
    """q, k, v `[B, T, H, 64]` bfloat16, all else float32; dy and dstate: gradients of the outputs."""

    q: Tensor
    k: Tensor
    v: Tensor
    eta: Tensor
    state: MLPState
    norm: HeadNorm
    dy: Tensor
    dstate: MLPState

    def read(self, dtype: torch.dtype | None = None) -> Read:
        def own(x: Tensor) -> Tensor:
            return x if dtype is None else x.to(dtype)

        state, norm = MLPState(*map(own, self.state)), HeadNorm(*map(own, self.norm))
        return own(self.q), own(self.k), own(self.v), own(self.eta), state, norm


def draw(case: Case, device: str = "cpu") -> Inputs:
    chance = torch.Generator().manual_seed(case.seed)
    rows, lead = (case.batch, case.heads), (case.batch, case.tokens, case.heads)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=chance, dtype=torch.float64)

    def float32(x: Tensor) -> Tensor:
        return x.to(device, torch.float32)

    def bfloat16(x: Tensor) -> Tensor:
        x = x.to(device, torch.bfloat16)
        if not case.strided:
            return x
        room = torch.full((*x.transpose(1, 2).shape[:-1], 128), float("nan"), dtype=x.dtype, device=device)
        room[..., :64] = x.transpose(1, 2)  # heads before tokens in memory, and gaps between them
        return room[..., :64].transpose(1, 2)

    def weights() -> tuple[Tensor, ...]:
        return normal(*rows, 64, 256), normal(*rows, 256), normal(*rows, 256, 64), normal(*rows, 64)

    q, k = (bfloat16(torch.nn.functional.normalize(normal(*lead, 64), dim=-1)) for _ in "qk")
    v, dy, eta = bfloat16(normal(*lead, 64)), bfloat16(normal(*lead, 64)), float32(normal(*lead).sigmoid())
    eta = eta.transpose(1, 2).contiguous().transpose(1, 2) if case.strided else eta
    state = MLPState(*(float32(w / s) for w, s in zip(weights(), (8, 8, 16, 16), strict=True)))
    norm = HeadNorm(float32(1 + 0.3 * normal(case.heads, 64)), float32(0.3 * normal(case.heads, 64)))
    return Inputs(q, k, v, eta, state, norm, dy, MLPState(*map(float32, weights())))


def keep(inputs: Inputs, every: int) -> Kept:
    """The states before every `every` mini-batches, by the emulation of the forward pass."""
    states, size = [inputs.state], every * PROBLEM.mini_batch
    for start in range(0, inputs.q.shape[1] - size, size):
        q, k, v, eta = (x[:, start : start + size] for x in (inputs.q, inputs.k, inputs.v, inputs.eta))
        states.append(emulation.ttt(q, k, v, eta, states[-1], inputs.norm, PROBLEM, tanh_error=0)[1])
    w1, b1, w2, b2 = (torch.stack([w.flatten(0, 1) for w in own], 1) for own in zip(*states, strict=True))
    return Kept(w1, b1, w2.mT.contiguous(), b2)


def gradients(inputs: Inputs, dtype: torch.dtype | None = None) -> tuple[Tensor, ...]:
    """By autograd through the matrix form, all in `dtype` if given."""
    q, k, v, eta, state, norm = inputs.read(dtype)
    leaves = [x.detach().clone().requires_grad_() for x in (q, k, v, eta, *state, *norm)]
    y, final = dual.ttt(*leaves[:4], MLPState(*leaves[4:8]), HeadNorm(*leaves[8:]), PROBLEM)
    given = (inputs.dy, *inputs.dstate)
    return torch.autograd.grad((y, *final), leaves, [x.to(w.dtype) for x, w in zip(given, (y, *final), strict=True)])


def flat(found: Gradients) -> tuple[Tensor, ...]:
    return (*found[:4], *found.state, *found.norm)


def errors(given: tuple[Tensor, ...], right: tuple[Tensor, ...]) -> list[float]:
    pairs = zip(given, right, strict=True)
    return [((a.double() - b.double()).norm() / b.double().norm()).item() for a, b in pairs]


def within_twice(given: list[float], plain: list[float]) -> bool:
    return all(a < 2 * b for a, b in zip(given, plain, strict=True))


def emulated(inputs: Inputs, every: int, cluster: int = 2, tanh_error: float = 0) -> Gradients:
    q, k, v, eta, _, norm = inputs.read()
    kept = keep(inputs, every)
    return backward_emulation.go_back(
        q, k, v, eta, kept, norm, PROBLEM, every, inputs.dy, inputs.dstate, cluster, tanh_error
    )


# The dataflow, in torch.

CASES = [
    Case(64),
    Case(128, batch=2),
    Case(5, batch=3, heads=2, every=3),
    Case(333, batch=2, heads=2, every=3),
    Case(17 * 64 + 37, heads=2, every=16),
    Case(6 * 64 + 1, heads=3, every=4),
]


@pytest.mark.parametrize("cluster", [2, 4])
@pytest.mark.parametrize("case", CASES)
def test_the_dataflow_errs_at_most_twice_as_much_as_the_matrix_form(case, cluster):
    inputs = draw(case)
    right = gradients(inputs, torch.float64)
    plain = errors(gradients(inputs), right)
    found = errors(flat(emulated(inputs, case.every, cluster, emulation.TANH_ERROR)), right)
    assert within_twice(found, plain), (found, plain)


def test_a_wrong_dataflow_is_noticed(monkeypatch):
    inputs = draw(Case(128))
    right = gradients(inputs, torch.float64)
    plain = errors(gradients(inputs), right)
    monkeypatch.setattr(backward_emulation, "_second_slope", lambda z, tanh_error: torch.zeros_like(z))
    assert not within_twice(errors(flat(emulated(inputs, 1)), right), plain)


# The kernels, on the model of the device.


def go_back(model: Any, inputs: Inputs, every: int, how: BackwardLaunch, seed: int = 0, lazy: bool = True) -> Gradients:
    """`backward_launch.go_back` on the model; what it does not write is NaN."""
    q, k, v, eta, _, norm = inputs.read()
    kept = keep(inputs, every)
    with model.for_a_gpu(seed, lazy):
        return backward_launch.go_back(q, k, v, eta, kept, norm, PROBLEM, every, inputs.dy, inputs.dstate, how)


# Sums in another order round to another bfloat16 now and then, and what follows moves by one part in 256 there: a state
# changed by 1e-7 moves the emulation's gradients as far as this.
TOLERANCES = (3e-3, 8e-3, 4e-3, 4e-3, 4e-3, 4e-3, 4e-3, 4e-3, 4e-3, 4e-3)


def close(found: list[float]) -> bool:
    return all(a < b for a, b in zip(found, TOLERANCES, strict=True))


@needs_a_host_compiler
@pytest.mark.parametrize("how", BACKWARD_LAUNCHES, ids=lambda how: how.kernel)
@pytest.mark.parametrize(
    "case",
    [
        Case(64),
        Case(5, heads=2, every=3),
        Case(200, every=2, seed=1),
        pytest.param(Case(333, batch=2, heads=2, every=3, strided=True), marks=pytest.mark.slow),
        pytest.param(Case(17 * 64 + 37, every=16), marks=pytest.mark.slow),
        pytest.param(Case(300, every=1, seed=1), marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_the_kernels_on_a_model_of_the_device(hopper_model, case, how, lazy):
    inputs = draw(case)
    found = go_back(hopper_model, inputs, case.every, how, seed=case.seed, lazy=lazy)
    assert close(off := errors(flat(found), flat(emulated(inputs, case.every, how.cluster)))), off


@needs_a_host_compiler
@pytest.mark.slow
@pytest.mark.parametrize("how", BACKWARD_LAUNCHES, ids=lambda how: how.kernel)
def test_any_pace_of_the_warps_gives_the_same_bits(hopper_model, how):
    inputs = draw(Case(5 * 64))
    first = flat(go_back(hopper_model, inputs, 3, how))
    for seed in range(1, 6):
        other = flat(go_back(hopper_model, inputs, 3, how, seed=seed))
        assert all(torch.equal(a, b) for a, b in zip(other, first, strict=True))


@needs_a_host_compiler
def test_steps_of_nothing_have_gradients_too(hopper_model):
    """eta = 0, as behind a closed gate: nothing is learned, and eta's own gradient says what that costs."""
    inputs = draw(Case(100))
    inputs = replace(inputs, eta=torch.zeros_like(inputs.eta))
    right = gradients(inputs, torch.float64)
    found = flat(go_back(hopper_model, inputs, 1, BackwardLaunch(2)))
    assert found[3].any()
    assert not found[2].any()
    off = errors(tuple(x for i, x in enumerate(found) if i != 2), tuple(x for i, x in enumerate(right) if i != 2))
    assert max(off) < 2e-2, off


@needs_a_host_compiler
def test_the_scratch_memory_is_for_no_more_mini_batches_than_there_are(hopper_model):
    inputs, how, scratch = draw(Case(70)), BackwardLaunch(2), list[int]()
    q, k, v, eta, _, norm = inputs.read()
    with hopper_model.for_a_gpu() as patch:
        empty = torch.empty

        def counted(*shape: Any, **kind: Any) -> Tensor:
            x = empty(*shape, **kind)
            scratch.append(x.numel() if x.dtype == torch.uint8 else 0)
            return x

        patch.setattr(torch, "empty", counted)
        given = (q, k, v, eta, keep(inputs, 16), norm, PROBLEM, 16, inputs.dy, inputs.dstate, how)
        found = flat(backward_launch.go_back(*given))
    assert sum(scratch) == backward_launch.scratch_bytes(1, 2, how)
    assert all(torch.equal(a, b) for a, b in zip(found, flat(go_back(hopper_model, inputs, 2, how)), strict=True))


SPOILS = {
    "an operand read the wrong way round": (
        "backward_walk.cuh",
        "multiply<true>(g2, own.outer(), own.matrix(P::INNER), true)",
        "multiply<false>(g2, own.outer(), own.matrix(P::INNER), true)",
    ),
    "the gradients' copies not refreshed": (
        "backward_question.cuh",
        "  pieces::store_matrix(own.matrix(P::G1), g1, own.warp, own.lane);\n",
        "  if (j == 0) pieces::store_matrix(own.matrix(P::G1), g1, own.warp, own.lane);\n",
    ),
    "a product not waited for": (
        "backward_walk.cuh",
        "    wgmma::wait<0>();\n    wgmma::settle(dp);",
        "    wgmma::settle(dp);",
    ),
    "a state loaded over the wrong one": ("backward_question.cuh", "load_state(own, j - 1)", "load_state(own, j)"),
    "parts overwritten before they are read": (
        "backward_worker.cuh",
        "  if (own.sums) ptx::wait<false>(own.barrier(P::FREE, own.warp), (own.sums - 1) & 1);\n",
        "",
    ),
    "operands overwritten before they are read": (
        "backward_walk.cuh",
        "  own.meet_neighbours();  // p and dA have been read\n",
        "",
    ),
    "no zeros behind the end": ("backward.cu", "!question && t < given.tokens ? eta[t * given.eta_t] : 0.f", "eta[0]"),
}


@needs_a_host_compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", SPOILS)
def test_a_spoiled_kernel_is_noticed(name, hopper_models, tmp_path):
    spoiled, inputs = hopper_models(tmp_path, SPOILS[name], only="backward"), draw(Case(300, every=5))
    right = flat(emulated(inputs, 5))
    for seed in range(4):
        try:
            found = flat(go_back(spoiled, inputs, 5, BackwardLaunch(2), seed=seed))
        except RuntimeError:
            return
        if not close(errors(found, right)):
            return
    pytest.fail("not noticed")


def test_arguments_are_as_long_as_the_kernel_expects():
    assert ctypes.sizeof(backward_launch.Arguments) == 768
    assert backward_launch.scratch_bytes(48, 8, BackwardLaunch(2)) == 48 * 4 * 8 * (16_896 + 6_144)


# On the device itself.


def on_gpu(inputs: Inputs, every: int, how: BackwardLaunch) -> tuple[Tensor, ...]:
    q, k, v, eta, state, norm = inputs.read()
    kept = launch.read(q, k, v, eta, state, norm, PROBLEM, Launch(2), every)[2]
    return flat(backward_launch.go_back(q, k, v, eta, kept, norm, PROBLEM, every, inputs.dy, inputs.dstate, how))


@pytest.mark.hopper
@pytest.mark.parametrize("how", BACKWARD_LAUNCHES, ids=lambda how: how.kernel)
@pytest.mark.parametrize("case", [*CASES, Case(301, heads=5, batch=3, every=2, strided=True)])
def test_on_a_gpu(case, how):
    """At most twice the error of `dual` in bfloat16, of the same inputs."""
    inputs = draw(case, "cuda")
    right = gradients(inputs, torch.float64)
    plain, found = errors(gradients(inputs), right), errors(on_gpu(inputs, case.every, how), right)
    assert within_twice(found, plain), (found, plain)


@pytest.mark.hopper
@pytest.mark.parametrize("how", BACKWARD_LAUNCHES, ids=lambda how: how.kernel)
def test_a_long_sequence_is_walked_alike_every_time(how):
    """A race would show: 200 mini-batches, ten times."""
    inputs = draw(Case(200 * 64 + 1, heads=20), "cuda")
    first = on_gpu(inputs, 8, how)
    for _ in range(9):
        assert all(torch.equal(a, b) for a, b in zip(on_gpu(inputs, 8, how), first, strict=True))
