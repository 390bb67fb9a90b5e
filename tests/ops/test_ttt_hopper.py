"""The Hopper backend of the TTT op.

Without such a GPU its kernels run on a model of one, compiled for the host (`hopper_on_host/device.h` says what the
model holds), and are held against `emulation.py`, the same dataflow in torch; that one is held against float64.
"""

import ctypes
import math
import shutil
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from storyreel.ops.ttt import HeadNorm, MLPState, TTTProblem, dual, reference, ttt_mlp
from storyreel.ops.ttt.hopper import driver, emulation, launch
from storyreel.ops.ttt.hopper.build import build
from storyreel.ops.ttt.hopper.launch import LAUNCHES, Launch
from storyreel.ops.ttt.hopper.states import Kept

PROBLEM = TTTProblem(64)
needs_a_host_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
Outputs = tuple[Tensor, MLPState]


@dataclass(frozen=True)
class Case:
    tokens: int
    batch: int = 1
    heads: int = 1
    strided: bool = False
    every: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Inputs:
    """q, k, v `[B, T, H, 64]` bfloat16; all else float32. `tokens`: the first of them that are to be read."""

    q: Tensor
    k: Tensor
    v: Tensor
    eta: Tensor
    state: MLPState
    norm: HeadNorm

    def first(self, tokens: int) -> "Inputs":
        q, k, v, eta = (x[:, :tokens] for x in (self.q, self.k, self.v, self.eta))
        return replace(self, q=q, k=k, v=v, eta=eta)

    def given(self) -> tuple[Tensor, Tensor, Tensor, Tensor, MLPState, HeadNorm]:
        return self.q, self.k, self.v, self.eta, self.state, self.norm

    def doubled(self) -> tuple[Tensor, Tensor, Tensor, Tensor, MLPState, HeadNorm]:
        state, norm = MLPState(*(w.double() for w in self.state)), HeadNorm(*(w.double() for w in self.norm))
        return self.q.double(), self.k.double(), self.v.double(), self.eta.double(), state, norm


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

    q, k = (bfloat16(torch.nn.functional.normalize(normal(*lead, 64), dim=-1)) for _ in "qk")
    v, eta = bfloat16(normal(*lead, 64)), float32(2 * torch.rand(*lead, generator=chance, dtype=torch.float64))
    weights = (normal(*rows, 64, 256) / 8, normal(*rows, 256) / 8, normal(*rows, 256, 64) / 16, normal(*rows, 64) / 16)
    norm = (1 + 0.3 * normal(case.heads, 64), 0.3 * normal(case.heads, 64))
    eta = eta.transpose(1, 2).contiguous().transpose(1, 2) if case.strided else eta
    return Inputs(q, k, v, eta, MLPState(*map(float32, weights)), HeadNorm(*map(float32, norm)))


def errors(given: Outputs, right: Outputs) -> list[float]:
    pairs = zip((given[0], *given[1]), (right[0], *right[1]), strict=True)
    return [((a.double() - b.double()).norm() / b.double().norm()).item() for a, b in pairs]


def within_twice(given: list[float], plain: list[float]) -> bool:
    return all(a < 2 * b for a, b in zip(given, plain, strict=True))


# The dataflow, in torch.


@pytest.mark.parametrize(("workers", "answerers"), [(2, 2), (4, 2), (4, 4)])
@pytest.mark.parametrize(
    "case", [Case(64, heads=3), Case(128, batch=2), Case(17 * 64 + 37, heads=2), Case(5, batch=3, heads=5)]
)
def test_the_dataflow_errs_at_most_twice_as_much_as_the_matrix_form(case, workers, answerers):
    inputs = draw(case)
    right = dual.ttt(*inputs.doubled(), PROBLEM)
    plain = errors(dual.ttt(*inputs.given(), PROBLEM), right)
    found = errors(emulation.ttt(*inputs.given(), PROBLEM, workers, answerers)[:2], right)
    assert within_twice(found, plain), (found, plain)


def test_a_wrong_dataflow_is_noticed(monkeypatch):
    inputs = draw(Case(128))
    right = dual.ttt(*inputs.doubled(), PROBLEM)
    plain = errors(dual.ttt(*inputs.given(), PROBLEM), right)
    monkeypatch.setattr(emulation, "rounded", lambda x: x.to(torch.float8_e4m3fn).float())
    assert not within_twice(errors(emulation.ttt(*inputs.given(), PROBLEM)[:2], right), plain)


# The kernels, on the model of the device.


def read(
    model: Any,
    inputs: Inputs,
    how: Launch,
    every: int = 0,
    seed: int = 0,
    lazy: bool = True,
    dump: Tensor | None = None,
) -> tuple[Tensor, MLPState, Kept]:
    """`launch.read` on the model; what it does not write is NaN."""
    with model.for_a_gpu(seed, lazy):
        return launch.read(*inputs.given(), PROBLEM, how, every, dump=dump)


