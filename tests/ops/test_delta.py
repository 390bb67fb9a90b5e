"""The gated delta rule: two forms, one meaning. Everything in float64 unless it says otherwise."""

import math

import pytest
import torch

from storyreel.errors import ConfigError, GeometryError, KernelUnavailable
from storyreel.ops.delta import chunked, gated_delta
from storyreel.ops.norm import unit

NAMES = ("q", "k", "v", "log_decay", "beta", "state")


def draw(*, batch=2, tokens=11, heads=3, key=4, value=5, dtype=torch.float64):
    """Tensors of the op by name, all of which take gradients."""
    chance = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=chance, dtype=torch.float64)

    own = {
        "q": normal(batch, tokens, heads, key),
        "k": unit(normal(batch, tokens, heads, key)),
        "v": normal(batch, tokens, heads, value),
        "log_decay": -torch.rand(batch, tokens, heads, generator=chance, dtype=torch.float64),
        "beta": torch.rand(batch, tokens, heads, generator=chance, dtype=torch.float64),
        "state": normal(batch, heads, value, key),
    }
    return {name: x.to(dtype).requires_grad_() for name, x in own.items()}


def run(tensors, backend, chunk=4):
    return gated_delta(*(tensors[name] for name in NAMES), backend=backend, chunk=chunk)


def gradients(tensors, outputs):
    """Gradient of every tensor of a weighted sum of y and the final state."""
    chance = torch.Generator().manual_seed(1)
    total = sum((y.double() * torch.randn(y.shape, generator=chance, dtype=torch.float64)).sum() for y in outputs)
    return torch.autograd.grad(total, list(tensors.values()))


