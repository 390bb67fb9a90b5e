"""The TTT op: two forms, one meaning. Everything in float64 unless it says otherwise."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from storyreel.errors import ConfigError, KernelUnavailable
from storyreel.ops.ttt import HeadNorm, LinearState, MLPState, TTTProblem, dual, reference, ttt_linear, ttt_mlp

FORMS = ("reference", "dual")
MEMORIES = (MLPState, LinearState)
NAMES = {MLPState: ("w1", "b1", "w2", "b2"), LinearState: ("w", "b")}


def draw(memory, *, batch=2, tokens=11, heads=3, width=4, hidden=7, dtype=torch.float64, seed=0) -> dict[str, Tensor]:
    """Tensors of an op by name, all of which take gradients."""
    chance = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=chance, dtype=torch.float64)

    own = {name: normal(batch, tokens, heads, width) for name in "qkv"}
    own["eta"] = torch.rand(batch, tokens, heads, generator=chance, dtype=torch.float64)
    tails = {
        "w1": (width, hidden),
        "b1": (hidden,),
        "w2": (hidden, width),
        "b2": (width,),
        "w": (width, width),
        "b": (width,),
    }
    own |= {name: 0.5 * normal(batch, heads, *tails[name]) for name in NAMES[memory]}
    own |= {"norm_w": 1 + 0.3 * normal(heads, width), "norm_b": 0.3 * normal(heads, width)}
    return {name: x.to(dtype).requires_grad_() for name, x in own.items()}


def run(tensors: dict[str, Tensor], problem: TTTProblem, backend: str) -> tuple[Tensor, ...]:
    """(y, *final state) of the op that the names of the tensors ask for."""
    memory, op = (MLPState, ttt_mlp) if "w1" in tensors else (LinearState, ttt_linear)
    state = memory(*(tensors[name] for name in NAMES[memory]))
    norm = HeadNorm(tensors["norm_w"], tensors["norm_b"])
    y, final = op(*(tensors[name] for name in ("q", "k", "v", "eta")), state, norm, problem=problem, backend=backend)
    assert isinstance(final, memory)
    return y, *final


def gradients(tensors: dict[str, Tensor], outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Gradient of every tensor of a weighted sum of all outputs."""
    chance = torch.Generator().manual_seed(1)
    total = sum((y.double() * torch.randn(y.shape, generator=chance, dtype=torch.float64)).sum() for y in outputs)
    return torch.autograd.grad(total, list(tensors.values()))


def worst(left: tuple[Tensor, ...], right: tuple[Tensor, ...]) -> float:
    return max((a - b).abs().max().item() for a, b in zip(left, right, strict=True))


def relative(given: Tensor, exact: Tensor) -> float:
    return ((given.double() - exact).norm() / exact.norm()).item()


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize(("tokens", "mini_batch"), [(1, 4), (4, 4), (8, 4), (11, 4), (11, 1), (5, 64)])
def test_the_two_forms_are_one(memory, tokens, mini_batch):
    tensors, problem = draw(memory, tokens=tokens), TTTProblem(mini_batch=mini_batch)
    one, two = (run(tensors, problem, form) for form in FORMS)
    assert worst(one, two) < 1e-10
    assert worst(gradients(tensors, one), gradients(tensors, two)) < 1e-10


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("memory", MEMORIES)
def test_gradcheck_of_every_input_and_parameter(memory, form):
    tensors = draw(memory, batch=1, tokens=3, heads=2, width=3, hidden=4)

    def op(*values):
        return run(dict(zip(tensors, values, strict=True)), TTTProblem(mini_batch=2, eps=1e-2), form)

    assert torch.autograd.gradcheck(op, tuple(tensors.values()))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("memory", MEMORIES)
def test_two_halves_with_the_state_handed_over_are_the_whole(memory, form):
    tensors, problem = draw(memory, tokens=11), TTTProblem(mini_batch=4)
    whole = run(tensors, problem, form)
    first = run({n: x[:, :8] if n in ("q", "k", "v", "eta") else x for n, x in tensors.items()}, problem, form)
    handed = dict(zip(NAMES[memory], first[1:], strict=True))
    rest = {n: x[:, 8:] if n in ("q", "k", "v", "eta") else x for n, x in tensors.items()} | handed
    second = run(rest, problem, form)
    halves = (torch.cat([first[0], second[0]], dim=1), *second[1:])
    assert worst(whole, halves) < 1e-12
    assert worst(gradients(tensors, whole), gradients(tensors, halves)) < 1e-10


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("memory", MEMORIES)
def test_a_short_last_mini_batch_takes_the_same_steps(memory, form):
    """A sequence that goes on with tokens of rate 0 learns the same from those before."""
    tensors, problem = draw(memory, tokens=8), TTTProblem(mini_batch=4)
    idle = tensors | {"eta": tensors["eta"] * (torch.arange(8) < 6)[:, None]}
    short = {n: x[:, :6] if n in ("q", "k", "v", "eta") else x for n, x in tensors.items()}
    long, cut = run(idle, problem, form), run(short, problem, form)
    assert worst((long[0][:, :6], *long[1:]), cut) < 1e-12


