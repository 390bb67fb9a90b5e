"""Softmax attention over all tokens and over a window: every form is the specification. In float64 but where said."""

import shutil
import warnings

import pytest
import torch

from storyreel.errors import ConfigError, GeometryError, KernelUnavailable
from storyreel.ops.softmax import blocks, flex, full_attention, resolve_window_backend, window_attention

gpu = pytest.mark.gpu


def draw(*, tokens=11, asked=None, batch=2, heads=3, width=8, dtype=torch.float64, device="cpu"):
    chance = torch.Generator().manual_seed(0)
    lengths = (tokens, asked or tokens, asked or tokens)
    drawn = (torch.randn(batch, length, heads, width, generator=chance, dtype=torch.float64) for length in lengths)
    return [x.to(device, dtype).requires_grad_() for x in drawn]


def gradients(inputs, y):
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(y)
    return torch.autograd.grad(y, inputs, dy)


def worst(left, right):
    return max((a - b).abs().max().item() for a, b in zip(left, right, strict=True))


def by_hand(q, k, v, window):
    """One token after the other, from the words of the docstring."""
    ahead, rows = k.shape[1] - q.shape[1], []
    for t in range(q.shape[1]):
        near = slice(0, None) if window is None else slice(max(0, ahead + t - window + 1), ahead + t + 1)
        weights = (torch.einsum("bhd,bshd->bhs", q[:, t], k[:, near]) / q.shape[-1] ** 0.5).exp()
        weights = weights / weights.sum(-1, keepdim=True)
        rows.append(torch.einsum("bhs,bshd->bhd", weights, v[:, near]))
    return torch.stack(rows, dim=1)


@pytest.mark.parametrize("window", [1, 4, 11, 100])
@pytest.mark.parametrize("asked", [11, 16])
def test_the_reference_of_the_window_is_its_definition(window, asked):
    inputs = draw(asked=asked)
    y = window_attention(*inputs, window, backend="reference")
    assert worst([y], [by_hand(*inputs, window)]) < 1e-12


def test_the_reference_of_full_attention_is_its_definition():
    inputs = draw()
    assert worst([full_attention(*inputs, backend="reference")], [by_hand(*inputs, None)]) < 1e-12


@pytest.mark.parametrize("tokens", [1, 7, 130])
def test_full_attention_is_the_reference(tokens):
    inputs = draw(tokens=tokens)
    one, two = full_attention(*inputs, backend="reference"), full_attention(*inputs)
    assert worst([one], [two]) < 1e-12
    assert worst(gradients(inputs, one), gradients(inputs, two)) < 1e-11


# Blocks are 16 to 32 tokens long here: one block, whole blocks, a short last one; windows under, at and over a block.
@pytest.mark.parametrize(("tokens", "asked"), [(1, 1), (11, 11), (64, 64), (75, 75), (75, 96), (5, 40)])
@pytest.mark.parametrize("window", [1, 5, 16, 33, 74, 75, 1000])
def test_blocks_are_the_reference(tokens, asked, window, monkeypatch):
    monkeypatch.setattr(blocks, "SHORTEST_BLOCK", 16)
    monkeypatch.setattr(blocks, "LONGEST_BLOCK", 32)
    inputs = draw(tokens=tokens, asked=asked)
    one, two = (window_attention(*inputs, window, backend=backend) for backend in ("reference", "blocks"))
    assert worst([one], [two]) < 1e-12
    assert worst(gradients(inputs, one), gradients(inputs, two)) < 1e-11


@pytest.mark.parametrize("backend", ["reference", "blocks"])
def test_gradcheck_of_the_window(backend, monkeypatch):
    monkeypatch.setattr(blocks, "SHORTEST_BLOCK", 2)
    inputs = draw(batch=1, tokens=5, asked=6, heads=1, width=2)
    assert torch.autograd.gradcheck(lambda *x: window_attention(*x, 2, backend=backend), tuple(inputs))


def test_two_pieces_with_the_last_keys_and_values_are_the_whole():
    q, k, v = inputs = draw(tokens=30)
    whole = window_attention(q, k, v, 8)
    second = window_attention(q[:, 20:], k[:, 13:], v[:, 13:], 8)
    pieces = torch.cat([window_attention(q[:, :20], k[:, :20], v[:, :20], 8), second], dim=1)
    assert worst([whole], [pieces]) < 1e-12
    assert worst(gradients(inputs, whole), gradients(inputs, pieces)) < 1e-11


def test_a_window_off_by_one_is_seen():
    inputs = draw()
    right = window_attention(*inputs, 4, backend="reference")
    assert worst([right], [window_attention(*inputs, 5)]) > 1e-2
    assert worst([right], [window_attention(*inputs, 3)]) > 1e-2


def test_memory_grows_with_the_tokens_and_not_with_their_square():
    """4 million scores a block at most, where the whole has 400 million."""
    sizes = []
    with torch.no_grad(), torch.autograd.profiler.profile(profile_memory=True) as profile:
        window_attention(*draw(tokens=20_000, batch=1, heads=1, dtype=torch.float32), 1000)
    sizes = [event.cpu_memory_usage for event in profile.function_events]
    assert max(sizes) < 20_000_000


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
def test_narrow_dtypes(dtype, limit):
    inputs = draw(tokens=150, dtype=dtype)
    doubles = [x.detach().double().requires_grad_() for x in inputs]
    for own, exact in (
        (full_attention(*inputs), full_attention(*doubles)),
        (window_attention(*inputs, 70), window_attention(*doubles, 70)),
    ):
        assert own.dtype == dtype
        assert ((own.double() - exact).norm() / exact.norm()).item() < limit
        for given, right in zip(gradients(inputs, own), gradients(doubles, exact), strict=True):
            assert given.dtype == dtype
            assert ((given.double() - right).norm() / right.norm()).item() < 2 * limit


