"""Mamba 2 and Gated DeltaNet in the mixer slot."""

import copy

import pytest
import torch
from torch import nn

from storyreel.errors import ConfigError, GeometryError, KernelUnavailable
from storyreel.geometry import TokenLayout
from storyreel.mixers import (
    MIXER_NAMES,
    TTTMLP,
    GatedBidirectional,
    GatedDeltaNet,
    Mamba2,
    TTTLinear,
    build_mixer,
    recurrent,
)
from storyreel.ops import delta, ssd

LAYOUT = TokenLayout(segments=3, text_tokens=3, rows=2, columns=3, mini_batch=8, latents_per_segment=2)
WIDTH, HEADS = 32, 2
KINDS = (Mamba2, GatedDeltaNet)


def make(kind, *, dtype=torch.float64, **options):
    """A layer whose every parameter has been moved away from its start."""
    torch.manual_seed(0)
    layer = kind(WIDTH, HEADS, **options).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return layer


def draw(batch=2, dtype=torch.float64):
    return torch.randn(batch, LAYOUT.total_tokens, WIDTH, generator=torch.Generator().manual_seed(1), dtype=dtype)


def convolved(layer, x):
    """Short convolution and SiLU, written as a sum over the four taps."""
    taps, bias = layer.convolution.taps, layer.convolution.bias
    y = torch.zeros_like(x) if bias is None else bias.expand_as(x).clone()
    for back in range(4):
        y[:, back:] = y[:, back:] + taps[:, 3 - back] * x[:, : x.shape[1] - back]
    return y * torch.sigmoid(y)


def normed(x, weight):
    return x / torch.sqrt(x.square().mean(-1, keepdim=True) + 1e-6) * weight


def by_hand(layer, x):
    """The layer written again, from its definition, with the op's specification."""
    gate = x @ layer.to_gate.weight.T
    gate = gate * torch.sigmoid(gate)
    dt = torch.log1p(torch.exp(x @ layer.to_dt.weight.T + layer.decay.bias))
    rate = -layer.decay.rate_log.exp()
    if isinstance(layer, Mamba2):
        heads, width, states = layer.sizes
        inner, b, c = _parts(layer, x, (layer.to_x, layer.to_b, layer.to_c))
        state = torch.zeros(len(x), heads, width, states, dtype=x.dtype)
        tokens = (c[:, :, None], b[:, :, None], inner.unflatten(-1, (heads, width)), dt)
        y, _ = ssd.reference.ssd(*tokens, rate, layer.skip, state)
        y = normed(y.flatten(-2) * gate, layer.out_norm_weight)
    else:
        heads, key, value = layer.sizes
        parts = _parts(layer, x, (layer.to_q, layer.to_k, layer.to_v))
        q, k, v = (part.unflatten(-1, (heads, -1)) for part in parts)
        q, k = q / q.norm(dim=-1, keepdim=True), k / k.norm(dim=-1, keepdim=True)
        beta = torch.sigmoid(x @ layer.to_beta.weight.T)
        state = torch.zeros(len(x), heads, value, key, dtype=x.dtype)
        y, _ = delta.reference.gated_delta(q, k, v, dt * rate, beta, state)
        y = normed(y, layer.out_norm_weight).flatten(-2) * gate
    return y @ layer.to_out.weight.T


def _parts(layer, x, projections):
    mixed = convolved(layer, torch.cat([x @ projection.weight.T for projection in projections], dim=-1))
    return mixed.split([projection.out_features for projection in projections], dim=-1)