@pytest.mark.parametrize("form", FORMS)
def test_the_three_tokens_of_the_readme(form):
    """TTT-Linear of width 2, mini-batch 2, eps 16: worked out by hand in src/storyreel/ops/ttt/README.md."""

    def tokens(*rows):
        return torch.tensor(rows, dtype=torch.float64)[None, :, None]

    q, k = tokens((0, 1), (1, 0), (2, 0)), tokens((1, 0), (0, 1), (0, 1))
    v = tokens((-0.9, 1.9), (-4, 5), (1.9, -0.9))
    eta = torch.tensor([6.25, 2, 6.25], dtype=torch.float64)[None, :, None]
    state = LinearState(torch.tensor([[[[6, 0], [0, 0]]]], dtype=torch.float64), torch.zeros(1, 1, 2).double())
    norm = HeadNorm(torch.ones(1, 2).double(), torch.zeros(1, 2).double())
    y, final = ttt_linear(q, k, v, eta, state, norm, problem=TTTProblem(mini_batch=2, eps=16), backend=form)
    torch.testing.assert_close(y, tokens((-0.6, 1.6), (1, 0), (2.6, -0.6)))
    torch.testing.assert_close(final.w[0, 0], torch.tensor([[5, 1], [0, 0]], dtype=torch.float64))
    torch.testing.assert_close(final.b[0, 0], torch.tensor([-1, 1], dtype=torch.float64))


def predicted(k: Tensor, state: tuple[Tensor, ...], norm_w: Tensor, norm_b: Tensor, eps: float) -> Tensor:
    """The memory's answer in torch's own functions, one head: k `[b, D]`."""
    functional = torch.nn.functional
    z = k @ state[0] + state[1]
    if len(state) == 4:
        z = functional.gelu(z, approximate="tanh") @ state[2] + state[3]
    return functional.layer_norm(z, z.shape[-1:], norm_w, norm_b, eps)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("memory", MEMORIES)
def test_the_step_is_autograds_gradient_of_the_loss(memory, form):
    tensors, problem = draw(memory, batch=1, tokens=5, heads=1), TTTProblem(mini_batch=8, eps=1e-3)
    y, *final = run(tensors, problem, form)
    one = {name: x[0, :, 0] if name in ("q", "k", "v", "eta") else x[0] for name, x in tensors.items()}
    norm = (one["norm_w"], one["norm_b"], problem.eps)
    state = [tensors[name][0, 0].detach().requires_grad_() for name in NAMES[memory]]
    errors = predicted(one["k"], tuple(state), *norm) - (one["v"] - one["k"])
    loss = (one["eta"] * errors.square().sum(-1)).sum() / 2
    stepped = [w - g / 8 for w, g in zip(state, torch.autograd.grad(loss, state), strict=True)]
    assert worst(tuple(w[0, 0] for w in final), tuple(stepped)) < 1e-12
    assert worst((y[0, :, 0],), (one["q"] + predicted(one["q"], tuple(stepped), *norm),)) < 1e-12


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("memory", MEMORIES)
def test_eps_reaches_every_output(memory, form):
    tensors = draw(memory)
    small, large = (run(tensors, TTTProblem(mini_batch=4, eps=eps), form) for eps in (1e-6, 1e-2))
    for before, after in zip(small, large, strict=True):
        assert ((before - after).abs() > 1e-9).all()


Descend = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
MUTATIONS: dict[str, Descend] = {
    "no update": lambda w, b, x, slope: (w, b),
    "no bias update": lambda w, b, x, slope: (w - x.mT @ slope, b),
    "no weight update": lambda w, b, x, slope: (w, b - slope.sum(1, keepdim=True)),
    "last token left out": lambda w, b, x, slope: (w - x[:, :-1].mT @ slope[:, :-1], b - slope.sum(1, keepdim=True)),
    "uphill": lambda w, b, x, slope: (w + x.mT @ slope, b + slope.sum(1, keepdim=True)),
}


