import pytest
import torch
import torch.nn.functional as F

from storyreel.errors import GeometryError
from storyreel.geometry import TokenLayout
from storyreel.ops.attention import gather_windows, local_attention, merge_windows
from storyreel.ops.rope import rotate

LAYOUTS = [TokenLayout(segments, 5, 2, 3, latents_per_segment=4) for segments in (1, 2, 4)]
STILL = TokenLayout(1, 5, 2, 3, latents_per_segment=0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_windows_are_those_of_the_layout(layout):
    x = torch.randn(2, layout.total_tokens, 3, 8)
    assert torch.equal(gather_windows(x, layout), x[:, layout.window_index()])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_merging_averages_what_windows_share(layout):
    windows = torch.randn(2, layout.segments, layout.window_tokens, 8, dtype=torch.float64)
    total = torch.zeros(2, layout.total_tokens, 8, dtype=torch.float64)
    total.index_add_(1, layout.window_index().flatten(), windows.flatten(1, 2))
    expected = total / layout.window_count()[:, None]
    torch.testing.assert_close(merge_windows(windows, layout), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("layout", [*LAYOUTS, STILL])
@pytest.mark.parametrize("turned", [False, True])
def test_output_and_gradients_are_those_of_one_softmax_a_window(layout, turned):
    """Written out with the layout's index tensors, window by window, in float64."""
    inputs = [torch.randn(2, layout.total_tokens, 2, 16, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    angles = torch.rand(layout.window_tokens, 8, dtype=torch.float64)
    rotary = (angles.cos(), angles.sin()) if turned else None
    total = torch.zeros(2, layout.total_tokens, 2, 16, dtype=torch.float64)
    for window in layout.window_index():
        q, k, v = (x[:, window] for x in inputs)
        if rotary:
            q, k = rotate(q, *rotary), rotate(k, *rotary)
        weights = torch.einsum("bihd,bjhd->bhij", q, k).div(4.0).softmax(-1)
        total = total.index_add(1, window, torch.einsum("bhij,bjhd->bihd", weights, v))
    expected = total / layout.window_count()[:, None, None]
    actual = local_attention(*inputs, layout, rotary)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    upstream = torch.randn_like(expected)
    for got, wanted in zip(
        torch.autograd.grad(actual, inputs, upstream), torch.autograd.grad(expected, inputs, upstream), strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-11, atol=1e-12)


def test_segments_see_only_their_window():
    layout = LAYOUTS[2]
    q, k, v = torch.randn(3, 1, layout.total_tokens, 1, 8)
    before = local_attention(q, k, v, layout)
    mine = layout.window_index()[2]
    v[:, mine] += 1
    changed = (local_attention(q, k, v, layout) - before).abs().amax((0, 2, 3)) > 1e-6
    outside = torch.ones(layout.total_tokens, dtype=torch.bool)
    outside[layout.window_index()[1:].flatten()] = False
    assert changed[mine].all()
    assert not changed[outside].any()


def test_one_window_is_plain_attention():
    layout = LAYOUTS[0]
    q, k, v = torch.randn(3, 2, layout.total_tokens, 2, 8)
    whole = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2)
    assert torch.equal(local_attention(q, k, v, layout), whole)


def test_refuses_what_it_cannot_read():
    layout = LAYOUTS[1]
    x = torch.randn(1, layout.total_tokens, 1, 8)
    with pytest.raises(GeometryError, match="time order"):
        local_attention(x, x, x, layout.reversed())
    with pytest.raises(GeometryError, match="71 tokens, but its layout has 64"):
        local_attention(*[torch.randn(1, layout.total_tokens + 7, 1, 8)] * 3, layout)
