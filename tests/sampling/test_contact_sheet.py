import os

import numpy as np
import pytest
import torch
from PIL import Image

from storyreel.errors import OutputError
from storyreel.geometry import TokenLayout
from storyreel.sampling.contact_sheet import (
    GAP,
    THUMBNAIL_WIDTH,
    LatentRGB,
    fit_latent_rgb,
    lay_out,
    middle_frames,
    middle_latents,
    save_contact_sheet,
    to_uint8,
)

LAYOUT = TokenLayout.for_video(63, 128, 192, max_text_tokens=112)


def test_the_fit_finds_a_linear_map_that_is_there():
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, 16, 4, 5, 6, generator=generator)
    weight, bias = torch.randn(16, 3, generator=generator) * 0.1, torch.tensor([0.1, -0.2, 0.3])
    colours = latents.movedim(1, -1) @ weight + bias
    frames = colours.movedim(-1, 1).repeat_interleave(4, dim=2)[:, :, 3:]
    frames = frames.repeat_interleave(8, dim=3).repeat_interleave(8, dim=4)
    found = fit_latent_rgb(latents, frames)
    torch.testing.assert_close(torch.tensor(found.weight), weight, atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.tensor(found.bias), bias, atol=1e-4, rtol=0)
    expected = to_uint8(colours[1, 2]).numpy().astype(int)
    assert np.abs(found.picture(latents[1, :, 2]).astype(int) - expected).max() <= 1


def test_the_map_survives_json():
    found = LatentRGB(weight=[[0.1, 0.2, 0.3]] * 16, bias=[0.0, 0.5, 1.0])
    assert LatentRGB.model_validate_json(found.model_dump_json()) == found


def test_pixels_become_bytes_with_rounding_and_clamping():
    assert to_uint8(torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0])).tolist() == [0, 0, 128, 255, 255]


def test_middles_belong_to_their_segments():
    for segment, (latent, frame) in enumerate(zip(middle_latents(LAYOUT), middle_frames(LAYOUT), strict=True)):
        assert latent in LAYOUT.latents_of(segment)
        assert 48 * segment + 20 < frame <= 48 * segment + 28
        assert -(-frame // 4) == latent


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (3, 3, 1), (7, 7, 1), (10, 7, 2), (21, 7, 3)])
def test_a_minute_is_three_rows_of_seven(count, columns, rows):
    sheet = lay_out([np.zeros((16, 24, 3), np.uint8)] * count, 1.5)
    assert sheet.width == columns * (THUMBNAIL_WIDTH + GAP) + GAP
    assert sheet.height % rows == GAP % rows
    assert sheet.height > rows * THUMBNAIL_WIDTH / 1.5


def test_thumbnails_stand_in_reading_order():
    shades = [30 + 20 * n for n in range(9)]
    sheet = np.asarray(lay_out([np.full((16, 24, 3), shade, np.uint8) for shade in shades], 1.5))
    cell_height = (sheet.shape[0] - GAP) // 2
    for number, shade in enumerate(shades):
        row, column = divmod(number, 7)
        assert (sheet[row * cell_height + 40, column * (THUMBNAIL_WIDTH + GAP) + 60] == shade).all()


def test_a_sheet_is_replaced_whole(tmp_path):
    path = tmp_path / "s.png"
    for shade in (0, 200):
        save_contact_sheet(path, [np.full((16, 24, 3), shade, np.uint8)], 1.5)
        assert np.asarray(Image.open(path))[40, 60].tolist() == [shade] * 3
    assert os.listdir(tmp_path) == ["s.png"]


def test_a_sheet_that_cannot_be_written_is_one_line(tmp_path):
    path = tmp_path / "nowhere" / "s.png"
    with pytest.raises(OutputError, match=r"s\.png cannot be written: No such file or directory"):
        save_contact_sheet(path, [np.zeros((4, 6, 3), np.uint8)], 1.5)
