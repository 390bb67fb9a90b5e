"""From a projection to what the TTT op reads: the reference against the layer's own steps, kernels against it.

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

from storyreel.errors import GeometryError, KernelUnavailable
from storyreel.mixers.ttt import prepare_tokens
from storyreel.ops.ttt_inputs import TTTInputs, projected_width, ttt_inputs, ttt_inputs_into

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")
NAMES = ("q", "k", "v", "eta")


@dataclass(frozen=True)
class Case:
    tokens: int = 13
    heads: int = 2
    width: int = 16
    batch: int = 2
    placed: bool = False
    rate: float = 0.1 / 64
    eps: float = 1e-6
    zeros: bool = False


CASES = {
    "usual": Case(),
    "other places": Case(placed=True),
    "heads of 64": Case(heads=3, width=64, tokens=9, placed=True),
    "heads of 128": Case(heads=1, width=128, tokens=5),
    "more heads than a tile": Case(heads=18, width=32, tokens=7),
    "24 heads": Case(heads=24, width=16, tokens=5, placed=True),
    "one token": Case(tokens=1, batch=1),
    "tokens of several tiles": Case(tokens=301, batch=1, placed=True),
    "large eps": Case(eps=0.5),
    "a head without length": Case(zeros=True),
}


def draw(case: Case, dtype: torch.dtype = torch.float32, device: str = "cpu") -> dict[str, Tensor]:
    """Inputs by name; the first three take gradients."""
    chance = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=chance, dtype=torch.float64)

    size = projected_width(case.heads, case.width)
    own = {"projected": normal(case.batch, case.tokens, size)}
    if case.zeros:
        own["projected"][0, 0, : case.width] = 0
        own["projected"][1, 2, case.heads * case.width : (case.heads + 1) * case.width] = 0
    own |= {"weight": 1 + 0.3 * normal(case.heads, case.width), "bias": 0.3 * normal(case.heads, case.width)}
    angles = 3 * normal(case.tokens, case.width // 2)
    placed = {name: x.to(device, dtype).requires_grad_() for name, x in own.items()}
    return placed | {"cos": angles.cos().float().to(device), "sin": angles.sin().float().to(device)}


def place(case: Case, device: str | torch.device = "cpu") -> Tensor | None:
    if not case.placed:
        return None
    return torch.randperm(case.tokens, generator=torch.Generator().manual_seed(3)).to(device, torch.int32)


def run(tensors: dict[str, Tensor], case: Case, backend: str) -> TTTInputs:
    where = place(case, tensors["cos"].device)
    return ttt_inputs(**tensors, rate=case.rate, eps=case.eps, place=where, backend=backend)


def results(tensors: dict[str, Tensor], case: Case, backend: str) -> dict[str, Tensor]:
    """Outputs, and gradients of a sum of them with random weights."""
    made = run(tensors, case, backend)
    chance = torch.Generator().manual_seed(1)
    weights = [torch.randn(y.shape, generator=chance, dtype=torch.float64) for y in made]
    weights[3] /= case.rate
    total = torch.stack(
        [(y * w.to(y.device, y.dtype)).sum().to(made.eta.dtype) for y, w in zip(made, weights, strict=True)]
    )
    names = ("projected", "weight", "bias")
    gradients = torch.autograd.grad(total.sum(), [tensors[name] for name in names])
    return dict(zip(NAMES, made, strict=True)) | {f"d{name}": g for name, g in zip(names, gradients, strict=True)}


def exact(tensors: dict[str, Tensor], case: Case) -> dict[str, Tensor]:
    wide = {name: x.detach().double().requires_grad_(x.requires_grad) for name, x in tensors.items()}
    return results(wide, case, "reference")


def errors(given: dict[str, Tensor], right: dict[str, Tensor]) -> dict[str, float]:
    """Of the gradient of a head without length, which is 1e12 times any other, a part of its own."""
    found = {}
    for name, x in right.items():
        y = given[name].double()
        large = x.abs() > 1e6
        for label, chosen in ((name, ~large), (f"{name}, large", large)):
            if chosen.any():
                found[label] = ((y[chosen] - x[chosen]).norm() / x[chosen].norm()).item()
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_reference_is_what_the_layer_did_in_steps(name):
    case = replace(CASES[name])
    tensors = {name: x.detach() for name, x in draw(case, torch.float64).items()}
    inner = case.heads * case.width
    projected = tensors["projected"]
    parts = [projected[..., i * inner : (i + 1) * inner].unflatten(-1, (case.heads, -1)) for i in range(3)]
    expected = prepare_tokens(*parts, tensors["cos"], tensors["sin"], tensors["weight"], tensors["bias"], case.eps)
    logits = projected[..., 3 * inner : 3 * inner + case.heads]
    expected = (*expected, case.rate / (1 + torch.exp(-logits)))
    made, where = run(tensors, case, "reference"), place(case)
    for given, right in zip(made, expected, strict=True):
        own = given if where is None else given[:, where.long()]
        torch.testing.assert_close(own, right, rtol=1e-12, atol=1e-14)


def test_gradcheck_of_the_reference():
    case = replace(CASES["other places"], tokens=3, batch=1, rate=1.0)
    tensors = draw(case, torch.float64)

    def function(projected: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
        return tuple(run(tensors | {"projected": projected, "weight": weight, "bias": bias}, case, "reference"))

    assert torch.autograd.gradcheck(function, tuple(tensors[name] for name in ("projected", "weight", "bias")))


def in_pieces(tensors: dict[str, Tensor], case: Case, backend: str) -> TTTInputs:
    out = TTTInputs.empty(tensors["projected"], case.tokens, case.heads, case.width)
    for x in out:
        x.fill_(float("nan"))
    where = place(case, tensors["cos"].device)
    for start in range(0, case.tokens, 5):
        own = slice(start, start + 5)
        part = {"projected": tensors["projected"][:, own], "cos": tensors["cos"][own], "sin": tensors["sin"][own]}
        options = {"rate": case.rate, "eps": case.eps, "place": None if where is None else where[own]}
        ttt_inputs_into(out, **(tensors | part), **options, first=start, backend=backend)
    return out


@pytest.mark.parametrize("name", ["usual", "other places"])
def test_pieces_are_the_whole(name):
    case = CASES[name]
    tensors = draw(case, torch.float64)
    for part, whole in zip(in_pieces(tensors, case, "reference"), run(tensors, case, "reference"), strict=True):
        assert torch.equal(part, whole)


def interpret() -> dict[str, dict[str, float]]:
    """Errors of every case; "inputs": what changed in them; "pieces": how far pieces are from the whole."""
    found = {}
    for name, case in CASES.items():
        tensors = draw(case)
        given = results(tensors, case, "triton")
        found[name] = errors(given, exact(tensors, case))
        found[name]["inputs"] = max((tensors[n] - x).abs().max().item() for n, x in draw(case).items())
        parts = in_pieces(tensors, case, "triton") if case.tokens < 100 else TTTInputs(*(given[n] for n in NAMES))
        found[name]["pieces"] = max((x - given[n]).abs().max().item() for n, x in zip(NAMES, parts, strict=True))
    return found


@pytest.fixture(scope="module")
def interpreted() -> dict[str, dict[str, float]]:
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@needs_triton
@pytest.mark.parametrize("name", CASES)
def test_interpreted_kernels(interpreted, name):
    found = interpreted[name]
    assert found.pop("inputs") == 0
    assert found.pop("pieces") == 0
    assert len(found) == 7 + CASES[name].zeros
    assert max(found.values()) < 2e-6, found


def test_sizes_that_do_not_fit_are_refused():
    tensors, case = draw(Case()), Case()
    with pytest.raises(GeometryError, match=r"projected is \[2, 13, 103\]"):
        run(tensors | {"projected": tensors["projected"][..., :-1]}, case, "reference")
    with pytest.raises(GeometryError, match="cos is"):
        run(tensors | {"cos": tensors["cos"][1:]}, case, "reference")
    out = TTTInputs.empty(tensors["projected"], 5, case.heads, case.width)
    with pytest.raises(GeometryError, match="Make room"):
        ttt_inputs_into(out, **tensors, rate=1.0, eps=1e-6)


@pytest.mark.parametrize(("backend", "message"), [("triton", "needs the package triton, a CUDA GPU"), ("best", "best")])
def test_backends_that_cannot_serve_say_so(backend, message, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(KernelUnavailable, match=message):
        run(draw(Case()), Case(), backend)


def test_heads_of_other_widths_are_the_references(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    case = Case(width=48)
    if find_spec("triton"):
        with pytest.raises(KernelUnavailable, match="needs heads of 16, 32, 64, 128; got 48"):
            run(draw(case), case, "triton")
    assert torch.equal(run(draw(case), case, "auto").v, run(draw(case), case, "reference").v)


ON_GPU = {name: case for name, case in CASES.items() if not case.zeros} | {
    "CogVideoX, 3 s": Case(tokens=18048, heads=48, width=64, batch=1),
    "CogVideoX, reversed, batch 2": Case(tokens=18048, heads=48, width=64, placed=True),
    "demo": Case(tokens=3900, heads=5, width=64, batch=4),
}


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("name", ON_GPU)
def test_on_a_gpu(name, dtype):
    """Half precision: at most twice the error of plain torch in the same dtype. float32: 1e-5."""
    case = ON_GPU[name]
    tensors = draw(case, dtype, "cuda")
    right = exact(tensors, case)
    given = errors(results(tensors, case, "triton"), right)
    if dtype == torch.float32:
        assert max(given.values()) < 1e-5, given
    else:
        plain = errors(results(tensors, case, "reference"), right)
        assert all(given[n] < 2 * plain[n] + 1e-6 for n in given), {n: (given[n], plain[n]) for n in given}


if __name__ == "__main__":
    print(json.dumps(interpret()))
