"""Mamba 2's op: two forms, one meaning. Everything in float64 unless it says otherwise."""

import math

import pytest
import torch

from storyreel.errors import ConfigError, GeometryError, KernelUnavailable
from storyreel.ops.ssd import chunked, ssd

NAMES = ("c", "b", "x", "dt", "rate", "skip", "state")
TOKENS = ("c", "b", "x", "dt")


def draw(*, batch=2, tokens=11, heads=4, groups=2, width=3, states=5, dtype=torch.float64):
    """Tensors of the op by name, all of which take gradients."""
    chance = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=chance, dtype=torch.float64)

    own = {
        "c": normal(batch, tokens, groups, states),
        "b": normal(batch, tokens, groups, states),
        "x": normal(batch, tokens, heads, width),
        "dt": torch.rand(batch, tokens, heads, generator=chance, dtype=torch.float64),
        "rate": -torch.rand(heads, generator=chance, dtype=torch.float64) - 0.1,
        "skip": normal(heads),
        "state": normal(batch, heads, width, states),
    }
    return {name: x.to(dtype).requires_grad_() for name, x in own.items()}


def run(tensors, backend, chunk=4):
    return ssd(*(tensors[name] for name in NAMES), backend=backend, chunk=chunk)


def gradients(tensors, outputs):
    """Gradient of every tensor of a weighted sum of y and the final state."""
    chance = torch.Generator().manual_seed(1)
    total = sum((y.double() * torch.randn(y.shape, generator=chance, dtype=torch.float64)).sum() for y in outputs)
    return torch.autograd.grad(total, list(tensors.values()))