@pytest.mark.parametrize("name", MUTATIONS)
@pytest.mark.parametrize("memory", MEMORIES)
def test_a_mutated_step_is_seen(memory, name, monkeypatch):
    tensors, problem = draw(memory), TTTProblem(mini_batch=4)
    right = run(tensors, problem, "reference")
    monkeypatch.setattr(dual, "descend", MUTATIONS[name])
    wrong = run(tensors, problem, "dual")
    assert (wrong[0] - right[0]).abs().max() > 1e-2


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("memory", MEMORIES)
def test_checkpoints_change_nothing(memory, every):
    tensors = draw(memory)
    kept = run(tensors, TTTProblem(mini_batch=4), "dual")
    again = run(tensors, TTTProblem(mini_batch=4, checkpoint_every=every), "dual")
    assert worst(kept, again) == 0
    assert worst(gradients(tensors, kept), gradients(tensors, again)) < 1e-12


def test_checkpoints_keep_less():
    def kept(every: int) -> int:
        tensors, sizes = draw(MLPState, tokens=64, hidden=16), []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
            run(tensors, TTTProblem(mini_batch=4, checkpoint_every=every), "dual")
        return sum(sizes)

    assert kept(4) < kept(0) / 4


@pytest.mark.parametrize("memory", MEMORIES)
def test_bfloat16_costs_its_own_rounding_alone(memory):
    """On the CPU bfloat16 is for storage: y is rounded once, a gradient twice (y's, which comes in, and itself)."""
    tensors = draw(memory, tokens=40, heads=2, width=16, hidden=64, dtype=torch.bfloat16)
    exact = {name: x.detach().double().requires_grad_() for name, x in tensors.items()}
    problem = TTTProblem(mini_batch=16)
    given, right = run(tensors, problem, "dual"), run(exact, problem, "reference")
    assert given[0].dtype == torch.bfloat16
    assert all(w.dtype == torch.float32 for w in given[1:])
    assert relative(given[0], right[0]) < 1.1 * relative(right[0].bfloat16(), right[0])
    assert max(relative(w, exact_w) for w, exact_w in zip(given[1:], right[1:], strict=True)) < 1e-5
    for mine, true in zip(gradients(tensors, given), gradients(exact, right), strict=True):
        assert relative(mine, true) < 2 * relative(true.bfloat16(), true)


@pytest.mark.parametrize("memory", MEMORIES)
def test_bfloat16_products_beside_a_plain_bfloat16_form(memory):
    """The arithmetic of GPUs (bfloat16 products, float32 state and norms) is at least as near as all in bfloat16."""
    tensors = draw(memory, tokens=40, heads=2, width=16, hidden=64, dtype=torch.bfloat16)
    exact = {name: x.detach().double().requires_grad_() for name, x in tensors.items()}
    problem = TTTProblem(mini_batch=16)

    def form(own, op, wide):
        state = memory(*(own[name].to(wide) for name in NAMES[memory]))
        norm = HeadNorm(own["norm_w"].to(wide), own["norm_b"].to(wide))
        y, final = op(own["q"], own["k"], own["v"], own["eta"].to(wide), state, norm, problem)
        return y, *final

    right = form(exact, reference.ttt, torch.float64)
    mixed, plain = form(tensors, dual.ttt, torch.float32), form(tensors, reference.ttt, torch.bfloat16)
    for ours, theirs, true in zip(mixed, plain, right, strict=True):
        assert relative(ours, true) < relative(theirs, true)
    three = (gradients(tensors, mixed), gradients(tensors, plain), gradients(exact, right))
    for ours, theirs, true in zip(*three, strict=True):
        assert relative(ours, true) < 2 * relative(theirs, true)


def test_float32_is_computed_and_returned():
    tensors = draw(MLPState, dtype=torch.float32)
    exact = {name: x.detach().double() for name, x in tensors.items()}
    for form in FORMS:
        given, right = run(tensors, TTTProblem(mini_batch=4), form), run(exact, TTTProblem(mini_batch=4), "reference")
        assert {x.dtype for x in given} == {torch.float32}
        assert max(relative(x, y) for x, y in zip(given, right, strict=True)) < 1e-5


@pytest.mark.parametrize("memory", MEMORIES)
def test_inputs_stay_as_they_are(memory):
    tensors = draw(memory)
    before = {name: x.detach().clone() for name, x in tensors.items()}
    for form in FORMS:
        run(tensors, TTTProblem(mini_batch=4), form)
    assert all(torch.equal(x, before[name]) for name, x in tensors.items())


