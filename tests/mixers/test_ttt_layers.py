"""The TTT layers around the op."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

from storyreel.errors import ConfigError, GeometryError, KernelUnavailable
from storyreel.geometry import TokenLayout
from storyreel.mixers import TTTMLP, TTTLinear, build_mixer
from storyreel.mixers.placement import rotations
from storyreel.ops.rope import rope_table
from storyreel.ops.ttt import HeadNorm, LinearState, MLPState, reference

LAYOUT = TokenLayout(segments=3, text_tokens=3, rows=2, columns=3, mini_batch=8, latents_per_segment=2)
WIDTH, HEADS = 32, 2
KINDS = (TTTMLP, TTTLinear)


def make(kind, *, dtype=torch.float64, **options):
    """A layer whose every parameter has been moved away from its start."""
    torch.manual_seed(0)
    layer = kind(WIDTH, HEADS, mini_batch=8, **options).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return layer


def draw(batch=2, dtype=torch.float64):
    return torch.randn(batch, LAYOUT.total_tokens, WIDTH, generator=torch.Generator().manual_seed(1), dtype=dtype)


def by_hand(layer, x, layout):
    """The layer written again, from its definition, with explicit numbers and the op's specification."""
    functional = torch.nn.functional
    q, k, v = (
        functional.linear(x, p.weight, p.bias).unflatten(-1, (2, 16)) for p in (layer.to_q, layer.to_k, layer.to_v)
    )
    q, k = q / q.norm(dim=-1, keepdim=True), k / k.norm(dim=-1, keepdim=True)
    cos, sin = rope_table(layout.video_positions(), 16, 10000.0)
    turn = torch.complex(cos, sin)[:, None]
    q, k = (torch.view_as_real(torch.view_as_complex(y.unflatten(-1, (8, 2))) * turn).flatten(-2) for y in (q, k))
    norm = HeadNorm(layer.head_norm_weight, layer.head_norm_bias)
    gap = v - k
    gap = (gap - gap.mean(-1, keepdim=True)) / torch.sqrt(gap.var(-1, correction=0, keepdim=True) + 1e-6)
    eta = layer.base_lr * torch.sigmoid(x @ layer.to_eta.weight.T + layer.to_eta.bias) / 16
    names, memory = (("w1", "b1", "w2", "b2"), MLPState) if isinstance(layer, TTTMLP) else (("w", "b"), LinearState)
    state = memory(*(torch.stack([getattr(layer, name)] * len(x)) for name in names))
    y, _ = reference.ttt(q, k, gap * norm.weight + norm.bias + k, eta, state, norm, layer.problem)
    y = functional.layer_norm(y.flatten(-2), (WIDTH,), layer.out_norm_weight, layer.out_norm_bias, 1e-6)
    return functional.linear(y, layer.to_out.weight, layer.to_out.bias)


