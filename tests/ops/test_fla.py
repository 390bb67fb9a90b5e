"""The library's kernels behind `gated_delta` and `ssd`: refusals here, numbers where there is a GPU (marker gpu)."""

import pytest
import torch

from storyreel.errors import KernelUnavailable
from storyreel.mixers import build_mixer
from storyreel.ops import fla
from storyreel.ops.checks import resolve_chunked
from storyreel.ops.delta import gated_delta
from storyreel.ops.norm import unit
from storyreel.ops.ssd import ssd


def delta_inputs(*, tokens, heads=2, key=64, value=128, device="cpu", dtype=torch.float32):
    chance = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=chance, dtype=torch.float64)

    lead = (2, tokens, heads)
    q, k, v = unit(normal(*lead, key)), unit(normal(*lead, key)), normal(*lead, value)
    log_decay, beta = -torch.rand(lead, generator=chance), torch.rand(lead, generator=chance)
    numbers = [x.to(device, torch.float32) for x in (0.1 * log_decay, beta, normal(2, heads, value, key))]
    return [x.requires_grad_() for x in [*(x.to(device, dtype) for x in (q, k, v)), *numbers]]


def ssd_inputs(*, tokens, heads=4, width=64, states=48, device="cpu", dtype=torch.float32):
    chance = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=chance, dtype=torch.float64)

    c, b, x = normal(2, tokens, 1, states), normal(2, tokens, 1, states), normal(2, tokens, heads, width)
    dt = 0.1 * torch.rand(2, tokens, heads, generator=chance)
    numbers = (dt, -1 - torch.rand(heads, generator=chance), normal(heads), normal(2, heads, width, states))
    kept = [x.to(device, torch.float32) for x in numbers]
    return [x.requires_grad_() for x in [*(x.to(device, dtype) for x in (c, b, x)), *kept]]


OPS = {"gated delta": (gated_delta, delta_inputs), "SSD": (ssd, ssd_inputs)}


@pytest.mark.parametrize("name", OPS)
def test_without_a_gpu_it_is_refused_with_a_way_out(name):
    op, inputs = OPS[name]
    with pytest.raises(KernelUnavailable) as caught:
        op(*inputs(tokens=3), backend="fla")
    assert str(caught.value) == f'{name} backend "fla" needs a CUDA GPU; got cpu. Or try backend="chunked".'