@pytest.mark.parametrize(("asking", "asked"), [(128, 128), (700, 700), (300, 700), (1, 260)])
@pytest.mark.parametrize("window", [1, 100, 128, 129, 300, 5000])
def test_the_block_mask_is_the_one_that_torch_derives(asking, asked, window):
    cpu = torch.device("cpu")
    mask = flex.band(asking, asked, window, cpu)
    derived = torch.nn.attention.flex_attention.create_block_mask(
        mask.mask_mod, None, None, asking, asked, device="cpu", BLOCK_SIZE=flex.BLOCK
    )
    assert mask.to_dense().equal(derived.to_dense())
    assert mask.kv_num_blocks is not None
    full = torch.zeros_like(mask.to_dense()[0, 0])
    for row, count in enumerate(mask.full_kv_num_blocks[0, 0]):
        full[row, mask.full_kv_indices[0, 0, row, :count].long()] = 1
    allowed = torch.nn.attention.flex_attention.create_mask(mask.mask_mod, None, None, asking, asked, device="cpu")
    for row, column in full.nonzero().tolist():
        rows = slice(row * flex.BLOCK, (row + 1) * flex.BLOCK)
        assert allowed[0, 0, rows, column * flex.BLOCK : (column + 1) * flex.BLOCK].all()


def test_flex_without_a_compiler_is_the_reference():
    """The rule and the transpositions; which blocks are skipped shows only in the kernel."""
    inputs = draw(tokens=300, batch=1, heads=2, width=16, dtype=torch.float32)
    q, k, v = (x.detach().transpose(1, 2) for x in inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is not compiled
        y = torch.nn.attention.flex_attention.flex_attention(
            q, k, v, block_mask=flex.band(300, 300, 130, torch.device("cpu"))
        )
    assert worst([y.transpose(1, 2)], [window_attention(*inputs, 130, backend="reference")]) < 1e-5


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.parametrize(("tokens", "asked", "window"), [(1000, 1000, 300), (777, 900, 129), (640, 640, 128)])
def test_the_compiled_kernel_of_a_cpu_skips_the_right_blocks(tokens, asked, window):
    inputs = [x.detach() for x in draw(tokens=tokens, asked=asked, batch=1, width=64, dtype=torch.float32)]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler, whose own they are
        y = flex.window_attention(*inputs, window)
    assert worst([y], [window_attention(*inputs, window, backend="reference")]) < 1e-5


@gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("tokens", "asked", "window"), [(1000, 1000, 300), (777, 900, 129), (512, 512, 8192)])
@pytest.mark.parametrize("backend", ["blocks", "flex"])
def test_the_window_on_a_gpu(backend, tokens, asked, window, dtype):
    """At most twice the error of the reference in the same dtype, gradients included."""
    inputs = draw(tokens=tokens, asked=asked, width=64, dtype=dtype, device="cuda")
    check_on_gpu(lambda *x, **options: window_attention(*x, window, **options), inputs, backend)


@gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_full_attention_on_a_gpu(dtype):
    check_on_gpu(full_attention, draw(tokens=777, width=64, dtype=dtype, device="cuda"), "sdpa")


def check_on_gpu(op, inputs, backend):
    doubles = [x.detach().double().requires_grad_() for x in inputs]
    exact, plain, own = (
        op(*doubles, backend="reference"),
        op(*inputs, backend="reference"),
        op(*inputs, backend=backend),
    )
    results = [(y, *gradients(x, y)) for x, y in ((doubles, exact), (inputs, plain), (inputs, own))]
    for right, rough, given in zip(*results, strict=True):
        error = ((given.double() - right).norm() / right.norm()).item()
        assert error < max(
            2 * ((rough.double() - right).norm() / right.norm()).item(), 1e-3 if given.dtype == torch.float32 else 0
        )


def test_mistakes_are_refused():
    q, k, v = draw()
    with pytest.raises(KernelUnavailable, match="full attention backend is 'fast', but the choices"):
        full_attention(q, k, v, backend="fast")
    with pytest.raises(KernelUnavailable, match="window attention backend is 'fast'"):
        window_attention(q, k, v, 4, backend="fast")
    with pytest.raises(KernelUnavailable, match='"flex" needs a CUDA GPU; got cpu'):
        window_attention(q, k, v, 4, backend="flex")
    with pytest.raises(ConfigError, match="window is 0, but it must be at least 1 token"):
        window_attention(q, k, v, 0)
    with pytest.raises(GeometryError, match=r"k is \[2, 10, 3, 8\], but it must hold the 11 tokens of q"):
        window_attention(q, k[:, 1:], v[:, 1:], 4)
    with pytest.raises(GeometryError, match=r"v is \[2, 10, 3, 8\], but it must be \[B, S, H, D\]"):
        full_attention(q, k, v[:, 1:])
    with pytest.raises(GeometryError, match=r"k is \[2, 16, 3, 8\]"):
        full_attention(q, *draw(asked=16)[1:])
    with pytest.raises(ValueError, match=r"k is torch\.float32, but q is torch\.float64"):
        full_attention(q, k.float(), v)
    assert resolve_window_backend("auto", q) == "blocks"
