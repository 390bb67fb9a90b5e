"""Full attention and the sliding window in the mixer slot."""

import copy

import pytest
import torch
from torch import nn

from storyreel.errors import ConfigError, GeometryError, KernelUnavailable
from storyreel.geometry import TokenLayout
from storyreel.mixers import (
    MIXER_NAMES,
    TTTMLP,
    FullAttention,
    Gated,
    GatedBidirectional,
    SlidingWindowAttention,
    build_gated_mixer,
    build_mixer,
)
from storyreel.mixers.placement import rotations

LAYOUT = TokenLayout(segments=3, text_tokens=3, rows=2, columns=3, mini_batch=8, latents_per_segment=2)
WIDTH, HEADS, WINDOW = 32, 2, 10
KINDS = {"full": FullAttention, "sliding_window": SlidingWindowAttention}


def make(name, *, dtype=torch.float64, window=WINDOW):
    """A layer whose every parameter has been moved away from its start."""
    torch.manual_seed(0)
    layer = build_mixer(name, WIDTH, HEADS, window=window).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return layer


def draw(batch=2, dtype=torch.float64):
    return torch.randn(batch, LAYOUT.total_tokens, WIDTH, generator=torch.Generator().manual_seed(1), dtype=dtype)


def turned(x, positions, theta=10000.0):
    """Neighbouring channels as complex numbers, turned by time, row and column; text tokens stay."""
    width = x.shape[-1]
    angles = []
    for axis, share in enumerate((width // 4, width * 3 // 8, width * 3 // 8)):
        places = positions[:, axis].clamp(min=0).double()
        angles += [places * theta ** (-2 * i / share) for i in range(share // 2)]
    turn = torch.polar(torch.ones(len(angles), len(positions), dtype=torch.float64), torch.stack(angles)).T
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turn[:, None]).flatten(-2)


def by_hand(layer, x, layout):
    """The layer written again, from its definition."""

    def projected(to):
        return (x @ to.weight.T + to.bias).unflatten(-1, layer.sizes)

    def placed(y, weight, bias):
        centred = y - y.mean(-1, keepdim=True)
        normed = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-6)
        return turned(normed * weight + bias, layout.video_positions())

    q = placed(projected(layer.to_q), layer.q_norm_weight, layer.q_norm_bias)
    k = placed(projected(layer.to_k), layer.k_norm_weight, layer.k_norm_bias)
    scores = torch.einsum("bthd,bshd->bhts", q, k) / layer.sizes.head_width**0.5
    if isinstance(layer, SlidingWindowAttention):
        t = torch.arange(x.shape[1])
        scores[:, :, (t[None] > t[:, None]) | (t[None] <= t[:, None] - layer.window)] = -torch.inf
    y = torch.einsum("bhts,bshd->bthd", scores.softmax(-1), projected(layer.to_v))
    return y.flatten(-2) @ layer.to_out.weight.T + layer.to_out.bias


@pytest.mark.parametrize("layout", [LAYOUT, LAYOUT.reversed()], ids=["forward", "reversed"])
@pytest.mark.parametrize("name", KINDS)
def test_the_layer_is_what_its_definition_says(name, layout):
    # Tables of angles are float32, as everywhere in the model.
    layer, x = make(name), draw()
    torch.testing.assert_close(layer(x, layout), by_hand(layer, x, layout), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("width", "heads", "own"), [(3072, 48, 50), (1920, 30, 32), (320, 5, 7)])
@pytest.mark.parametrize("name", KINDS)
def test_as_many_parameters_as_ttt_mlp(name, width, heads, own):
    with torch.device("meta"):
        layer, matched = build_mixer(name, width, heads), TTTMLP(width, heads)
    counts = [sum(parameter.numel() for parameter in module.parameters()) for module in (layer, matched)]
    assert counts[0] == pytest.approx(counts[1], rel=0.02)
    assert layer.sizes == (own, 64)


@pytest.mark.parametrize("name", KINDS)
def test_every_parameter_and_every_token_learns(name):
    layer, x = make(name), draw().requires_grad_()
    layer(x, LAYOUT).square().sum().backward()
    # A bias of the keys adds the same to all scores of a token, before they are turned: it learns, if weakly.
    assert all(p.grad is not None and p.grad.abs().max() > 1e-12 for p in layer.parameters())
    assert (x.grad.abs().amax(-1) > 1e-9).all()


def changed_by(module, token, dtype=torch.float64):
    x = draw(dtype=dtype)
    other = x.clone()
    other[:, token] += 1
    return ((module(x, LAYOUT) - module(other, LAYOUT)).abs().amax(dim=(0, 2)) > 1e-12).nonzero()[:, 0].tolist()


def test_who_sees_whom():
    everyone = list(range(LAYOUT.total_tokens))
    assert changed_by(make("full"), 20) == everyone
    assert changed_by(make("sliding_window"), 20) == list(range(20, 20 + WINDOW))
    assert changed_by(make("sliding_window", window=1), 20) == [20]
    assert changed_by(make("sliding_window", window=1000), 20) == everyone[20:]


def test_in_the_slot_the_window_reaches_both_ways_and_full_attention_is_read_once():
    torch.manual_seed(0)
    window = build_gated_mixer("sliding_window", WIDTH, HEADS, window=4).double()
    assert isinstance(window, GatedBidirectional)
    # Token 28 is in the video of segment 1, which has tokens 24 to 35.
    reached = changed_by(window, 28)
    assert {25, 26, 27, 28, 29, 30, 31} <= set(reached)
    full = build_gated_mixer("full", WIDTH, HEADS).double()
    assert isinstance(full, Gated)
    x = draw()
    text = LAYOUT.is_text()[:, None]
    gate = torch.where(text, full.gate.text.tanh(), full.gate.video.tanh())
    torch.testing.assert_close(full(x, LAYOUT), x + gate * full.mixer(x, LAYOUT), atol=1e-12, rtol=1e-12)
    with pytest.raises(GeometryError, match="its layout has 51 tokens"):
        full(x[:, 1:], LAYOUT)


def test_backwards_full_attention_would_only_say_the_same_again():
    """Why it is read once: positions are the tokens' own, so the order in which they stand changes nothing."""
    layer, x = make("full"), draw()
    order, back = LAYOUT.reverse_index(), LAYOUT.reversed().reverse_index()
    again = layer(x[:, order], LAYOUT.reversed())[:, back]
    torch.testing.assert_close(again, layer(x, LAYOUT), atol=1e-6, rtol=1e-6)
    other = make("sliding_window")
    assert (other(x[:, order], LAYOUT.reversed())[:, back] - other(x, LAYOUT)).abs().max() > 1e-2


@pytest.mark.parametrize("sizes", [[20, 31], [1, 2, 48], [45, 6]])
def test_two_pieces_with_what_is_carried_are_the_whole(sizes):
    """Gradients too; pieces shorter and longer than the window."""
    layer, x = make("sliding_window"), draw().requires_grad_()
    whole = layer(x, LAYOUT)
    wanted = torch.autograd.grad(whole.square().sum(), [x, *layer.parameters()])
    tables = rotations(LAYOUT, layer.sizes.head_width, layer.rope_theta, x.device)
    carried, outputs = layer.start(x), []
    for piece, *rotary in zip(x.split(sizes, dim=1), *(table.split(sizes) for table in tables), strict=True):
        y, carried = layer.read(piece, tuple(rotary), carried)
        outputs.append(y)
    assert carried[0].shape[1] == WINDOW - 1
    pieces = torch.cat(outputs, dim=1)
    torch.testing.assert_close(pieces, whole, atol=1e-12, rtol=1e-12)
    given = torch.autograd.grad(pieces.square().sum(), [x, *layer.parameters()])
    for one, two in zip(given, wanted, strict=True):
        torch.testing.assert_close(one, two, atol=1e-10, rtol=1e-10)


def test_what_is_kept_for_later_tokens():
    layer = make("sliding_window")
    per_token = 2 * layer.sizes.heads * layer.sizes.head_width
    assert [layer.state_numbers(tokens) for tokens in (4, WINDOW, 1000)] == [4 * per_token, *[9 * per_token] * 2]
    assert make("full").state_numbers(1000) == 1000 * per_token


@pytest.mark.parametrize("name", KINDS)
def test_bfloat16_with_float32_masters(name):
    layer, x = make(name, dtype=torch.float32), draw(dtype=torch.bfloat16)
    y = layer(x, LAYOUT)
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    assert {p.grad.dtype for p in layer.parameters()} == {torch.float32}
    exact = copy.deepcopy(layer).double()(x.double(), LAYOUT)
    assert ((y.double() - exact).norm() / exact.norm()).item() < 0.02
    single = layer(x.float(), LAYOUT)
    assert single.dtype == torch.float32
    assert ((single.double() - exact).norm() / exact.norm()).item() < 1e-5


@pytest.mark.parametrize("name", KINDS)
def test_the_backends_agree(name):
    layer, x = make(name), draw()
    y = layer(x, LAYOUT)
    layer.backend = "reference"
    torch.testing.assert_close(layer(x, LAYOUT), y, atol=1e-10, rtol=1e-10)
    layer.backend = "fast"
    with pytest.raises(KernelUnavailable, match="'fast'"):
        layer(x, LAYOUT)


def test_they_are_built_by_name():
    assert MIXER_NAMES == ("local", "full", "sliding_window", "mamba2", "gated_deltanet", "ttt_linear", "ttt_mlp")
    for name, kind in KINDS.items():
        assert isinstance(build_mixer(name, 64, 1, mini_batch=16, base_lr=0.5, checkpoint_every=4), kind)
    assert build_mixer("sliding_window", 64, 1).window == 8192
    assert build_gated_mixer("local", 64, 1) is None
    for name in MIXER_NAMES[1:]:
        slot = build_gated_mixer(name, 32, 2, gate_init=0.25, mini_batch=8)
        gates = [p for key, p in slot.named_parameters() if key.startswith("gate")]
        assert len(gates) == (2 if name == "full" else 4)
        assert all((gate == 0.25).all() for gate in gates)
        assert slot(torch.randn(1, LAYOUT.total_tokens, 32), LAYOUT).shape == (1, LAYOUT.total_tokens, 32)


@pytest.mark.parametrize("name", KINDS)
def test_mistakes_are_refused(name):
    with pytest.raises(GeometryError, match="its layout has 51 tokens"):
        make(name)(draw()[:, :-1], LAYOUT)
    with pytest.raises(ConfigError, match="width is 320, but 3 heads need a multiple"):
        build_mixer(name, 320, 3)
    with pytest.raises(ConfigError, match="window is 0"):
        build_mixer("sliding_window", 64, 1, window=0)


def test_no_weight_decay_on_norms_and_gates():
    names = [
        name for name, p in nn.ModuleDict({"mixer": build_gated_mixer("full", 64, 1)}).named_parameters() if p.ndim > 1
    ]
    assert names == [f"mixer.mixer.to_{part}.weight" for part in ("q", "k", "v", "out")]