@pytest.mark.parametrize("step", [dual.mlp_step, dual.linear_step])
def test_a_mini_batch_is_one_graph(step):
    """torch.compile takes the step whole, forward and backward (aot_eager: no compiler is needed)."""
    memory = MLPState if step is dual.mlp_step else LinearState
    own = draw(memory, batch=1, tokens=4)
    rows = [own[n][0].transpose(0, 1).contiguous() for n in "qkv"] + [own["eta"][0].mT[..., None]]
    rows += [own[n][0] if own[n].dim() == 4 else own[n][0][:, None] for n in NAMES[memory]]
    rows += [own["norm_w"][:, None], own["norm_b"][:, None]]
    leaves = {str(number): x.detach().requires_grad_() for number, x in enumerate(rows)}
    graph = torch.compile(step, backend="aot_eager", fullgraph=True, dynamic=False)
    eager, traced = (form(*leaves.values(), 0.25, 1e-6) for form in (step, graph))
    assert worst(eager, traced) < 1e-12
    assert worst(gradients(leaves, eager), gradients(leaves, traced)) < 1e-12


SPOILED = {
    "no token": ("q", lambda x: x[:, :0], r"q is \[2, 0, 3, 4\], but .* at least one token"),
    "three dimensions": ("q", lambda x: x[0], r"it must be \[B, T, H, D\]"),
    "integers": ("q", lambda x: x.long(), "it must be a floating dtype"),
    "k too short": ("k", lambda x: x[:, :-1], r"k is \[2, 10, 3, 4\]"),
    "v in another dtype": ("v", lambda x: x.float(), "q, k and v must be alike"),
    "eta as wide as q": ("eta", lambda x: x[..., None].expand(2, 11, 3, 4), r"eta is \[2, 11, 3, 4\]"),
    "integer eta": ("eta", lambda x: x.long(), "eta is torch.int64 on cpu, but it must be floating"),
    "one state for all": (
        "w1",
        lambda x: x[:1],
        r"state.w1 is \[1, 3, 4, 7\], but for this q it must be \[2, 3, 4, 7\]",
    ),
    "state transposed": ("w2", lambda x: x.mT, r"state.w2 is \[2, 3, 4, 7\]"),
    "norm without heads": ("norm_w", lambda x: x[0], r"norm.weight is \[4\], but it must be \[H, D\] = \[3, 4\]"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_wrong_tensors_are_refused_with_the_reason(case):
    name, spoil, message = SPOILED[case]
    tensors = {n: x.detach() for n, x in draw(MLPState).items()}
    with pytest.raises(ValueError, match=message):
        run(tensors | {name: spoil(tensors[name])}, TTTProblem(mini_batch=4), "dual")


def test_backends_that_cannot_serve_say_so():
    tensors, problem = draw(MLPState), TTTProblem()
    with pytest.raises(KernelUnavailable, match="'hoper', but the choices are reference, dual, dual_compiled, auto"):
        run(tensors, problem, "hoper")
    with pytest.raises(KernelUnavailable, match=r'needs a CUDA GPU; got cpu\. Try backend="dual"'):
        run(tensors, problem, "dual_compiled")
    assert worst(run(tensors, problem, "auto"), run(tensors, problem, "dual")) == 0


@pytest.mark.parametrize("wrong", [{"mini_batch": 0}, {"eps": 0.0}, {"eps": float("nan")}, {"checkpoint_every": -1}])
def test_impossible_problems_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TTTProblem(**wrong)


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile raises one about torch's own code
@pytest.mark.parametrize(("memory", "backend"), [*itertools.product(MEMORIES, ("dual", "dual_compiled"))])
def test_on_a_gpu(memory, backend):
    tensors = draw(memory, tokens=100, heads=2, width=64, hidden=256, dtype=torch.bfloat16)
    moved = {name: x.detach().cuda().requires_grad_() for name, x in tensors.items()}
    exact = {name: x.detach().double().requires_grad_() for name, x in tensors.items()}
    plain = {name: x.detach().requires_grad_() for name, x in tensors.items()}
    problem = TTTProblem(mini_batch=32, checkpoint_every=2)
    norm = HeadNorm(plain["norm_w"], plain["norm_b"])
    state = memory(*(plain[name] for name in NAMES[memory]))
    y, final = reference.ttt(*(plain[name] for name in ("q", "k", "v", "eta")), state, norm, problem)
    plain_out, right = (y, *final), run(exact, problem, "reference")
    ours = tuple(x.cpu() for x in run(moved, problem, backend))
    for mine, theirs, true in zip(ours, plain_out, right, strict=True):
        assert relative(mine, true) < 2 * relative(theirs, true)
    three = (gradients(moved, ours), gradients(plain, plain_out), gradients(exact, right))
    for mine, theirs, true in zip(*three, strict=True):
        assert relative(mine.cpu(), true) < 2 * relative(theirs, true)
