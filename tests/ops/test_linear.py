"""Linear layers on the CPU without gradients: the same function by another library, and in bfloat16."""

import pytest
import torch
import torch.nn.functional as F

from storyreel.models.modulation import add_gated, scale_and_shift
from storyreel.ops import linear as module
from storyreel.ops.feed_forward import feed_forward, feed_forward_on_cpu
from storyreel.ops.linear import is_plain_float32, linear
from storyreel.ops.rope import rope_table, rotate


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def relative(given, exact):
    return float((given.double() - exact).norm() / exact.norm())


@pytest.mark.parametrize("by_onednn", [True, False])
@pytest.mark.parametrize("gelu", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 20), (2, 5, 20), (1, 1, 20)])
@torch.no_grad()
def test_it_is_a_linear_layer(shape, bias, gelu, by_onednn, monkeypatch):
    if not by_onednn:
        monkeypatch.setattr(module, "ON_ONEDNN", False)
    x, weight, b = draw(*shape), draw(12, 20, seed=1), draw(12, seed=2) if bias else None
    right = F.linear(x.double(), weight.double(), None if b is None else b.double())
    right = F.gelu(right, approximate="tanh") if gelu else right
    y = linear(x, weight, b, gelu=gelu)
    assert (y.shape, y.dtype) == (right.shape, torch.float32)
    assert relative(y, right) < 1e-6
    half = linear(x.bfloat16(), weight, b, gelu=gelu, out=torch.float32)
    assert half.dtype == torch.float32
    assert 0 < relative(half, right) < 1e-2


@torch.no_grad()
def test_rows_that_lie_apart():
    x, weight = draw(3, 9, 20), draw(12, 20, seed=1)
    torch.testing.assert_close(linear(x[:, 2:5], weight), F.linear(x[:, 2:5], weight), rtol=1e-5, atol=1e-5)


def test_gradients_flow_where_they_are_recorded():
    x, weight = draw(3, 20).requires_grad_(), draw(12, 20, seed=1)
    assert not is_plain_float32(x)
    linear(x, weight, gelu=True).sum().backward()
    assert x.grad is not None
    with torch.no_grad():
        assert is_plain_float32(x)
        assert not is_plain_float32(x.double())


@pytest.mark.parametrize("products", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("chunk", [3, 100])
@torch.no_grad()
def test_feed_forward_in_parts(products, chunk):
    given = [draw(2, 5, 20), draw(40, 20, seed=1) / 4, draw(40, seed=2), draw(20, 40, seed=3) / 6, draw(20, seed=4)]
    right = feed_forward(*(x.double() for x in given))
    y = feed_forward_on_cpu(*given, products=products, chunk=chunk)
    assert y.shape == right.shape
    assert relative(y, right) < (1e-6 if products == torch.float32 else 1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("across", [True, False])
def test_rotations_with_and_without_gradients_are_one(dtype, across):
    table = [t.to(dtype) for t in rope_table(torch.randint(0, 9, (6, 3)), 16, 10000.0)]
    x = draw(2, 3, 6, 16, dtype=dtype).transpose(1, 2) if across else draw(2, 6, 3, 16, dtype=dtype)
    with torch.no_grad():
        turned = rotate(x, *table)
    limit = {"rtol": 1e-6, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 1e-14, "atol": 1e-14}
    torch.testing.assert_close(turned, rotate(x, *table), **limit)


@pytest.mark.parametrize("rows", [2, 4])
def test_pieces_are_written_to_their_places(rows):
    lengths, x, y = (2, 3, 2, 4), draw(2, 11, 6), draw(2, 11, 6, seed=1)
    scale, shift = draw(2, rows, 6, seed=2), draw(2, rows, 6, seed=3)
    with torch.no_grad():
        given = scale_and_shift(x, scale, shift, lengths), add_gated(x, y, scale, lengths)
    right = scale_and_shift(x, scale, shift, lengths), add_gated(x, y, scale, lengths)
    assert all(torch.equal(one, two) for one, two in zip(given, right, strict=True))
