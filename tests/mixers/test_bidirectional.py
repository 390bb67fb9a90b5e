"""The gate and the reading of a sequence in both directions."""

import pytest
import torch
from torch import nn

from storyreel.errors import GeometryError
from storyreel.geometry import TokenLayout
from storyreel.mixers import TTTMLP, Gate, GatedBidirectional

LAYOUT = TokenLayout(segments=3, text_tokens=3, rows=2, columns=3, mini_batch=8, latents_per_segment=2)
WIDTH = 32


class Cumulative(nn.Module):
    """The plainest mixer whose direction shows: each token gets the sum so far. It remembers what it was given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x, layout):
        self.seen.append((x.detach(), layout))
        return x.cumsum(1)


def draw(tokens=LAYOUT.total_tokens):
    return torch.randn(2, tokens, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def open_gates(module):
    torch.manual_seed(2)
    with torch.no_grad():
        for gate in (module.gate_forward, module.gate_reverse):
            gate.text.normal_()
            gate.video.normal_()
    return module


def per_token(gate):
    return torch.stack([gate.text.tanh() if text else gate.video.tanh() for text in LAYOUT.is_text()])


def test_a_gate_starts_at_a_tenth_and_tells_text_from_video():
    gate, x, y = Gate(WIDTH).double(), draw(), draw().flip(1)
    assert torch.equal(gate.text, gate.video)
    torch.testing.assert_close(gate(x, y, LAYOUT), x + torch.tanh(gate.text[0]) * y)
    with torch.no_grad():
        gate.text.zero_()
    moved = (gate(x, y, LAYOUT) != x).any(dim=(0, 2))
    assert torch.equal(moved, ~LAYOUT.is_text())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_closed_gates_are_the_identity(dtype):
    module = GatedBidirectional(TTTMLP(WIDTH, 2, mini_batch=8), WIDTH, gate_init=0.0).to(dtype)
    x = draw().to(dtype)
    assert torch.equal(module(x, LAYOUT), x)


@pytest.mark.parametrize("make", [Cumulative, lambda: TTTMLP(WIDTH, 2, mini_batch=8)], ids=["cumulative", "ttt"])
def test_both_directions_by_hand(make):
    torch.manual_seed(0)
    module, x = open_gates(GatedBidirectional(make(), WIDTH).double()), draw()
    z = x + per_token(module.gate_forward) * module.mixer(x, LAYOUT)
    text, video = LAYOUT.separate(z)
    back = module.mixer(LAYOUT.reversed().interleave(text, video), LAYOUT.reversed())
    expected = z + per_token(module.gate_reverse) * LAYOUT.interleave(*LAYOUT.reversed().separate(back))
    torch.testing.assert_close(module(x, LAYOUT), expected, atol=1e-12, rtol=1e-12)


def test_borders_are_exact_in_reverse():
    """Each token carries its own name; in reverse every one stands where the reversed layout says, text in front."""
    names = torch.arange(LAYOUT.total_tokens, dtype=torch.float64)
    x = torch.stack([names, LAYOUT.is_text().double(), LAYOUT.segment_of().double()], dim=-1)[None]
    mixer = Cumulative()
    GatedBidirectional(mixer, 3, gate_init=0.0).double()(x, LAYOUT)
    (_, first), (seen, second) = mixer.seen
    assert (first, second) == (LAYOUT, LAYOUT.reversed())
    assert torch.equal(seen[0, :, 1].bool(), second.is_text())
    assert seen[0, :, 2].tolist() == second.segment_of().tolist()
    # 2 text segments of 3 + 12 tokens, and the first, of 3 + 18, which has one latent frame more, comes last.
    starts = [0, 15, 30]
    texts = [token for start in starts for token in range(start, start + 3)]
    assert second.is_text().nonzero()[:, 0].tolist() == texts
    last_segment = [*range(36, 39), *range(50, 38, -1)]
    assert seen[0, :15, 0].tolist() == last_segment
    assert seen[0, 30:, 0].tolist() == [0, 1, 2, *range(20, 2, -1)]


def test_the_last_token_reaches_the_first():
    module, x = open_gates(GatedBidirectional(TTTMLP(WIDTH, 2, mini_batch=8), WIDTH).double()), draw()
    other = x.clone()
    other[:, -1] += 1
    assert (module(x, LAYOUT) != module(other, LAYOUT)).any(-1).all()


def test_gradients_flow_through_both_directions():
    module, x = open_gates(GatedBidirectional(TTTMLP(WIDTH, 2, mini_batch=8), WIDTH).double()), draw().requires_grad_()
    module(x, LAYOUT).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 1e-9 for p in module.parameters())
    small = TokenLayout(segments=2, text_tokens=1, rows=1, columns=1, latents_per_segment=1)
    tiny = open_gates(GatedBidirectional(Cumulative(), 2).double())
    y = torch.randn(1, small.total_tokens, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: tiny(z, small), (y,))


def test_a_layout_first_seen_in_inference_mode_can_be_trained_on():
    layout = TokenLayout(segments=1, text_tokens=5, rows=1, columns=2)
    module = GatedBidirectional(TTTMLP(WIDTH, 2, mini_batch=8), WIDTH)
    x = torch.randn(1, layout.total_tokens, WIDTH)
    with torch.inference_mode():
        module(x.clone(), layout)
    module(x, layout).sum().backward()


def test_another_layouts_sequence_is_refused():
    with pytest.raises(GeometryError, match="Use the layout that interleaved it"):
        GatedBidirectional(Cumulative(), WIDTH)(draw(7), LAYOUT)
