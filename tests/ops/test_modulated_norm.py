"""LayerNorm with scale and shift, and the gated residual: reference against torch, kernels against the reference.

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
import torch.nn.functional as F
from torch import Tensor

from storyreel.errors import GeometryError, KernelUnavailable
from storyreel.ops.modulated_norm import add_gated, add_gated_then_norm, modulated_norm
from storyreel.ops.modulated_norm.spans import spans

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")


@dataclass(frozen=True)
class Case:
    """form: "norm", "gated" or "both"; rows: of the tables, which serve the whole batch if `shared`."""

    form: str = "both"
    lengths: tuple[int, ...] = (3, 17, 3, 12)
    rows: int = 2
    width: int = 24
    batch: int = 2
    shared: bool = False
    modulated: bool = True
    affine: bool = True
    placed: bool = False
    eps: float = 1e-5
    mean: float = 0.5


CASES = {
    "both": Case(),
    "norm": Case("norm"),
    "gated": Case("gated"),
    "a row a piece": Case(rows=4),
    "one row": Case(rows=1),
    "tables of the whole batch": Case(shared=True),
    "no weights": Case("norm", affine=False),
    "no modulation, from other places": Case("norm", modulated=False, placed=True),
    "from other places": Case("norm", placed=True),
    "one token": Case(lengths=(1,), rows=1, batch=1),
    "one channel more than a power of two": Case(width=129, lengths=(2, 70)),
    "wider than a tile": Case(width=4100, lengths=(2, 3), batch=1),
    "a large mean": Case(mean=100.0),
    "large eps": Case(eps=0.5),
}


def draw(case: Case, dtype: torch.dtype = torch.float32, device: str = "cpu") -> dict[str, Tensor]:
    """Inputs by name, taking gradients."""
    chance = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=chance, dtype=torch.float64)

    tokens = (case.batch, sum(case.lengths), case.width)
    table = (1 if case.shared else case.batch, case.rows, case.width)
    own = {"x": case.mean + normal(*tokens)}
    if case.form != "norm":
        own |= {"y": normal(*tokens), "gate": normal(*table)}
    if case.form != "gated" and case.modulated:
        own |= {"scale": 0.5 * normal(*table), "shift": 0.5 * normal(*table)}
    if case.form != "gated" and case.affine:
        own |= {"weight": 1 + 0.3 * normal(case.width), "bias": 0.3 * normal(case.width)}
    return {name: x.to(device, dtype).requires_grad_() for name, x in own.items()}


def place(case: Case, device: str | torch.device = "cpu") -> Tensor | None:
    if not case.placed:
        return None
    return torch.randperm(sum(case.lengths), generator=torch.Generator().manual_seed(3)).to(device, torch.int32)


def run(tensors: dict[str, Tensor], case: Case, backend: str) -> tuple[Tensor, ...]:
    if case.form == "gated":
        return (add_gated(**tensors, lengths=case.lengths, backend=backend),)
    given = {"scale": None, "shift": None, "lengths": case.lengths, "eps": case.eps, "backend": backend} | tensors
    if case.form == "both":
        return add_gated_then_norm(**given)
    return (modulated_norm(**given, place=place(case, tensors["x"].device)),)


def results(tensors: dict[str, Tensor], case: Case, backend: str) -> dict[str, Tensor]:
    """Outputs, and the gradient of every tensor, of a sum of the outputs with random weights."""
    made = run(tensors, case, backend)
    chance = torch.Generator().manual_seed(1)
    weights = [torch.randn(y.shape, generator=chance, dtype=torch.float64) for y in made]
    total = torch.stack([(y * w.to(y.device, y.dtype)).sum() for y, w in zip(made, weights, strict=True)]).sum()
    gradients = torch.autograd.grad(total, list(tensors.values()))
    own = {f"output {number}": y for number, y in enumerate(made)}
    return own | {f"d{name}": g for name, g in zip(tensors, gradients, strict=True)}


def exact(tensors: dict[str, Tensor], case: Case) -> dict[str, Tensor]:
    return results({name: x.detach().double().requires_grad_() for name, x in tensors.items()}, case, "reference")


def errors(given: dict[str, Tensor], right: dict[str, Tensor]) -> dict[str, float]:
    return {name: ((given[name].double() - x).norm() / x.norm()).item() for name, x in right.items()}


@pytest.mark.parametrize("name", CASES)
def test_the_reference_is_torchs_layer_norm_a_piece_at_a_time(name):
    case = CASES[name]
    tensors = {name: x.detach() for name, x in draw(case, torch.float64).items()}
    x, made = tensors["x"], run(tensors, case, "reference")
    if case.placed:
        x = x[:, place(case).long()]
    start = 0
    for piece, length in enumerate(case.lengths):
        own, row = slice(start, start + length), slice(piece % case.rows, piece % case.rows + 1)
        start += length
        part = x[:, own]
        if "gate" in tensors:
            part = part + tensors["gate"][:, row] * tensors["y"][:, own]
            torch.testing.assert_close(made[0][:, own], part, rtol=1e-12, atol=1e-12)
        if case.form != "gated":
            part = F.layer_norm(part, (case.width,), tensors.get("weight"), tensors.get("bias"), case.eps)
            if case.modulated:
                part = part * (1 + tensors["scale"][:, row]) + tensors["shift"][:, row]
            torch.testing.assert_close(made[-1][:, own], part, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["both", "from other places", "gated"])
def test_gradcheck_of_the_reference(name):
    case = replace(CASES[name], lengths=(2, 3), width=4, batch=1)
    tensors = draw(case, torch.float64)

    def function(*values: Tensor) -> tuple[Tensor, ...]:
        return run(dict(zip(tensors, values, strict=True)), case, "reference")

    assert torch.autograd.gradcheck(function, tuple(tensors.values()))


@pytest.mark.parametrize("longest", [1, 4, 100])
def test_spans_cover_every_token_once_with_the_row_of_its_piece(longest):
    lengths, rows = (3, 17, 3, 12), 3
    table, of_row = spans(lengths, rows, longest, torch.device("cpu"))
    expected = [piece % rows for piece, length in enumerate(lengths) for _ in range(length)]
    found = [row for start, end, row in table.tolist() for _ in range(start, end)]
    assert found == expected
    assert max(end - start for start, end, _ in table.tolist()) <= longest
    for row, own in enumerate(of_row.tolist()):
        listed = [number for number in own if number < len(table)]
        assert listed == [number for number, span in enumerate(table.tolist()) if span[2] == row]


def interpret() -> dict[str, dict[str, float]]:
    """Errors of every case; "inputs": what changed in them."""
    found = {}
    for name, case in CASES.items():
        tensors = draw(case)
        found[name] = errors(results(tensors, case, "triton"), exact(tensors, case))
        found[name]["inputs"] = max((tensors[n] - x).abs().max().item() for n, x in draw(case).items())
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
    found, case = interpreted[name], CASES[name]
    assert found.pop("inputs") == 0
    assert len(found) == len(draw(case)) + (2 if case.form == "both" else 1)
    # float32 holds the mean itself to 6e-8, and it is so many deviations
    assert max(found.values()) < 1e-6 + 1e-7 * case.mean, found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": (3, 4)}, r"lengths is \[3, 4\], but they must be at least 1 and add up to 35 tokens"),
        ({"scale": torch.zeros(3, 2, 24)}, r"scale is \[3, 2, 24\]"),
        ({"gate": torch.zeros(1, 3, 24)}, "with one R for all tables"),
        ({"weight": torch.zeros(25)}, r"weight is \[25\], but it must be \[24\]"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes, message):
    given = draw(Case()) | {"lengths": Case().lengths, "eps": 1e-5} | changes
    with pytest.raises(GeometryError, match=message):
        add_gated_then_norm(**given)


def test_places_must_be_whole():
    tensors = draw(CASES["norm"])
    with pytest.raises(GeometryError, match="place is"):
        modulated_norm(**tensors, lengths=Case().lengths, eps=1e-5, place=torch.arange(35))


def test_x_and_y_must_be_alike():
    tensors = draw(CASES["gated"])
    with pytest.raises(ValueError, match="x and y must be alike"):
        add_gated(tensors["x"], tensors["y"].half(), tensors["gate"], Case().lengths)


@pytest.mark.parametrize(("backend", "message"), [("triton", "needs the package triton, a CUDA GPU"), ("best", "best")])
def test_backends_that_cannot_serve_say_so(backend, message, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(KernelUnavailable, match=message):
        run(draw(Case()), Case(), backend)


ON_GPU = CASES | {
    "CogVideoX, 3 s": Case(lengths=(498, 17550), width=3072, batch=1),
    "CogVideoX, 9 s, a noise level a segment": Case(lengths=(502, 17550, 502, 16200), rows=4, width=3072),
    "CogVideoX, reversed": Case("norm", lengths=(18048,), rows=1, width=3072, placed=True, modulated=False),
    "demo": Case(lengths=(96, 1248, 96, 1152), width=320, batch=4),
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
        assert max(given.values()) < 1e-5 + 1e-7 * case.mean, given
    else:
        plain = errors(results(tensors, case, "reference"), right)
        assert all(given[n] < 2 * plain[n] for n in given), {n: (given[n], plain[n]) for n in given}


@pytest.mark.gpu
def test_two_runs_give_the_same():
    case = ON_GPU["demo"]
    first, second = (results(draw(case, torch.bfloat16, "cuda"), case, "triton") for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


if __name__ == "__main__":
    print(json.dumps(interpret()))
