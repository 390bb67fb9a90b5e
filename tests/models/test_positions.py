import torch
from diffusers.models.embeddings import get_3d_sincos_pos_embed
from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid
from hypothesis import given
from hypothesis import strategies as st

from storyreel.geometry import TokenLayout
from storyreel.models.positions import crop_region, rotary_table, sincos_window, spread_window

CPU = torch.device("cpu")
sides = st.integers(1, 90)


@given(st.tuples(sides, sides), st.tuples(sides, sides))
def test_crop_is_that_of_the_cogvideox_pipeline(grid, base):
    assert crop_region(grid, base) == get_resize_crop_region_for_grid(grid, base[1], base[0])


def test_rotary_table_turns_video_by_frame_row_and_column():
    layout = TokenLayout(2, 5, 2, 3)
    cos, sin = rotary_table(layout, 16, (2, 3), CPU)
    assert cos.shape == sin.shape == (layout.window_tokens, 8)
    assert (cos[:5] == 1).all()
    assert (sin[:5] == 0).all()
    token = 5 + (7 * 2 + 1) * 3 + 2  # frame 7, row 1, column 2
    angles = torch.atan2(sin[token], cos[token])
    turn = torch.tensor([7.0, 7.0 / 100, 1, 10000 ** (-1 / 3), 10000 ** (-2 / 3), 2, 2 * 10000 ** (-1 / 3)])
    expected = torch.remainder(turn + torch.pi, 2 * torch.pi) - torch.pi
    torch.testing.assert_close(angles[:7], expected, rtol=1e-5, atol=1e-5)


def test_tables_are_made_once():
    layout = TokenLayout(3, 4, 2, 2)
    assert rotary_table(layout, 16, (2, 2), CPU)[0] is rotary_table(TokenLayout(3, 4, 2, 2), 16, (2, 2), CPU)[0]


def test_every_video_token_gets_the_frame_number_of_its_own_segment():
    layout = TokenLayout(3, 4, 2, 2)
    window = sincos_window(layout, 16, 1.875, 1.0, CPU)
    expected = get_3d_sincos_pos_embed(16, (2, 2), 13, 1.875, 1.0)
    spread = spread_window(window, layout).unflatten(0, (layout.latents, -1))
    for segment in range(3):
        for latent in layout.latents_of(segment):
            torch.testing.assert_close(spread[latent], expected[latent - 12 * segment].float())


def test_tables_first_made_in_inference_mode_serve_training_too():
    layout = TokenLayout(1, 7, 3, 2)
    with torch.inference_mode():
        tables = *rotary_table(layout, 16, (3, 2), CPU), sincos_window(layout, 16, 1.875, 1.0, CPU)
    assert not any(table.is_inference() for table in tables)
    x = torch.ones(layout.window_tokens, 8, requires_grad=True)
    (x * tables[0]).sum().backward()
    assert torch.equal(x.grad, tables[0])
