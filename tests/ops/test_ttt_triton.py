"""The Triton backend of the TTT op, held against the float64 form.

Without a GPU the kernels run in Triton's interpreter, which must be chosen before Triton is imported: this file runs
itself as a program (`interpret`) and reads its errors.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from storyreel.errors import KernelUnavailable
from storyreel.ops.ttt import HeadNorm, LinearState, MLPState, TTTProblem, ttt_linear, ttt_mlp

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")
TOKENS, NORM = ("q", "k", "v", "eta"), ("norm_w", "norm_b")
STATES = {MLPState: ("w1", "b1", "w2", "b2"), LinearState: ("w", "b")}
MEMORIES = [pytest.param(MLPState, id="mlp"), pytest.param(LinearState, id="linear")]
State = type[MLPState] | type[LinearState]


@dataclass(frozen=True)
class Case:
    """hidden: of TTT-MLP; None: four times the width."""

    tokens: int = 37
    mini_batch: int = 16
    batch: int = 2
    heads: int = 2
    width: int = 16
    hidden: int | None = None
    checkpoint_every: int = 0
    eps: float = 1e-6
    strided: bool = False
    memory: State = MLPState

    @property
    def problem(self) -> TTTProblem:
        return TTTProblem(self.mini_batch, self.eps, self.checkpoint_every)


INTERPRETED = {
    "one mini-batch": Case(tokens=16),
    "less than one": Case(tokens=5, batch=1, heads=3),
    "short last one": Case(),
    "slices of 16": Case(hidden=48),
    "wide heads": Case(width=32, tokens=40, batch=1),
    "mini-batch 32": Case(mini_batch=32, tokens=70, batch=1),
    "mini-batch 64": Case(mini_batch=64, tokens=70, batch=1),
    "checkpoints": Case(checkpoint_every=2),
    "checkpoint of each": Case(checkpoint_every=1),
    "large eps": Case(eps=0.3),
    "strided": Case(strided=True),
}
INTERPRETED |= {f"linear, {name}": replace(case, memory=LinearState) for name, case in INTERPRETED.items()}
del INTERPRETED["linear, slices of 16"]


def draw(case: Case, dtype: torch.dtype = torch.float32, device: str = "cpu") -> dict[str, Tensor]:
    """Inputs and parameters by name, in `dtype` (those that the op has in float32: in float32), taking gradients."""
    chance = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=chance, dtype=torch.float64)

    lead, width, hidden = (case.batch, case.tokens, case.heads), case.width, case.hidden or 4 * case.width
    own = {name: torch.nn.functional.normalize(normal(*lead, width), dim=-1) for name in "qk"}
    own |= {"v": normal(*lead, width), "eta": 2 * torch.rand(*lead, generator=chance, dtype=torch.float64)}
    states = {"w1": (width, hidden), "b1": (hidden,), "w2": (hidden, width), "b2": (width,)}
    states |= {"w": (width, width), "b": (width,)}
    for name in STATES[case.memory]:
        own[name] = normal(case.batch, case.heads, *states[name]) * states[name][0] ** -0.5
    own |= {"norm_w": 1 + 0.3 * normal(case.heads, width), "norm_b": 0.3 * normal(case.heads, width)}
    narrow = {"q", "k", "v"}
    tensors = {name: own[name].to(device, dtype if name in narrow else torch.float32) for name in own}
    if case.strided:
        tensors = {name: _strided(x) if name in narrow else x for name, x in tensors.items()}
    return {name: x.requires_grad_() for name, x in tensors.items()}


def _strided(x: Tensor) -> Tensor:
    """The same values, heads before tokens in memory and gaps between them."""
    room = torch.full((*x.transpose(1, 2).shape[:-1], 2 * x.shape[-1]), float("nan"), dtype=x.dtype, device=x.device)
    room[..., : x.shape[-1]] = x.transpose(1, 2)
    return room[..., : x.shape[-1]].transpose(1, 2)


def read(tensors: dict[str, Tensor], problem: TTTProblem, backend: str) -> dict[str, Tensor]:
    """y and the final state."""
    memory, op = (MLPState, ttt_mlp) if "w1" in tensors else (LinearState, ttt_linear)
    names, norm = STATES[memory], HeadNorm(*(tensors[name] for name in NORM))
    state = memory(*(tensors[name] for name in names))
    y, final = op(*(tensors[name] for name in TOKENS), state, norm, problem=problem, backend=backend)
    return dict(zip(("y", *names), (y, *final), strict=True))


def results(tensors: dict[str, Tensor], problem: TTTProblem, backend: str) -> dict[str, Tensor]:
    """y, the final state and the gradient of every tensor, of a sum of all outputs with random weights."""
    outputs = read(tensors, problem, backend)
    chance = torch.Generator().manual_seed(1)
    weights = [torch.randn(x.shape, generator=chance, dtype=torch.float64).to(x.device) for x in outputs.values()]
    total = sum((x * w.to(x.dtype)).sum(dtype=x.dtype) for x, w in zip(outputs.values(), weights, strict=True))
    gradients = torch.autograd.grad(total, list(tensors.values()))
    return outputs | {f"d{name}": g for name, g in zip(tensors, gradients, strict=True)}


def exact(tensors: dict[str, Tensor], problem: TTTProblem) -> dict[str, Tensor]:
    doubles = {name: x.detach().double().requires_grad_() for name, x in tensors.items()}
    return results(doubles, problem, "dual")


def errors(given: dict[str, Tensor], right: dict[str, Tensor]) -> dict[str, float]:
    return {name: ((given[name].double() - x).norm() / x.norm()).item() for name, x in right.items()}


def interpret() -> dict[str, dict[str, float]]:
    """Errors of every interpreted case.

    "kept": what changes in y and the state when nothing is to be differentiated; "inputs": what changed in the inputs.
    """
    found = {}
    for name, case in INTERPRETED.items():
        tensors = draw(case)
        given = results(tensors, case.problem, "triton")
        found[name] = errors(given, exact(tensors, case.problem))
        plain = {name: x.detach() for name, x in tensors.items()}
        alike = read(plain, case.problem, "triton")
        found[name]["kept"] = max((x - given[n]).abs().max().item() for n, x in alike.items())
        found[name]["inputs"] = max((plain[n] - x).abs().max().item() for n, x in draw(case).items())
    return found


@pytest.fixture(scope="module")
def interpreted() -> dict[str, dict[str, float]]:
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@needs_triton
@pytest.mark.parametrize("name", INTERPRETED)
def test_interpreted_outputs_states_and_gradients(interpreted, name):
    found = interpreted[name]
    assert found.pop("kept") == 0
    assert found.pop("inputs") == 0
    assert len(found) == (11 if INTERPRETED[name].memory is LinearState else 15)
    assert max(found.values()) < 1e-5, found


def refused(case: Case, dtype: torch.dtype, message: str) -> None:
    tensors = {name: x.detach() for name, x in draw(case, dtype).items()}
    with pytest.raises(KernelUnavailable, match=message):
        read(tensors, case.problem, "triton")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("memory", MEMORIES)
def test_cpus_are_refused(memory, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    refused(Case(memory=memory), torch.float32, r'backend "triton" needs a CUDA GPU; got cpu\. Try backend="dual"')


@needs_triton
@pytest.mark.parametrize(
    ("case", "dtype", "got"),
    [
        (Case(width=20, hidden=80), torch.float32, "got heads of 20"),
        (Case(mini_batch=8), torch.float32, "mini-batches of 8"),
        (Case(hidden=24), torch.float32, "hidden width 24"),
        (Case(), torch.float64, "torch.float64"),
        (Case(memory=LinearState, width=20), torch.float32, "got heads of 20"),
        (Case(memory=LinearState, mini_batch=8), torch.float32, "mini-batches of 8"),
        (Case(memory=LinearState), torch.float64, "mini-batches of 16 and torch.float64"),
    ],
)
def test_what_the_kernels_cannot_take_is_refused(case, dtype, got, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")  # passes the check of the device; no kernel is launched
    refused(case, dtype, got)


def test_the_interface_does_not_import_triton():
    code = "import sys, storyreel.ops.ttt; print([m for m in sys.modules if m.startswith('storyreel.ops.ttt.triton')])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


ON_GPU = {
    "one mini-batch": Case(tokens=64, mini_batch=64, width=64),
    "two": Case(tokens=128, mini_batch=64, width=64, batch=1, heads=3),
    "seventeen and a piece": Case(tokens=17 * 64 + 37, mini_batch=64, width=64, batch=3, heads=5),
    "checkpoints": Case(tokens=17 * 64 + 37, mini_batch=64, width=64, checkpoint_every=4),
    "strided": Case(tokens=301, mini_batch=64, width=64, strided=True),
    "mini-batch 16": Case(tokens=100, mini_batch=16, width=64),
    "mini-batch 32, heads of 32": Case(tokens=100, mini_batch=32, width=32),
    "mini-batch 128": Case(tokens=300, mini_batch=128, width=64),
    "heads of 128": Case(tokens=300, mini_batch=64, width=128),
    "heads and mini-batch 128": Case(tokens=300, mini_batch=128, width=128),
}


@pytest.mark.gpu
@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("name", ON_GPU)
def test_on_a_gpu(name, dtype, memory):
    """Half precision: at most twice the error of `dual` in the same dtype. float32: 2e-5."""
    case = replace(ON_GPU[name], memory=memory)
    if dtype == torch.float32 and max(case.width, case.mini_batch) > 64:
        pytest.skip("may need more shared memory than there is")
    tensors = draw(case, dtype, "cuda")
    right = exact(tensors, case.problem)
    given = errors(results(tensors, case.problem, "triton"), right)
    if dtype == torch.float32:
        assert max(given.values()) < 2e-5, given
    else:
        plain = errors(results(tensors, case.problem, "dual"), right)
        assert all(given[n] < 2 * plain[n] for n in given), {n: (given[n], plain[n]) for n in given}


@pytest.mark.gpu
@pytest.mark.parametrize("memory", MEMORIES)
def test_a_cuda_graph_replays_it(memory):
    """Leaves, warm-up and capture share one stream; autograd warns of gradients that cross from one to another."""
    case, side = replace(ON_GPU["checkpoints"], memory=memory), torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        tensors = draw(case, torch.bfloat16, "cuda")

    def step() -> tuple[Tensor, ...]:
        outputs = read(tensors, case.problem, "triton")
        total = sum(x.float().square().sum() for x in outputs.values())
        gradients = torch.autograd.grad(total, list(tensors.values()))
        # Detached, so that no autograd graph, with its nodes of the leaves, outlives the step.
        return *(x.detach() for x in outputs.values()), *gradients

    with torch.cuda.stream(side):
        eager = step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        captured = step()
    torch.cuda.current_stream().wait_stream(side)
    for x in captured:
        x.fill_(float("nan"))
    graph.replay()
    for one, two in zip(captured, eager, strict=True):
        assert torch.equal(one, two)


if __name__ == "__main__":
    print(json.dumps(interpret()))