DUMPED = [(64, 256), (64, 64), (64, 64), (64, 256), (64, 256), (64, 256), (64, 256), (64, 64)]  # emulation.Values


def _nothing(*shape: int) -> Tensor:
    return torch.full(shape, float("nan"))


def emulated(inputs: Inputs, how: Launch) -> tuple[Tensor, MLPState, emulation.Values]:
    return emulation.ttt(*inputs.given(), PROBLEM, how.workers, how.answerers, tanh_error=0)


# Sums in another order round to another bfloat16 now and then, and what follows moves by one part in 256 there.
TOLERANCES = (4e-3, 6e-4, 6e-4, 6e-4, 6e-4)


def close(found: list[float]) -> bool:
    return all(a < b for a, b in zip(found, TOLERANCES, strict=True))


@needs_a_host_compiler
@pytest.mark.parametrize("how", LAUNCHES, ids=lambda how: how.kernel)
@pytest.mark.parametrize(
    "case",
    [
        Case(64),
        Case(5, heads=2),
        pytest.param(Case(17 * 64 + 37), marks=pytest.mark.slow),
        pytest.param(Case(333, batch=2, heads=2, strided=True), marks=pytest.mark.slow),
        Case(150, every=1, seed=1),
        pytest.param(Case(300, every=2, seed=1), marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_the_kernels_on_a_model_of_the_device(hopper_model, case, how, lazy):
    inputs = draw(case)
    y, final, kept = read(hopper_model, inputs, how, case.every, seed=case.seed, lazy=lazy)
    assert close(found := errors((y, final), emulated(inputs, how)[:2])), found
    for number in range(kept.w1.shape[1]):
        before = inputs.first(number * 64 * case.every)
        state = emulated(before, how)[1] if number else inputs.state
        own = MLPState(
            *(w[:, number].reshape(b.shape) for w, b in zip(kept, state._replace(w2=state.w2.mT), strict=True))
        )
        assert close(errors((y, own._replace(w2=own.w2.mT)), (y, state)))


@needs_a_host_compiler
@pytest.mark.slow
@pytest.mark.parametrize("how", LAUNCHES, ids=lambda how: how.kernel)
def test_any_pace_of_the_warps_gives_the_same_bits(hopper_model, how):
    inputs = draw(Case(4 * 64))
    first = read(hopper_model, inputs, how, seed=0)
    for seed in range(1, 5):
        other = read(hopper_model, inputs, how, seed=seed)
        assert torch.equal(other[0], first[0])
        assert all(torch.equal(a, b) for a, b in zip(other[1], first[1], strict=True))


@needs_a_host_compiler
@pytest.mark.parametrize("how", LAUNCHES, ids=lambda how: how.kernel)
def test_what_the_kernels_dump(hopper_model, how):
    inputs, dump = draw(Case(70)), _nothing(sum(map(math.prod, DUMPED)))
    read(hopper_model, inputs, how, dump=dump)
    parts = dump.split([math.prod(shape) for shape in DUMPED])
    for part, shape, right in zip(parts, DUMPED, emulated(inputs, how)[2], strict=True):
        assert ((part.view(shape) - right[0]).norm() / right[0].norm()).item() < 1e-3


SPOILS = {
    "one weight's step left out": ("gradient.cuh", "layout::along_rows(own.matrix(P::X2), s), 1)", "0, 0)"),
    "an operand read the wrong way round": ("gradient.cuh", "layout::along_rows(k, s)", "layout::along_columns(k, s)"),
    "a product not waited for": ("gradient.cuh", "  wgmma::wait<0>();\n  wgmma::settle(w1);", "  wgmma::settle(w1);"),
    "a bias not learned": (
        "gradient.cuh",
        "own.b1(next), own.b1(state), own.matrix(P::STEP1)",
        "own.b1(next), own.b1(state), own.matrix(P::STEP2)",
    ),
    "no zeros behind the end": ("kernel.cu", "t < given.tokens ? eta[t * given.eta_t] : 0.f", "eta[0]"),
    "an arrival before the stores": (
        "worker.cuh",
        "      __syncwarp();\n      if (lane == 0) ptx::arrive_there<HERE>",
        "      if (lane == 0) ptx::arrive_there<HERE>",
    ),
    "a copy of what is not there yet": (
        "worker.cuh",
        "      ptx::fence_async();\n      __syncwarp();",
        "      ptx::fence_async();",
    ),
}
SPOILED = {"an arrival before the stores": Launch(2, "stores"), "a copy of what is not there yet": Launch(2, "copies")}


@needs_a_host_compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", SPOILS)
def test_a_spoiled_kernel_is_noticed(name, hopper_models, tmp_path):
    spoiled = hopper_models(tmp_path, SPOILS[name], only="forward")
    how, inputs = SPOILED.get(name, Launch(2)), draw(Case(100))
    try:
        y, final, _ = read(spoiled, inputs, how)
    except RuntimeError:
        return
    assert not close(errors((y, final), emulated(inputs, how)[:2]))


# Compiling and launching.


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")
def test_it_compiles_without_spills_of_consequence(tmp_path):
    report = build(to=tmp_path / "kernel.cubin")
    assert (tmp_path / "kernel.cubin").stat().st_size > 10_000
    for how in LAUNCHES:
        assert f"'{how.kernel}'" in report
    assert "serialized" not in report
    assert "setmaxnreg" not in report
    spilled = [int(line.split(" bytes spill stores")[0].split()[-1]) for line in report.splitlines() if "spill" in line]
    assert max(spilled) <= 64, report


def test_the_arguments_are_as_long_as_the_kernels_think():
    assert ctypes.sizeof(driver.Arguments) == 576


def test_the_launch_takes_the_fewest_and_shortest_waves():
    found = [launch.choice(rows, 132) for rows in (1, 48, 66, 67, 96, 132, 133, 144, 198, 264)]
    assert [how.cluster for how in found] == [2, 2, 2, 1, 1, 1, 2, 2, 2, 1]
    assert {how.kernel for how in found} == {"ttt_mlp_1", "ttt_mlp_2_of_4"}


def test_what_tma_can_read():
    x = torch.zeros(2, 7, 3, 64, dtype=torch.bfloat16)
    assert driver.mappable(x)
    assert driver.mappable(draw(Case(9, 2, 2, strided=True)).q)
    assert not driver.mappable(x[:1].expand(2, -1, -1, -1))
    assert not driver.mappable(torch.zeros(2, 7, 3, 68, dtype=torch.bfloat16)[..., 2:66])
    assert not driver.mappable(torch.zeros(2, 7, 3, 66, dtype=torch.bfloat16)[..., :64])
    assert not driver.mappable(torch.zeros(2, 7, 64, 3, dtype=torch.bfloat16).mT)


# On the device itself.


ON_GPU = [
    Case(64, heads=3),
    Case(128, batch=2),
    Case(5),
    Case(17 * 64 + 37, batch=3, heads=5),
    Case(301, heads=2, batch=2, strided=True),
]


@pytest.mark.hopper
@pytest.mark.parametrize("how", LAUNCHES, ids=lambda how: how.kernel)
@pytest.mark.parametrize("case", ON_GPU)
def test_on_a_gpu(case, how):
    """At most twice the error of `dual` in bfloat16, of the same inputs."""
    inputs = draw(case, "cuda")
    right = dual.ttt(*inputs.doubled(), PROBLEM)
    plain = errors(dual.ttt(*inputs.given(), PROBLEM), right)
    found = errors(launch.read(*inputs.given(), PROBLEM, how)[:2], right)
    assert within_twice(found, plain), (found, plain)


@pytest.mark.hopper
def test_the_specification_on_a_gpu():
    inputs = draw(Case(100), "cuda")
    with torch.no_grad():
        given = ttt_mlp(*inputs.given(), problem=PROBLEM, backend="hopper")
    assert max(errors(given, reference.ttt(*inputs.doubled(), PROBLEM))) < 1e-2


@pytest.mark.hopper
@pytest.mark.parametrize("how", LAUNCHES, ids=lambda how: how.kernel)
def test_a_long_sequence_is_read_alike_every_time(how):
    """A race would show: 200 mini-batches, ten times."""
    inputs = draw(Case(200 * 64 + 1, heads=20), "cuda")
    first = launch.read(*inputs.given(), PROBLEM, how)
    for _ in range(9):
        again = launch.read(*inputs.given(), PROBLEM, how)
        assert torch.equal(again[0], first[0])
        assert all(torch.equal(a, b) for a, b in zip(again[1], first[1], strict=True))


@pytest.mark.hopper
@pytest.mark.parametrize("how", LAUNCHES, ids=lambda how: how.kernel)
def test_kept_states_on_a_gpu(how):
    inputs = draw(Case(5 * 64 + 3, heads=2, batch=2), "cuda")
    _, _, kept = launch.read(*inputs.given(), PROBLEM, how, every=2)
    for number in range(3):
        state = launch.read(*inputs.first(128 * number).given(), PROBLEM, how)[1] if number else inputs.state
        for own, right in zip(kept, state._replace(w2=state.w2.mT), strict=True):
            assert torch.equal(own[:, number].reshape(right.shape), right)