@pytest.mark.parametrize("layout", [LAYOUT, LAYOUT.reversed()], ids=["forward", "reversed"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_layer_is_what_its_definition_says(kind, layout):
    layer, x = make(kind), draw()
    torch.testing.assert_close(layer(x, layout), by_hand(layer, x, layout), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_layer(kind):
    torch.manual_seed(0)
    layer = kind(1024, 16)
    parameters = dict(layer.named_parameters())
    names = ("w1", "w2") if kind is TTTMLP else ("w",)
    for name in names:
        assert parameters[name].std().item() == pytest.approx(0.02, rel=0.05)
    zeros = ("b1", "b2", "head_norm_bias") if kind is TTTMLP else ("b", "head_norm_bias")
    assert not any(parameters[name].any() for name in zeros)
    assert layer.base_lr == (0.1 if kind is TTTMLP else 1.0)
    assert layer.problem.eps == 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_and_every_token_learns(kind):
    layer, x = make(kind), draw().requires_grad_()
    layer(x, LAYOUT).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 1e-9 for p in layer.parameters())
    assert (x.grad.abs().amax(-1) > 1e-9).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_size_belongs_to_its_token(kind):
    layer, x = make(kind), draw()
    order = torch.randperm(LAYOUT.total_tokens)
    assert torch.equal(layer.step_sizes(x[:, order]), layer.step_sizes(x)[:, order])
    sizes = layer.step_sizes(x)
    assert ((sizes > 0) & (sizes < layer.base_lr / 16)).all()


@pytest.mark.parametrize("layout", [LAYOUT, LAYOUT.reversed()], ids=["forward", "reversed"])
@pytest.mark.parametrize("kind", KINDS)
def test_only_tokens_with_a_step_size_are_learned(kind, layout):
    """A marker gives a rate to one token alone: what comes before its mini-batch knows nothing of it, the rest does."""
    layer, x, token = make(kind), draw(), 21
    with torch.no_grad():
        layer.to_eta.weight.zero_()[:, 0] = 1e6
        layer.to_eta.bias.zero_()
        x[:, :, 0] = -1
        x[:, token, 0] = 1
    deaf = copy.deepcopy(layer)
    deaf.base_lr = 0.0
    changed = (layer(x, layout) - deaf(x, layout)).abs().amax(dim=(0, 2)) > 1e-9
    start = token // 8 * 8
    assert not changed[:start].any()
    assert changed[start:].all()


def test_positions_are_global_and_text_has_none():
    cos, sin = rotations(LAYOUT, 16, 10000.0, torch.device("cpu"))
    positions = LAYOUT.video_positions()
    for token, (frame, row, column) in enumerate(positions.tolist()):
        if LAYOUT.is_text()[token]:
            assert torch.equal(cos[token], torch.ones(8))
            assert torch.equal(sin[token], torch.zeros(8))
        else:
            time = torch.tensor([frame, frame / 10000**0.5], dtype=torch.float32)
            space = torch.tensor([n / 10000 ** (i / 3) for n in (row, column) for i in range(3)])
            torch.testing.assert_close(sin[token], torch.cat([time, space]).sin())
    assert positions[:, 0].max() == 6
    backwards = rotations(LAYOUT.reversed(), 16, 10000.0, torch.device("cpu"))
    assert torch.equal(backwards[0], cos[LAYOUT.reverse_index()])
    assert torch.equal(backwards[1], sin[LAYOUT.reverse_index()])


@pytest.mark.parametrize("kind", KINDS)
def test_the_past_does_not_see_the_future(kind):
    layer, x = make(kind), draw()
    other = x.clone()
    other[:, 24:] += 1
    same = (layer(x, LAYOUT) == layer(other, LAYOUT)).all(dim=(0, 2))
    assert same[:24].all()
    assert not same[24:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_eps_is_one_number(kind):
    layer, x = make(kind), draw()
    before = layer(x, LAYOUT)
    layer.problem = dataclasses.replace(layer.problem, eps=1e-2)
    assert ((layer(x, LAYOUT) - before).abs() > 1e-9).all()


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_with_float32_masters(kind):
    layer, x = make(kind, dtype=torch.float32), draw(dtype=torch.bfloat16)
    y = layer(x, LAYOUT)
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    assert {p.grad.dtype for p in layer.parameters()} == {torch.float32}
    exact = copy.deepcopy(layer).double()(x.double(), LAYOUT)
    assert ((y.double() - exact).norm() / exact.norm()).item() < 0.02
    stored = copy.deepcopy(layer).bfloat16()(x, LAYOUT)
    assert ((stored.double() - exact).norm() / exact.norm()).item() < 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_checkpoints_change_nothing(kind):
    layer, x = make(kind), draw()
    lean = copy.deepcopy(layer)
    lean.problem = dataclasses.replace(lean.problem, checkpoint_every=2)
    for own in (layer, lean):
        own(x, LAYOUT).square().sum().backward()
    for one, two in zip(layer.parameters(), lean.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_reading_in_pieces_is_reading_whole(kind):
    """Without gradients a sequence is read 16 mini-batches at a time: here 32 tokens and 19."""
    layer, x = make(kind), draw()
    layer.problem = dataclasses.replace(layer.problem, mini_batch=2)
    whole = layer(x, LAYOUT)
    with torch.no_grad():
        torch.testing.assert_close(layer(x, LAYOUT), whole, atol=1e-12, rtol=1e-12)


def test_another_layouts_sequence_is_refused():
    with pytest.raises(GeometryError, match="its layout has 51 tokens"):
        make(TTTMLP)(draw()[:, :-1], LAYOUT)


@pytest.mark.parametrize(("width", "heads"), [(320, 3), (320, 0), (96, 4)])
def test_widths_that_heads_cannot_share_are_refused(width, heads):
    with pytest.raises(ConfigError, match=f"width is {width}, but {heads} heads need a multiple"):
        TTTMLP(width, heads)


def test_every_mixer_has_a_name():
    assert build_mixer("local", 64, 1) is None
    mlp = build_mixer("ttt_mlp", 64, 1, mini_batch=16, base_lr=None)
    linear = build_mixer("ttt_linear", 64, 1, mini_batch=32, base_lr=0.5)
    assert isinstance(mlp, TTTMLP)
    assert isinstance(linear, TTTLinear)
    assert (mlp.base_lr, mlp.problem.mini_batch) == (0.1, 16)
    assert (linear.base_lr, linear.problem.mini_batch) == (0.5, 32)
    with pytest.raises(ConfigError, match="mixer is 'mamba', but the choices are local, full, sliding_window"):
        build_mixer("mamba", 64, 1)


def test_an_unknown_backend_is_refused_when_it_is_used():
    with pytest.raises(KernelUnavailable, match="'fast'"):
        make(TTTMLP, backend="fast")(draw(), LAYOUT)


def test_adapters_find_linear_layers():
    layer = make(TTTMLP)
    assert {n for n, m in layer.named_modules() if isinstance(m, nn.Linear)} == {
        "to_q",
        "to_k",
        "to_v",
        "to_eta",
        "to_out",
    }