@pytest.mark.parametrize("name", OPS)
def test_auto_is_our_own_form_without_a_gpu(name):
    op, inputs = OPS[name]
    given = inputs(tokens=70)
    for one, two in zip(op(*given), op(*given, backend="chunked"), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("name", ["mamba2", "gated_deltanet"])
def test_a_layer_takes_the_word(name):
    from storyreel.geometry import TokenLayout

    layout = TokenLayout(segments=1, text_tokens=3, rows=1, columns=1, mini_batch=4, latents_per_segment=2)
    layer = build_mixer(name, 32, 2, backend="fla")
    with pytest.raises(KernelUnavailable, match='"fla" needs a CUDA GPU'):
        layer(torch.randn(1, layout.total_tokens, 32), layout)


class Machine:
    """What `fla.obstacle` asks of a machine that is not here."""

    def __init__(self, monkeypatch, *, packages=("fla",), triton="3.7.1", capability=(9, 0)):
        versions = {"triton": triton}

        def version(name):
            if versions[name] is None:
                raise fla.PackageNotFoundError(name)
            return versions[name]

        monkeypatch.setattr(fla, "find_spec", lambda name: object() if name in packages else None)
        monkeypatch.setattr(fla, "version", version)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        fla._obstacle.cache_clear()

    def asks(self, dtype=torch.bfloat16, key_width=64, with_gradient=True):
        try:
            return fla._obstacle(torch.device("cuda"), dtype, key_width, with_gradient)
        finally:
            fla._obstacle.cache_clear()


def test_what_a_gpu_is_asked_for(monkeypatch):
    assert Machine(monkeypatch).asks() == ""
    assert Machine(monkeypatch).asks(torch.float64) == "bfloat16, float16 or float32; got torch.float64."
    assert Machine(monkeypatch).asks(key_width=257) == "keys of 256 numbers at most; got 257."
    missing = 'the package fla-core, which is not installed. pip install -c constraints.txt ".[gpu]".'
    assert Machine(monkeypatch, packages=()).asks() == missing
    assert Machine(monkeypatch, triton=None).asks() == "the package triton, which is not installed. pip install triton."


def test_triton_that_is_wrong_on_hopper_is_refused_for_gradients_alone(monkeypatch):
    for triton in ("3.4.0", "3.6.0", "3.7.0"):
        answer = Machine(monkeypatch, triton=triton).asks()
        assert answer.startswith(f"Triton 3.7.1 for gradients on Hopper; {triton} is wrong.")
        assert 'pip install "triton>=3.7.1"' in answer
        assert Machine(monkeypatch, triton=triton).asks(with_gradient=False) == ""
        assert Machine(monkeypatch, triton=triton, capability=(8, 0)).asks() == ""
        assert Machine(monkeypatch, triton=triton, packages=("fla", "tilelang")).asks() == ""
    assert Machine(monkeypatch, triton="3.3.1").asks() == ""


def test_auto_takes_it_for_half_precision_only(monkeypatch):
    monkeypatch.setattr(fla, "obstacle", lambda x, key_width=0: "")
    assert resolve_chunked("SSD", "auto", 64, torch.zeros(1, dtype=torch.bfloat16)) == "fla"
    assert resolve_chunked("SSD", "auto", 64, torch.zeros(1)) == "chunked"
    assert resolve_chunked("SSD", "fla", 64, torch.zeros(1)) == "fla"


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("tokens", [1, 64, 150, 1000])
@pytest.mark.parametrize("name", OPS)
def test_on_a_gpu(name, tokens, dtype):
    """Against float64, at most three times the error of our own form on tokens of the same dtype; gradients too.

    float32 products are TF32 there: their floor is 2e-3.
    """
    op, inputs = OPS[name]
    given = inputs(tokens=tokens, device="cuda", dtype=dtype)
    doubles = [x.detach().double().requires_grad_() for x in given]
    try:
        results = [
            everything(op, x, backend) for x, backend in ((doubles, "chunked"), (given, "chunked"), (given, "fla"))
        ]
    except KernelUnavailable as refusal:
        pytest.skip(str(refusal))
    floor = 2e-3 if dtype == torch.float32 else 5e-3
    for right, rough, own in zip(*results, strict=True):
        scale = right.norm().clamp(min=1e-12)
        error, usual = (((x.double() - right).norm() / scale).item() for x in (own, rough))
        assert error < max(3 * usual, floor)


def everything(op, inputs, backend):
    y, final = op(*inputs, backend=backend)
    chance = torch.Generator().manual_seed(1)
    total = sum(
        (x.double() * torch.randn(x.shape, generator=chance, dtype=torch.float64).to(x.device)).sum()
        for x in (y, final)
    )
    return [y, final, *torch.autograd.grad(total, inputs)]


@pytest.mark.gpu
@pytest.mark.parametrize("name", OPS)
def test_two_parts_with_the_state_handed_over_are_the_whole_on_a_gpu(name):
    op, inputs = OPS[name]
    *tokens, state = (x.detach() for x in inputs(tokens=150, device="cuda", dtype=torch.bfloat16))

    def part(cut, state):
        pieces = [x[:, cut] if x.dim() > 2 else x for x in tokens]
        return op(*pieces, state, backend="fla")

    with torch.no_grad():
        try:
            whole, final = part(slice(None), state)
        except KernelUnavailable as refusal:
            pytest.skip(str(refusal))
        first, between = part(slice(0, 80), state)
        second, last = part(slice(80, None), between)
    for one, two in ((torch.cat([first, second], dim=1), whole), (last, final)):
        assert ((one - two).norm() / two.norm()).item() < 1e-2
