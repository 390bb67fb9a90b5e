"""The TTT op without gradients on the CPU, against its specification. In float64 unless it says otherwise."""

import pytest
import torch

from storyreel.ops.ttt import HeadNorm, LinearState, MLPState, TTTProblem, dual, reference, streamed, ttt_mlp

SHAPES = {
    MLPState: {"w1": (8, 12), "b1": (12,), "w2": (12, 8), "b2": (8,)},
    LinearState: {"w": (8, 8), "b": (8,)},
}
MEMORIES = tuple(SHAPES)


def draw(memory, *, tokens=11, batch=2, heads=3, width=8, dtype=torch.float64, size=0.5):
    """Arguments of an op but for the problem: q, k, v, eta, state, norm."""
    chance = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=chance, dtype=torch.float64).to(dtype)

    q, k, v = (normal(batch, tokens, heads, width) for _ in range(3))
    eta = torch.rand(batch, tokens, heads, generator=chance, dtype=torch.float64).to(dtype)
    state = memory(*(size * normal(batch, heads, *shape) for shape in SHAPES[memory].values()))
    return q, k, v, eta, state, HeadNorm(1 + 0.3 * normal(heads, width), 0.3 * normal(heads, width))


def close(given, right, limit):
    pairs = [(given[0], right[0]), *zip(given[1], right[1], strict=True)]
    assert all(one.shape == two.shape for one, two in pairs)
    return max(float((one - two).abs().max()) for one, two in pairs) < limit


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize(("tokens", "mini_batch"), [(1, 4), (4, 4), (8, 4), (11, 4), (5, 1), (5, 64)])
@torch.no_grad()
def test_it_is_what_the_specification_says(memory, tokens, mini_batch):
    given, problem = draw(memory, tokens=tokens), TTTProblem(mini_batch=mini_batch, eps=1e-3)
    assert close(streamed.ttt(*given, problem), reference.ttt(*given, problem), 1e-10)


@pytest.mark.parametrize("memory", MEMORIES)
@torch.no_grad()
def test_heads_in_groups_are_heads_together(memory, monkeypatch):
    given, problem = draw(memory), TTTProblem(mini_batch=4)
    together = streamed.ttt(*given, problem)
    monkeypatch.setattr(streamed, "HEADS_A_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert close(streamed.ttt(*given, problem), together, 1e-12)


@pytest.mark.parametrize("memory", MEMORIES)
@torch.no_grad()
def test_float32_errs_no_more_than_the_other_form(memory):
    exact, problem = draw(memory, tokens=40), TTTProblem(mini_batch=16)
    right = reference.ttt(*exact, problem)[0]
    errors = [
        (form(*draw(memory, tokens=40, dtype=torch.float32), problem)[0] - right).norm()
        for form in (dual.ttt, streamed.ttt)
    ]
    assert errors[1] < 2 * errors[0]


@torch.no_grad()
def test_hidden_values_far_from_zero():
    given, problem = draw(MLPState, size=40.0), TTTProblem(mini_batch=4)
    y, final = streamed.ttt(*given, problem)
    right, right_final = reference.ttt(*given, problem)
    assert bool(torch.isfinite(y).all())
    torch.testing.assert_close(y, right, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(final.w1, right_final.w1, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("memory", MEMORIES)
@torch.no_grad()
def test_inputs_stay_as_they_are_and_a_memory_that_learns_nothing_is_seen(memory, monkeypatch):
    given, problem = draw(memory), TTTProblem(mini_batch=4)
    right = streamed.ttt(*given, problem)
    for one, two in zip((*given[:4], *given[4]), (*draw(memory)[:4], *draw(memory)[4]), strict=True):
        assert torch.equal(one, two)
    kind = streamed.MLP if memory is MLPState else streamed.Linear
    monkeypatch.setattr(kind, "learn", lambda self, x, slope: None)
    assert not close(streamed.ttt(*given, problem), right, 1e-2)


def test_the_op_takes_it_where_no_gradients_are_recorded(monkeypatch):
    q, k, v, eta, state, norm = draw(MLPState)
    calls = []
    monkeypatch.setattr(streamed, "ttt", lambda *given: calls.append(given) or dual.ttt(*given))
    options = {"problem": TTTProblem(mini_batch=4)}
    ttt_mlp(q, k, v, eta, state, norm, **options)
    assert not calls
    with torch.no_grad():
        ttt_mlp(q, k, v, eta, state, norm, **options)
        ttt_mlp(q, k, v, eta, state, norm, backend="reference", **options)
    assert len(calls) == 1