@pytest.mark.parametrize("layout", [LAYOUT, LAYOUT.reversed()], ids=["forward", "reversed"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_layer_is_what_its_definition_says(kind, layout):
    layer, x = make(kind), draw()
    torch.testing.assert_close(layer(x, layout), by_hand(layer, x), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize(("width", "heads"), [(3072, 48), (1920, 30), (320, 5), (32, 2)])
@pytest.mark.parametrize("kind", KINDS)
def test_as_many_parameters_as_ttt_mlp_and_four_times_the_state_of_ttt_linear(kind, width, heads):
    with torch.device("meta"):
        rival, matched, linear = kind(width, heads), TTTMLP(width, heads), TTTLinear(width, heads)
    counts = [sum(parameter.numel() for parameter in layer.parameters()) for layer in (rival, matched)]
    assert counts[0] == pytest.approx(counts[1], rel=0.02)
    state = rival.start(torch.empty(1, 1, width, device="meta"))[1]
    assert 3.5 <= state.numel() / linear.w.numel() <= 4.6
    assert 0.43 <= state.numel() / (matched.w1.numel() + matched.w2.numel()) <= 0.57


def test_the_sizes_at_the_width_of_the_paper_and_of_the_demo():
    with torch.device("meta"):
        assert Mamba2(3072, 48).sizes == (64, 64, 192)
        assert Mamba2(320, 5).sizes == (7, 64, 208)
        assert GatedDeltaNet(3072, 48).sizes == (6, 240, 560)
        assert GatedDeltaNet(320, 5).sizes == (1, 176, 480)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("heads", range(1, 49))
def test_every_number_of_heads_has_sizes(kind, heads):
    with torch.device("meta"):
        assert min(kind(heads * 64, heads).sizes) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_layer_forgets_as_mamba_does_and_has_a_slow_head(kind):
    torch.manual_seed(0)
    many = kind(1024, 16)
    dt, rates = nn.functional.softplus(many.decay.bias), many.decay.rate_log.exp()
    assert ((dt > 0.00099) & (dt < 0.101)).all()
    assert ((rates > 0.99) & (rates < 16.01)).all()
    for layer in (many, kind(16, 1)):
        dt, rates = layer.decay(torch.zeros(1, 1, layer.sizes.heads))
        torch.testing.assert_close((dt * rates)[0, 0, 0], torch.tensor(-0.001), rtol=1e-3, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_and_every_token_learns(kind):
    layer, x = make(kind), draw().requires_grad_()
    layer(x, LAYOUT).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 1e-9 for p in layer.parameters())
    assert (x.grad.abs().amax(-1) > 1e-9).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_past_does_not_see_the_future(kind):
    layer, x = make(kind), draw()
    other = x.clone()
    other[:, 24:] += 1
    changed = (layer(x, LAYOUT) - layer(other, LAYOUT)).abs().amax(dim=(0, 2)) > 1e-12
    assert not changed[:24].any()
    assert changed[24:].all()


@pytest.mark.parametrize("kind", KINDS)
def test_two_pieces_with_what_is_carried_are_the_whole(kind):
    """Gradients too. The second cut leaves pieces shorter than the reach of the convolution."""
    layer, x = make(kind), draw().requires_grad_()
    whole = layer(x, LAYOUT)
    wanted = torch.autograd.grad(whole.square().sum(), [x, *layer.parameters()])
    for sizes in ([20, 31], [1, 2, 48]):
        carried, outputs = layer.start(x), []
        for piece in x.split(sizes, dim=1):
            y, carried = layer.read(piece, carried)
            outputs.append(y)
        pieces = torch.cat(outputs, dim=1)
        torch.testing.assert_close(pieces, whole, atol=1e-12, rtol=1e-12)
        given = torch.autograd.grad(pieces.square().sum(), [x, *layer.parameters()])
        for one, two in zip(given, wanted, strict=True):
            torch.testing.assert_close(one, two, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_streaming_without_gradients_is_reading_whole(kind, monkeypatch):
    layer, x = make(kind), draw()
    whole = layer(x, LAYOUT)
    monkeypatch.setattr(recurrent, "STREAMED_TOKENS", 16)
    read, lengths = layer.read, []
    monkeypatch.setattr(layer, "read", lambda piece, carried: lengths.append(piece.shape[1]) or read(piece, carried))
    with torch.no_grad():
        torch.testing.assert_close(layer(x, LAYOUT), whole, atol=1e-12, rtol=1e-12)
    assert lengths == [16, 16, 16, 3]


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
    single = layer(x.float(), LAYOUT)
    assert single.dtype == torch.float32
    assert ((single.double() - exact).norm() / exact.norm()).item() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_the_backends_agree(kind):
    layer, x = make(kind, backend="reference"), draw()
    exact = layer(x, LAYOUT)
    layer.backend = "chunked"
    torch.testing.assert_close(layer(x, LAYOUT), exact, atol=1e-10, rtol=1e-10)
    layer.backend = "fast"
    with pytest.raises(KernelUnavailable, match="'fast'"):
        layer(x, LAYOUT)


def test_they_are_built_by_name_and_ignore_options_of_others():
    options = {"mini_batch": 16, "base_lr": 0.5, "checkpoint_every": 4}
    for name, kind in (("mamba2", Mamba2), ("gated_deltanet", GatedDeltaNet)):
        assert name in MIXER_NAMES
        assert isinstance(build_mixer(name, 64, 1), kind)
        assert build_mixer(name, 64, 1, backend="reference", **options).backend == "reference"


@pytest.mark.parametrize("kind", KINDS)
def test_mistakes_are_refused(kind):
    with pytest.raises(GeometryError, match="its layout has 51 tokens"):
        make(kind)(draw()[:, :-1], LAYOUT)
    with pytest.raises(ConfigError, match="width is 320, but 3 heads need a multiple"):
        kind(320, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_both_directions_behind_gates(kind):
    torch.manual_seed(0)
    module, x = GatedBidirectional(make(kind), WIDTH).double(), draw()
    other = x.clone()
    other[:, -1] += 1
    changed = (module(x, LAYOUT) - module(other, LAYOUT)).abs().amax(dim=(0, 2)) > 1e-12
    # Backwards, too, a segment's text is read before its video: that of the last segment hears nothing of it.
    assert (~changed).nonzero()[:, 0].tolist() == [36, 37, 38]


# The first text says one of 8 symbols; the last token asks for it, 8 segments and 94 tokens later.
COPIED = TokenLayout(segments=8, text_tokens=2, rows=2, columns=2, mini_batch=8, latents_per_segment=2)
SYMBOLS = 8


def examples(count, chance):
    """Noise `[N, T, C]` with a symbol in its first token and a question in its last, and the symbols `[N]`."""
    symbols = torch.randint(SYMBOLS, (count,), generator=chance)
    x = torch.randn(count, COPIED.total_tokens, WIDTH, generator=chance)
    x[:, :, : SYMBOLS + 2] = 0
    x[torch.arange(count), 0, symbols] = 4
    x[:, 0, SYMBOLS] = 4
    x[:, -1, SYMBOLS + 1] = 4
    return x, symbols


@pytest.mark.parametrize("kind", KINDS)
def test_a_symbol_is_reproduced_many_segments_later(kind):
    torch.manual_seed(0)
    chance = torch.Generator().manual_seed(2)
    layer, answer = kind(WIDTH, HEADS), nn.Linear(WIDTH, SYMBOLS)
    optimiser = torch.optim.Adam([*layer.parameters(), *answer.parameters()], lr=1e-2)
    for _ in range(200):
        x, symbols = examples(16, chance)
        loss = nn.functional.cross_entropy(answer(layer(x, COPIED)[:, -1]), symbols)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x, symbols = examples(256, chance)
    with torch.no_grad():
        right = answer(layer(x, COPIED)[:, -1]).argmax(-1) == symbols
    assert right.float().mean() > 0.9
