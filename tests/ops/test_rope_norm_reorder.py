"""Rotary positions, norms of heads, permutations of tokens."""

import pytest
import torch
from diffusers.models.embeddings import apply_rotary_emb, get_3d_rotary_pos_embed

from storyreel.errors import ConfigError
from storyreel.ops.norm import head_layer_norm, unit
from storyreel.ops.reorder import reorder
from storyreel.ops.rope import rope_table, rotate


def test_positions_are_those_of_cogvideox():
    frames, rows, columns, width = 3, 2, 4, 32
    theirs = get_3d_rotary_pos_embed(
        width, ((0, 0), (rows, columns)), (rows, columns), frames, grid_type="slice", max_size=(rows, columns)
    )
    grid = torch.cartesian_prod(torch.arange(frames), torch.arange(rows), torch.arange(columns))
    x = torch.randn(2, len(grid), 5, width)
    expected = apply_rotary_emb(x.transpose(1, 2), theirs).transpose(1, 2)
    torch.testing.assert_close(rotate(x, *rope_table(grid, width, 10000.0)), expected)


def test_a_token_without_a_place_is_not_turned():
    cos, sin = rope_table(torch.tensor([[-1, -1, -1], [2, 0, 1]]), 16, 10000.0)
    x = torch.randn(1, 2, 3, 16)
    turned = rotate(x, cos, sin)
    assert torch.equal(turned[:, 0], x[:, 0])
    assert (turned[:, 1] - x[:, 1]).abs().max() > 0.1
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))


def test_only_distances_matter():
    places = torch.tensor([[0, 0, 0], [3, 1, 2], [40, 5, 7], [43, 6, 9]])
    q, k = torch.randn(2, 1, 1, 1, 32).double().expand(2, 1, 4, 1, 32)
    q, k = (rotate(x, *(t.double() for t in rope_table(places, 32, 10000.0))) for x in (q, k))
    near, far = (q[0, 0, 0] * k[0, 1, 0]).sum(), (q[0, 2, 0] * k[0, 3, 0]).sum()
    torch.testing.assert_close(near, far, atol=1e-5, rtol=0)


@pytest.mark.parametrize("width", [8, 24, 40])
def test_a_head_that_cannot_be_divided_is_refused(width):
    with pytest.raises(ConfigError, match=f"head width is {width}, but .* multiple of 16"):
        rope_table(torch.zeros(1, 3, dtype=torch.int64), width, 10000.0)


def test_each_head_has_a_norm_of_its_own():
    x, weight, bias = torch.randn(2, 5, 3, 4), torch.randn(3, 4), torch.randn(3, 4)
    y = head_layer_norm(x, weight, bias, 0.1)
    for head in range(3):
        expected = torch.nn.functional.layer_norm(x[:, :, head], (4,), weight[head], bias[head], 0.1)
        torch.testing.assert_close(y[:, :, head], expected)


def test_unit_length_also_of_nothing():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    torch.testing.assert_close(unit(x), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))


def test_reorder_and_its_gradient():
    order = torch.randperm(7)
    inverse = order.argsort()
    x = torch.randn(2, 7, 3, dtype=torch.float64, requires_grad=True)
    assert torch.equal(reorder(x, order, inverse), x[:, order])
    assert torch.equal(reorder(reorder(x, order, inverse), inverse, order), x)
    assert torch.autograd.gradcheck(lambda y: reorder(y, order, inverse), (x,))