def worst(left, right):
    return max((a - b).abs().max().item() for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(("tokens", "chunk"), [(1, 4), (8, 4), (11, 4), (11, 1), (7, 64)])
def test_the_two_forms_are_one(tokens, chunk, groups):
    tensors = draw(tokens=tokens, groups=groups)
    one, two = run(tensors, "reference"), run(tensors, "auto", chunk)
    assert worst(one, two) < 1e-10
    assert worst(gradients(tensors, one), gradients(tensors, two)) < 1e-10


@pytest.mark.parametrize("backend", ["reference", "chunked"])
def test_gradcheck_of_every_tensor(backend):
    tensors = draw(batch=1, tokens=3, heads=2, groups=1, width=2, states=2)

    def op(*values):
        return run(dict(zip(tensors, values, strict=True)), backend, chunk=2)

    assert torch.autograd.gradcheck(op, tuple(tensors.values()))


@pytest.mark.parametrize("backend", ["reference", "chunked"])
def test_two_parts_with_the_state_handed_over_are_the_whole(backend):
    tensors = draw()
    whole = run(tensors, backend)
    first, state = run({n: x[:, :5] if n in TOKENS else x for n, x in tensors.items()}, backend)
    rest = {n: x[:, 5:] if n in TOKENS else x for n, x in tensors.items()} | {"state": state}
    second, final = run(rest, backend)
    parts = (torch.cat([first, second], dim=1), final)
    assert worst(whole, parts) < 1e-12
    assert worst(gradients(tensors, whole), gradients(tensors, parts)) < 1e-10


@pytest.mark.parametrize("backend", ["reference", "chunked"])
def test_the_three_tokens_of_the_readme(backend):
    """Worked out by hand in src/storyreel/ops/ssd/README.md."""

    def tokens(*rows):
        return torch.tensor(rows, dtype=torch.float64)[None, :, None]

    y, final = ssd(
        tokens((1, 1), (4, 1), (8, 1)),
        tokens((1, 0), (0, 1), (1, 1)),
        tokens((1, 2), (2, 0), (0, 1)),
        torch.tensor([1, 2, 1]).double()[None, :, None],
        torch.tensor([-math.log(2)]).double(),
        torch.ones(1).double(),
        torch.tensor([[[[8, 0], [0, 0]]]]).double(),
        backend=backend,
        chunk=2,
    )
    torch.testing.assert_close(y, tokens((6, 4), (11, 2), (7, 12)), atol=1e-6, rtol=0)
    torch.testing.assert_close(final[0, 0], torch.tensor([[0.625, 2], [1.25, 1]]).double(), atol=1e-6, rtol=0)


def test_one_step_at_a_time_is_a_linear_filter():
    """With rate 0, dt 1 and one state, y is the running sum: in torch's own words, cumsum."""
    x = torch.randn(2, 9, 3, 4, dtype=torch.float64)
    ones, zeros = torch.ones(2, 9, 1, 1, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    state = torch.zeros(2, 3, 4, 1, dtype=torch.float64)
    y, final = ssd(ones, ones, x, torch.ones(2, 9, 3, dtype=torch.float64), zeros, zeros, state, chunk=4)
    torch.testing.assert_close(y, x.cumsum(1))
    torch.testing.assert_close(final[..., 0], x.sum(1))


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
def test_narrow_dtypes(dtype, limit):
    """Tensors of y's dtype, a state of float32; the error against float64 of the same inputs."""
    tensors = draw(tokens=150, dtype=dtype)
    y, final = run(tensors, "chunked", 64)
    assert (y.dtype, final.dtype) == (dtype, torch.float32)
    exact = run({name: x.double() for name, x in tensors.items()}, "reference")
    for given, right in zip((y, final), exact, strict=True):
        assert ((given.double() - right).norm() / right.norm()).item() < limit
    assert all(gradient.isfinite().all() for gradient in gradients(tensors, (y, final)))


def test_strong_decay_stays_finite():
    """What decays by exp(-500) a token must neither overflow nor make a gradient of nothing a number."""
    tensors = draw(tokens=64, dtype=torch.float32)
    tensors["rate"] = torch.full((4,), -1000.0, requires_grad=True)
    outputs = run(tensors, "chunked", 64)
    assert all(x.isfinite().all() for x in (*outputs, *gradients(tensors, outputs)))


@pytest.mark.parametrize("mutation", ["no state", "no decay"])
def test_a_mutated_step_is_seen(mutation, monkeypatch):
    tensors, right = draw(), chunked.chunk_step

    def wrong(c, b, x, dt, log_decay, state):
        if mutation == "no state":
            return right(c, b, x, dt, log_decay, torch.zeros_like(state))
        return right(c, b, x, dt, torch.zeros_like(log_decay), state)

    monkeypatch.setattr(chunked, "chunk_step", wrong)
    assert worst(run(tensors, "reference"), run(tensors, "chunked")) > 1e-2


@pytest.mark.parametrize(
    ("name", "cut", "message"),
    [
        ("c", lambda c: c[:, :-1], r"c is \[2, 10, 2, 5\], but it must be \[B, T, G, N\]"),
        ("b", lambda b: b[..., :-1], r"b is \[2, 11, 2, 4\]"),
        ("x", lambda x: x[:, :, 0], "x is .* but it must be four-dimensional"),
        ("x", lambda x: x[:, :0], "at least one token"),
        ("x", lambda x: x[:, :, :3], "groups is 2, but they must divide 3 heads"),
        ("dt", lambda dt: dt[..., :1], r"dt is \[2, 11, 1\]"),
        ("state", lambda s: s.mT, r"state is \[2, 4, 5, 3\], but it must be \[B, H, P, N\]"),
    ],
)
def test_a_wrong_shape_is_refused(name, cut, message):
    tensors = draw()
    with pytest.raises(GeometryError, match=message):
        run(tensors | {name: cut(tensors[name])}, "auto")


def test_other_mistakes_are_refused():
    tensors = draw()
    with pytest.raises(
        KernelUnavailable, match="SSD backend is 'fast', but the choices are reference, chunked, fla, auto"
    ):
        run(tensors, "fast")
    with pytest.raises(ConfigError, match="chunk is 0"):
        run(tensors, "chunked", 0)
    with pytest.raises(ValueError, match=r"dt is torch\.int64 on cpu"):
        run(tensors | {"dt": tensors["dt"].long()}, "chunked")
