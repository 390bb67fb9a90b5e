"""The feed-forward network in chunks of tokens, against itself as a whole."""

import pytest
import torch
import torch.nn.functional as F

from storyreel.ops.feed_forward import feed_forward


def draw(tokens, dtype=torch.float64, bias=True, device="cpu", width=6, hidden=20):
    chance = torch.Generator().manual_seed(0)
    sizes = {"x": (2, tokens, width), "w1": (hidden, width), "b1": (hidden,), "w2": (width, hidden), "b2": (width,)}
    made = {name: torch.randn(size, generator=chance, dtype=torch.float64) for name, size in sizes.items()}
    for name in ("w1", "w2"):
        made[name] /= made[name].shape[1] ** 0.5
    made |= {} if bias else {"b1": None, "b2": None}
    return {name: None if x is None else x.to(device, dtype).requires_grad_() for name, x in made.items()}


def results(tensors, **options):
    if options:
        y = feed_forward(**tensors, **options)
    else:
        hidden = F.gelu(F.linear(tensors["x"], tensors["w1"], tensors["b1"]), approximate="tanh")
        y = F.linear(hidden, tensors["w2"], tensors["b2"])
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    given = {name: x for name, x in tensors.items() if x is not None}
    return [y, *torch.autograd.grad(y, list(given.values()), weights.to(y.device, y.dtype))]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("tokens", "chunk"), [(7, 100), (7, 14), (7, 5), (8, 4), (1, 1)])
def test_chunks_are_the_whole(tokens, chunk, bias):
    tensors = draw(tokens, bias=bias)
    for given, right in zip(results(tensors, chunk=chunk), results(tensors), strict=True):
        torch.testing.assert_close(given, right, rtol=1e-12, atol=1e-12)


def test_gradcheck():
    tensors = draw(3)

    def function(*values):
        return feed_forward(*values, chunk=4)

    assert torch.autograd.gradcheck(function, tuple(tensors.values()))


@pytest.mark.parametrize("tokens", [1000, 4000])
def test_hidden_values_are_those_of_one_chunk(tokens):
    """The largest tensor that exists is no hidden activation of all tokens."""
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), named=None):
            nonlocal largest
            made = function(*arguments, **(named or {}))
            largest = max(largest, made.numel() if isinstance(made, torch.Tensor) else 0)
            return made

    tensors = draw(tokens)
    with Watch():
        results(tensors, chunk=50)
    assert largest == 2 * tokens * 6


@pytest.mark.gpu
def test_on_a_gpu():
    """bfloat16: at most twice the error of plain torch in the same dtype."""
    tensors = draw(3000, torch.bfloat16, device="cuda", width=320, hidden=1280)
    exact = results({name: x.detach().double().requires_grad_() for name, x in tensors.items()})
    for given, plain, right in zip(results(tensors, chunk=1024), results(tensors), exact, strict=True):
        assert (given.double() - right).norm() <= 2 * (plain.double() - right).norm()
