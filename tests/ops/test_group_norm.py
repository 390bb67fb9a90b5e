"""GroupNorm with modulation, SiLU and frames in front: the reference against torch, the kernels against the reference.

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
from storyreel.ops.group_norm import group_norm

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")


@dataclass(frozen=True)
class Case:
    """fine: T, H, W of x; coarse: t, h, w of scale and shift, None for none; mean: of x, in deviations."""

    channels: int = 8
    groups: int = 4
    fine: tuple[int, int, int] = (5, 6, 10)
    coarse: tuple[int, int, int] | None = (3, 3, 5)
    chunks: tuple[int, ...] | None = None
    batch: int = 2
    silu: bool = True
    lead: int = 2
    before: bool = False
    offset: bool = False
    joined: bool = False
    mean: float = 0.5
    eps: float = 1e-6


CASES = {
    "decoder": Case(),
    "encoder": Case(coarse=None),
    "norm alone": Case(coarse=None, silu=False, lead=0),
    "one channel a group": Case(groups=8),
    "two channels a group, chunks": Case(fine=(9, 4, 4), coarse=(5, 2, 1), chunks=(5, 4)),
    "three channels a group": Case(channels=96, groups=32, fine=(2, 3, 3), coarse=(2, 3, 3)),
    "sixteen channels a group": Case(channels=64, groups=4, fine=(2, 3, 2), coarse=(1, 1, 2), batch=1),
    "three chunks, cells of 4 frames": Case(fine=(25, 4, 4), coarse=(7, 1, 1), chunks=(9, 8, 8), batch=1),
    "chunks without modulation": Case(fine=(7, 5, 3), coarse=None, chunks=(3, 2, 2)),
    "even frames": Case(fine=(8, 4, 6), coarse=(2, 2, 2)),
    "one frame": Case(fine=(1, 4, 6), coarse=(1, 2, 2)),
    "cells of 3 by 5": Case(fine=(3, 9, 10), coarse=(2, 3, 2)),
    "five channels": Case(channels=5, groups=5, coarse=None),
    "modulated, no SiLU": Case(silu=False, lead=0),
    "frames before": Case(before=True),
    "offset": Case(offset=True, chunks=(3, 2)),
    "offset, three channels a group": Case(channels=12, fine=(2, 3, 3), coarse=None, offset=True, mean=3.0),
    "scale and shift in one tensor": Case(joined=True, channels=16),
    "a large mean": Case(coarse=None, mean=1000.0),
    "large eps": Case(eps=0.5),
    "many tiles": Case(fine=(3, 32, 24), coarse=(3, 32, 24), channels=32, groups=32, batch=1),
}


def draw(case: Case, dtype: torch.dtype = torch.float32, device: str = "cpu") -> dict[str, Tensor]:
    """Inputs and parameters by name, taking gradients; videos in channels_last_3d."""
    chance = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=chance, dtype=torch.float64)

    lead = (case.batch, case.channels)
    own = {"x": case.mean + normal(*lead, *case.fine)}
    own |= {"weight": 1 + 0.3 * normal(case.channels), "bias": 0.3 * normal(case.channels)}
    if case.coarse:
        own |= {"scale": 1 + 0.5 * normal(*lead, *case.coarse), "shift": 0.5 * normal(*lead, *case.coarse)}
    if case.offset:
        own["offset"] = 2 * normal(case.channels)
    if case.before:
        own["before"] = normal(*lead, case.lead, *case.fine[1:])
    placed = {name: x.to(device, dtype) for name, x in own.items()}
    for name, x in placed.items():
        if x.dim() == 5:
            placed[name] = x.contiguous(memory_format=torch.channels_last_3d)
    return {name: x.requires_grad_() for name, x in placed.items()}


def run(tensors: dict[str, Tensor], case: Case, backend: str) -> Tensor:
    given = {name: tensors.get(name) for name in ("offset", "scale", "shift", "before")}
    if case.joined:
        both = torch.cat([tensors["scale"], tensors["shift"]], dim=1)
        given |= dict(zip(("scale", "shift"), both.split(case.channels, dim=1), strict=True))
    options = {"eps": case.eps, "chunks": case.chunks, "silu": case.silu, "lead": case.lead}
    weights = (tensors["weight"], tensors["bias"])
    return group_norm(tensors["x"], case.groups, *weights, **options, **given, backend=backend)


def results(tensors: dict[str, Tensor], case: Case, backend: str) -> dict[str, Tensor]:
    """y and the gradient of every tensor, of a sum of y with random weights."""
    y = run(tensors, case, backend)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradients = torch.autograd.grad((y * weights.to(y.device, y.dtype)).sum(), list(tensors.values()))
    return {"y": y} | {f"d{name}": g for name, g in zip(tensors, gradients, strict=True)}


def exact(tensors: dict[str, Tensor], case: Case) -> dict[str, Tensor]:
    return results({name: x.detach().double().requires_grad_() for name, x in tensors.items()}, case, "reference")


def errors(given: dict[str, Tensor], right: dict[str, Tensor]) -> dict[str, float]:
    return {name: ((given[name].double() - x).norm() / x.norm()).item() for name, x in right.items()}


@pytest.mark.parametrize("name", CASES)
def test_the_reference_is_torchs_group_norm_a_chunk_at_a_time(name):
    case = CASES[name]
    tensors = {name: x.detach() for name, x in draw(case, torch.float64).items()}
    parts = []
    x, scale, shift = (tensors.get(name) for name in ("x", "scale", "shift"))
    if case.offset:
        x = x + tensors["offset"][:, None, None, None]
    for part in x.split(case.chunks or (len(x[0, 0]),), dim=2):
        parts.append(F.group_norm(part, case.groups, tensors["weight"], tensors["bias"], case.eps))
    y = torch.cat(parts, dim=2)
    if case.coarse:
        cuts = (0, 1) if case.fine[0] > 1 and case.fine[0] % 2 else (0,)
        for cut, end in zip(cuts, (*cuts[1:], None), strict=True):
            size = y[:, :, cut:end].shape[2:]
            by, plus = (F.interpolate(z[:, :, cut:end], size=size) for z in (scale, shift))
            y[:, :, cut:end] = y[:, :, cut:end] * by + plus
    y = F.silu(y) if case.silu else y
    torch.testing.assert_close(run(tensors, case, "reference")[:, :, case.lead :], y, rtol=1e-12, atol=1e-12)
    front = run(tensors, case, "reference")[:, :, : case.lead]
    expected = tensors["before"] if case.before else y[:, :, :1].expand_as(front)
    torch.testing.assert_close(front, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["frames before", "two channels a group, chunks", "offset"])
def test_gradcheck_of_the_reference(name):
    case = replace(CASES[name], batch=1, channels=4, groups=2)
    tensors = draw(case, torch.float64)

    def function(*values: Tensor) -> Tensor:
        return run(dict(zip(tensors, values, strict=True)), case, "reference")

    assert torch.autograd.gradcheck(function, tuple(tensors.values()))


def interpret() -> dict[str, dict[str, float]]:
    """Errors of every case; "inputs": what changed in them."""
    found = {}
    for name, case in CASES.items():
        tensors = draw(case)
        given = results(tensors, case, "triton")
        found[name] = errors(given, exact(tensors, case))
        assert all(x.is_contiguous(memory_format=torch.channels_last_3d) for x in (given["y"], given["dx"]))
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
    assert len(found) == 4 + 2 * (case.coarse is not None) + case.before + case.offset
    # float32 holds the mean itself to 6e-8, and it is so many deviations
    assert max(found.values()) < 2e-6 + 1e-7 * case.mean, found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": 3}, "groups is 3, but they must divide 8 channels"),
        ({"coarse": (3, 4, 5)}, "whole numbers of values in each cell"),
        ({"chunks": (3, 3)}, r"chunks is \[3, 3\], but they must add up to 5"),
        ({"chunks": (2, 3)}, "cells of 2 frames must not lie across a border"),
        ({"chunks": (1, 1, 3)}, "equal after the first"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes, message):
    case = replace(Case(), **changes)
    with pytest.raises(GeometryError, match=message):
        run(draw(case), case, "reference")


def test_scale_without_shift_is_refused():
    tensors = draw(Case())
    del tensors["shift"]
    with pytest.raises(GeometryError, match="both are needed"):
        run(tensors, Case(), "reference")


@pytest.mark.parametrize(("backend", "message"), [("triton", "needs the package triton, a CUDA GPU"), ("best", "best")])
def test_backends_that_cannot_serve_say_so(backend, message, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(KernelUnavailable, match=message):
        run(draw(Case()), Case(), backend)


def test_the_op_does_not_import_triton():
    code = "import sys, storyreel.ops.group_norm; sys.exit('triton was imported' if 'triton' in sys.modules else 0)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr


ON_GPU = CASES | {
    "demo, whole frames": Case(32, 32, (25, 128, 192), (7, 16, 24), (9, 8, 8)),
    "demo, latents": Case(96, 32, (7, 16, 24), (7, 16, 24), (3, 2, 2), batch=4),
    "demo, encoder": Case(64, 32, (13, 64, 96), None, (5, 4, 4)),
    "CogVideoX, latents": Case(512, 32, (3, 60, 90), (3, 60, 90), batch=1),
    "CogVideoX, pixels": Case(128, 32, (9, 480, 720), (3, 60, 90), batch=1),
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
def test_a_cuda_graph_replays_it():
    """Leaves, warm-up and capture share one stream; autograd warns of gradients that cross from one to another."""
    case, side = ON_GPU["demo, latents"], torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        tensors = draw(case, torch.bfloat16, "cuda")

    def step() -> list[Tensor]:
        y = run(tensors, case, "triton")
        return [y.detach(), *torch.autograd.grad(y.float().square().sum(), list(tensors.values()))]

    with torch.cuda.stream(side):
        eager = step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        captured = step()
    torch.cuda.current_stream().wait_stream(side)
    for x in captured:
        x.fill_(float("nan"))
    graph.replay()
    for one, two, three in zip(captured, eager, step(), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)


if __name__ == "__main__":
    print(json.dumps(interpret()))
