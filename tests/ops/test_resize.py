"""Changes of size: the reference against diffusers' own layers, the kernels against the reference (interpreted)."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from storyreel.errors import GeometryError, KernelUnavailable
from storyreel.ops.resize import average_frames, enlarge

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")


@dataclass(frozen=True)
class Case:
    """size: that of the result; None: frames are averaged by `by`, with `border`."""

    given: tuple[int, int, int]
    size: tuple[int, int, int] | None = None
    by: int = 2
    border: int = 0
    channels: int = 8
    batch: int = 2


CASES = {
    "space": Case((3, 4, 5), (3, 8, 10)),
    "time and space": Case((3, 4, 5), (5, 8, 10)),
    "even frames": Case((2, 3, 4), (4, 3, 4)),
    "one frame": Case((1, 3, 4), (1, 6, 12)),
    "threefold, 96 channels": Case((3, 2, 3), (7, 6, 9), channels=96, batch=1),
    "five channels": Case((2, 3, 3), (4, 6, 6), channels=5),
    "average of an odd number": Case((7, 4, 5), border=1),
    "average of an even number": Case((4, 4, 5), border=1, channels=32),
    "average of one": Case((1, 4, 5), border=1),
    "border alone": Case((3, 4, 5), by=1, border=1, channels=3),
    "many tiles": Case((3, 16, 24), (5, 32, 48), channels=64, batch=1),
}


def draw(case: Case, dtype: torch.dtype, device: str = "cpu") -> Tensor:
    x = torch.randn(case.batch, case.channels, *case.given, generator=torch.Generator().manual_seed(0))
    return x.to(device, dtype).contiguous(memory_format=torch.channels_last_3d).requires_grad_()


def run(x: Tensor, case: Case, backend: str) -> Tensor:
    if case.size:
        return enlarge(x, case.size, backend=backend)
    return average_frames(x, case.by, case.border, backend=backend)


def results(x: Tensor, case: Case, backend: str) -> tuple[Tensor, Tensor]:
    """The result, and the gradient of a sum of it with random weights, which every dtype holds without rounding."""
    y = run(x, case, backend)
    weights = torch.randint(-8, 9, y.shape, generator=torch.Generator().manual_seed(1)).to(y.device, y.dtype) / 8
    return y.detach(), torch.autograd.grad((y * weights).sum(), x)[0]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.size])
def test_enlarge_is_nearest_neighbours_of_the_first_frame_and_the_rest(name):
    case = CASES[name]
    x, (frames, *_) = draw(case, torch.float64).detach(), case.size
    if frames > 1 and frames % 2:
        parts = (x[:, :, :1], (1, *case.size[1:])), (x[:, :, 1:], (frames - 1, *case.size[1:]))
        expected = torch.cat([F.interpolate(part, size=size) for part, size in parts], dim=2)
    else:
        expected = F.interpolate(x, size=case.size)
    assert torch.equal(enlarge(x, case.size), expected)


@pytest.mark.parametrize("frames", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("border", [0, 1])
def test_average_is_the_pooling_of_the_first_frame_and_the_rest(frames, border):
    x = torch.randn(2, 3, frames, 4, 5, dtype=torch.float64)
    alone = frames % 2
    means = [x[:, :, :alone], *(x[:, :, i : i + 2].mean(dim=2, keepdim=True) for i in range(alone, frames, 2))]
    expected = F.pad(torch.cat(means, dim=2), (0, border, 0, border))
    torch.testing.assert_close(average_frames(x, 2, border), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["time and space", "average of an odd number"])
def test_gradcheck_of_the_reference(name):
    case = CASES[name]
    assert torch.autograd.gradcheck(lambda x: run(x, case, "reference"), draw(case, torch.float64))


def interpret() -> dict[str, list[float]]:
    """Largest errors of result and gradient of every case."""
    found = {}
    for name, case in CASES.items():
        given = results(draw(case, torch.float32), case, "triton")
        right = results(draw(case, torch.float64), case, "reference")
        assert all(x.is_contiguous(memory_format=torch.channels_last_3d) for x in given)
        found[name] = [(x - y).abs().max().item() for x, y in zip(given, right, strict=True)]
    return found


@pytest.fixture(scope="module")
def interpreted() -> dict[str, list[float]]:
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@needs_triton
@pytest.mark.parametrize("name", CASES)
def test_interpreted_kernels(interpreted, name):
    values, gradients = interpreted[name]
    assert values == 0 or (values < 3e-7 and CASES[name].size is None)
    assert gradients < 5e-6


@pytest.mark.parametrize("size", [(4, 8, 10), (5, 7, 10), (2, 8, 10), (3, 8, 9)])
def test_sizes_that_are_no_multiples_are_refused(size):
    with pytest.raises(GeometryError, match="whole numbers of values in each cell"):
        enlarge(torch.zeros(1, 1, 3, 4, 5), size)


def test_kernels_that_cannot_serve_say_so(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(KernelUnavailable, match="needs the package triton, a CUDA GPU"):
        average_frames(torch.zeros(1, 1, 3, 4, 5), 2, backend="triton")


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("name", CASES)
def test_on_a_gpu(name, dtype):
    """Results are rounded once, gradients too."""
    case = CASES[name]
    given = results(draw(case, dtype, "cuda"), case, "triton")
    doubled = draw(case, dtype, "cuda").detach().double().requires_grad_()
    for x, right in zip(given, results(doubled, case, "reference"), strict=True):
        torch.testing.assert_close(x.double(), right, rtol=2 * torch.finfo(dtype).eps, atol=1e-5)


if __name__ == "__main__":
    print(json.dumps(interpret()))
