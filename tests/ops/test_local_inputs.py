"""The windows of local attention: the reference against torch a window at a time, the kernels against the reference.

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
from storyreel.geometry import TokenLayout
from storyreel.ops.local_inputs import HeadNorms, local_inputs, window_slots

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")
LAYOUT = TokenLayout(segments=3, text_tokens=3, rows=1, columns=2, mini_batch=1, latents_per_segment=2)
STILL = TokenLayout(segments=1, text_tokens=5, rows=2, columns=2, mini_batch=1, latents_per_segment=0)
NAMES = ("q", "k", "v")


@dataclass(frozen=True)
class Case:
    layout: TokenLayout = LAYOUT
    heads: int = 2
    width: int = 16
    batch: int = 2
    rotary: bool = True
    eps: float = 1e-6
    mean: float = 0.5


CASES = {
    "usual": Case(),
    "no positions": Case(rotary=False),
    "one segment": Case(replace(LAYOUT, segments=1)),
    "a still": Case(STILL),
    "heads of 64": Case(heads=3, width=64, batch=1),
    "more heads than a tile": Case(heads=18, width=32, batch=1),
    "windows of several tiles": Case(TokenLayout(2, 7, 3, 5, 1, 6), batch=1),
    "one latent frame a segment": Case(TokenLayout(4, 1, 1, 1, 1, 1)),
    "large eps": Case(eps=0.5),
    "a large mean": Case(mean=30.0),
}


def draw(case: Case, dtype: torch.dtype = torch.float32, device: str = "cpu") -> dict[str, Tensor]:
    """The projection and the norms by name, taking gradients; cos and sin."""
    chance = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=chance, dtype=torch.float64)

    own = {"projected": case.mean + normal(case.batch, case.layout.total_tokens, 3 * case.heads * case.width)}
    for name in HeadNorms._fields:
        own[name] = ("weight" in name) + 0.3 * normal(case.width)
    placed = {name: x.to(device, dtype).requires_grad_() for name, x in own.items()}
    angles = 3 * normal(case.layout.window_tokens, case.width // 2)
    return placed | {"cos": angles.cos().float().to(device), "sin": angles.sin().float().to(device)}


def run(tensors: dict[str, Tensor], case: Case, backend: str) -> tuple[Tensor, ...]:
    norms = HeadNorms(*(tensors[name] for name in HeadNorms._fields))
    rotary = (tensors["cos"], tensors["sin"]) if case.rotary else None
    return local_inputs(tensors["projected"], norms, rotary, case.layout, eps=case.eps, backend=backend)


def results(tensors: dict[str, Tensor], case: Case, backend: str) -> dict[str, Tensor]:
    """Outputs, and gradients of a sum of them with random weights."""
    made = run(tensors, case, backend)
    chance = torch.Generator().manual_seed(1)
    weights = [torch.randn(y.shape, generator=chance, dtype=torch.float64) for y in made]
    total = torch.stack([(y * w.to(y.device, y.dtype)).sum() for y, w in zip(made, weights, strict=True)]).sum()
    names = ("projected", *HeadNorms._fields)
    gradients = torch.autograd.grad(total, [tensors[name] for name in names])
    return dict(zip(NAMES, made, strict=True)) | {f"d{name}": g for name, g in zip(names, gradients, strict=True)}


def exact(tensors: dict[str, Tensor], case: Case) -> dict[str, Tensor]:
    wide = {name: x.detach().double().requires_grad_(x.requires_grad) for name, x in tensors.items()}
    return results(wide, case, "reference")


def errors(given: dict[str, Tensor], right: dict[str, Tensor]) -> dict[str, float]:
    return {name: ((given[name].double() - x).norm() / x.norm()).item() for name, x in right.items()}


@pytest.mark.parametrize("name", CASES)
def test_the_reference_is_torch_a_window_at_a_time(name):
    case = CASES[name]
    tensors = {name: x.detach() for name, x in draw(case, torch.float64).items()}
    made = [x.unflatten(0, (case.batch, -1)) for x in run(tensors, case, "reference")]
    turn = torch.complex(tensors["cos"].double(), tensors["sin"].double())[:, None]
    for number, window in enumerate(case.layout.window_index()):
        own = tensors["projected"][:, window].unflatten(-1, (3, case.heads, case.width))
        for part, kind in enumerate("qk"):
            x = own[:, :, part]
            x = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, correction=0, keepdim=True) + case.eps)
            x = x * tensors[f"{kind}_weight"] + tensors[f"{kind}_bias"]
            if case.rotary:
                x = torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2))) * turn).flatten(-2)
            torch.testing.assert_close(made[part][:, number], x, rtol=1e-11, atol=1e-11)
        assert torch.equal(made[2][:, number], own[:, :, 2])


def test_gradcheck_of_the_reference():
    case = replace(CASES["one latent frame a segment"], batch=1, heads=1)
    tensors = draw(case, torch.float64)
    names = ("projected", *HeadNorms._fields)

    def function(*values: Tensor) -> tuple[Tensor, ...]:
        return run(tensors | dict(zip(names, values, strict=True)), case, "reference")

    assert torch.autograd.gradcheck(function, tuple(tensors[name] for name in names))


@pytest.mark.parametrize("name", CASES)
def test_slots_of_tokens_and_tokens_of_slots(name):
    layout = CASES[name].layout
    tokens, of_token = window_slots(layout, torch.device("cpu"))
    assert torch.equal(tokens.long(), layout.window_index())
    for token, (one, two) in enumerate(of_token.tolist()):
        own = (tokens.flatten() == token).nonzero().flatten().tolist()
        assert [slot for slot in (one, two) if slot >= 0] == own


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
    found = interpreted[name]
    assert found.pop("inputs") == 0
    assert len(found) == 8
    # float32 holds the mean itself to 6e-8, and it is so many deviations
    assert max(found.values()) < 1e-6 + 1e-7 * CASES[name].mean, found


def test_what_does_not_fit_is_refused():
    tensors, case = draw(Case()), Case()
    with pytest.raises(GeometryError, match="layout is reversed"):
        run(tensors, replace(case, layout=LAYOUT.reversed()), "reference")
    with pytest.raises(GeometryError, match="projected is"):
        run(tensors | {"projected": tensors["projected"][:, 1:]}, case, "reference")
    with pytest.raises(GeometryError, match="sin is"):
        run(tensors | {"sin": tensors["sin"][1:]}, case, "reference")


@pytest.mark.parametrize(("backend", "message"), [("triton", "needs the package triton, a CUDA GPU"), ("best", "best")])
def test_backends_that_cannot_serve_say_so(backend, message, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(KernelUnavailable, match=message):
        run(draw(Case()), Case(), backend)


ON_GPU = CASES | {
    "CogVideoX, 3 s": Case(TokenLayout.for_video(3), heads=48, width=64, batch=1),
    "CogVideoX, 9 s": Case(TokenLayout.for_video(9), heads=16, width=64, batch=2),
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
        assert all(given[n] < 2 * plain[n] + 1e-6 for n in given), {n: (given[n], plain[n]) for n in given}


if __name__ == "__main__":
    print(json.dumps(interpret()))