def worst(left, right):
    return max((a - b).abs().max().item() for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize(("tokens", "chunk"), [(1, 4), (8, 4), (11, 4), (11, 1), (7, 64), (70, 64)])
def test_the_two_forms_are_one(tokens, chunk):
    tensors = draw(tokens=tokens)
    one, two = run(tensors, "reference"), run(tensors, "auto", chunk)
    assert worst(one, two) < 1e-10
    assert worst(gradients(tensors, one), gradients(tensors, two)) < 1e-10


@pytest.mark.parametrize("backend", ["reference", "chunked"])
def test_gradcheck_of_every_tensor(backend):
    tensors = draw(batch=1, tokens=3, heads=2, key=2, value=3)

    def op(*values):
        return run(dict(zip(tensors, values, strict=True)), backend, chunk=2)

    assert torch.autograd.gradcheck(op, tuple(tensors.values()))


@pytest.mark.parametrize("backend", ["reference", "chunked"])
def test_two_parts_with_the_state_handed_over_are_the_whole(backend):
    tensors = draw()
    whole = run(tensors, backend)
    first, state = run({n: x if n == "state" else x[:, :5] for n, x in tensors.items()}, backend)
    second, final = run({n: state if n == "state" else x[:, 5:] for n, x in tensors.items()}, backend)
    parts = (torch.cat([first, second], dim=1), final)
    assert worst(whole, parts) < 1e-12
    assert worst(gradients(tensors, whole), gradients(tensors, parts)) < 1e-10


@pytest.mark.parametrize("backend", ["reference", "chunked"])
def test_the_three_tokens_of_the_readme(backend):
    """Worked out by hand in src/storyreel/ops/delta/README.md."""

    def tokens(*rows):
        return torch.tensor(rows, dtype=torch.float64)[None, :, None]

    y, final = gated_delta(
        tokens((1, 1), (0, 1), (0.6, 0.8)),
        tokens((1, 0), (0, 1), (0.6, 0.8)),
        tokens((3, 1), (4, 3), (1, 0)),
        torch.tensor([-math.log(2), 0, -math.log(2)]).double()[None, :, None],
        torch.tensor([1, 0.5, 1]).double()[None, :, None],
        torch.tensor([[[[4, 0], [0, 2]]]]).double(),
        backend=backend,
        chunk=2,
    )
    torch.testing.assert_close(y, tokens((3, 2), (2, 2), (1, 0)), atol=1e-6, rtol=0)
    expected = torch.tensor([[1.08, 0.44], [-0.16, 0.12]]).double()
    torch.testing.assert_close(final[0, 0], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("backend", ["reference", "chunked"])
def test_beta_one_writes_what_the_key_then_answers(backend):
    tensors = draw()
    asked = tensors | {"q": tensors["k"], "beta": torch.ones_like(tensors["beta"])}
    torch.testing.assert_close(run(asked, backend)[0], tensors["v"])


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
    tensors = draw(tokens=64, dtype=torch.float32)
    tensors["log_decay"] = torch.full((2, 64, 3), -500.0, requires_grad=True)
    outputs = run(tensors, "chunked", 64)
    assert all(x.isfinite().all() for x in (*outputs, *gradients(tensors, outputs)))


def test_keys_that_are_all_alike_stay_exact():
    """The triangular system at its worst: 200 tokens that overwrite one another, without decay, in float32."""
    tensors = draw(tokens=200, dtype=torch.float32)
    alike = {"k": tensors["k"][:, :1].expand(-1, 200, -1, -1), "beta": torch.ones(2, 200, 3)}
    tensors = tensors | alike | {"log_decay": torch.zeros(2, 200, 3)}
    y, _ = run(tensors, "chunked", 64)
    exact, _ = run({name: x.double() for name, x in tensors.items()}, "reference")
    assert ((y.double() - exact).norm() / exact.norm()).item() < 1e-5


@pytest.mark.parametrize("mutation", ["no state", "no decay", "no erasing"])
def test_a_mutated_step_is_seen(mutation, monkeypatch):
    tensors, right = draw(), chunked.chunk_step

    def wrong(q, k, v, log_decay, beta, state):
        if mutation == "no state":
            return right(q, k, v, log_decay, beta, torch.zeros_like(state))
        return right(q, k, v, torch.zeros_like(log_decay), beta, state)

    if mutation == "no erasing":
        monkeypatch.setattr(torch.linalg, "solve_triangular", lambda system, wanted, **options: wanted)
    else:
        monkeypatch.setattr(chunked, "chunk_step", wrong)
    assert worst(run(tensors, "reference"), run(tensors, "chunked")) > 1e-2


@pytest.mark.parametrize(
    ("name", "cut", "message"),
    [
        ("q", lambda q: q[0], "q is .* but it must be four-dimensional"),
        ("q", lambda q: q[:, :0], "at least one token"),
        ("k", lambda k: k[:, :-1], r"k is \[2, 10, 3, 4\], but it must be \[B, T, H, K\] = \[2, 11, 3, 4\]"),
        ("v", lambda v: v[:, :, :1], r"v is \[2, 11, 1, 5\], but it must be \[B, T, H, V\]"),
        ("beta", lambda beta: beta[..., None], r"beta is \[2, 11, 3, 1\]"),
        ("log_decay", lambda d: d[:1], r"log_decay is \[1, 11, 3\]"),
        ("state", lambda s: s.mT, r"state is \[2, 3, 4, 5\], but it must be \[B, H, V, K\]"),
    ],
)
def test_a_wrong_shape_is_refused(name, cut, message):
    tensors = draw()
    with pytest.raises(GeometryError, match=message):
        run(tensors | {name: cut(tensors[name])}, "auto")


def test_other_mistakes_are_refused():
    tensors = draw()
    with pytest.raises(KernelUnavailable, match="gated delta backend is 'fast', but the choices are reference"):
        run(tensors, "fast")
    with pytest.raises(ConfigError, match="chunk is 0"):
        run(tensors, "chunked", 0)
    with pytest.raises(ValueError, match=r"beta is torch\.int64 on cpu"):
        run(tensors | {"beta": tensors["beta"].long()}, "chunked")
