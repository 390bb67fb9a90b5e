"""A VAE that begins anew after each window: exact joins, the same in chunks, bounded, and noted in its own config."""

import copy

import pytest
import torch
from diffusers import AutoencoderKLCogVideoX

from storyreel.errors import ConfigError
from storyreel.models.vae import decode_stream, encode, encode_stream, load_vae, prepare_for_gpu, set_window, window_of

WINDOW = 24
LATENTS = WINDOW // 4


@pytest.fixture(scope="module")
def plain(vae):
    return vae


@pytest.fixture(scope="module")
def windowed(plain):
    vae = copy.deepcopy(plain)
    set_window(vae, WINDOW)
    return vae


def draw_pixels(frames, batch=1):
    return torch.rand(batch, 3, frames, 16, 24, generator=torch.Generator().manual_seed(frames)) * 2 - 1


def draw_latents(count, batch=1):
    return torch.randn(batch, 4, count, 2, 3, generator=torch.Generator().manual_seed(count))


def decode(vae, z):
    return torch.cat(list(decode_stream(vae, z)), dim=2)


@pytest.mark.parametrize("frames", [49, 57, 97])
def test_encoding_is_that_of_each_window_without_its_first_latent(plain, windowed, frames):
    pixels = draw_pixels(frames, batch=2)
    parts = []
    for start in range(0, frames - 1, WINDOW):
        own = encode(plain, pixels[:, :, start : start + WINDOW + 1])
        parts.append([moment[:, :, bool(start) :] for moment in own])
    for given, *expected in zip(encode(windowed, pixels), *parts, strict=True):
        assert torch.equal(given, torch.cat(expected, dim=2))
    assert not torch.equal(encode(windowed, pixels)[0], encode(plain, pixels)[0])


@pytest.mark.parametrize("latents", [13, 15, 19])
def test_decoding_begins_anew_with_the_frame_that_was_decoded_last(plain, windowed, latents):
    plain, windowed = copy.deepcopy(plain).double(), copy.deepcopy(windowed).double()
    z = draw_latents(latents, batch=2).double()
    expected = decode(plain, z[:, :, : LATENTS + 1])
    for start in range(LATENTS, latents - 1, LATENTS):
        head, _ = encode(plain, expected[:, :, -1:].clamp(-1, 1))
        own = decode(plain, torch.cat([head, z[:, :, start + 1 : start + LATENTS + 1]], dim=2))
        expected = torch.cat([expected, own[:, :, 1:]], dim=2)
    given = decode(windowed, z)
    assert given.shape[2] == 4 * (latents - 1) + 1
    torch.testing.assert_close(given, expected, rtol=1e-10, atol=1e-10)
    assert (given - decode(plain, z)).abs().max() > 0.01


def test_what_a_window_holds_is_as_ever(plain, windowed):
    for frames in (1, 8, 9, 25):
        for given, expected in zip(
            encode(windowed, draw_pixels(frames)), encode(plain, draw_pixels(frames)), strict=True
        ):
            assert torch.equal(given, expected)
    for latents in (1, 2, 3, 7):
        assert torch.equal(decode(windowed, draw_latents(latents)), decode(plain, draw_latents(latents)))


def test_a_segment_is_encoded_the_same_alone_and_within_a_story(windowed):
    """48 frames a segment are two windows: no segment depends on how much comes before it."""
    pixels = draw_pixels(145)
    whole, _ = encode(windowed, pixels)
    for segment in range(1, 3):
        alone, _ = encode(windowed, pixels[:, :, 48 * segment : 48 * segment + 49])
        assert torch.equal(alone[:, :, 1:], whole[:, :, 12 * segment + 1 : 12 * segment + 13])


def test_chunks_leave_one_by_one_and_no_later_latent_is_read(windowed):
    z = draw_latents(19)
    chunks = list(decode_stream(windowed, z))
    assert [chunk.shape[2] for chunk in chunks] == [9] + [8] * 8
    spoilt = z.clone()
    spoilt[:, :, 9:] = torch.nan
    for given, expected, _ in zip(decode_stream(windowed, spoilt), chunks, range(4), strict=False):
        assert torch.equal(given, expected)
    parts = list(encode_stream(windowed, iter(draw_pixels(49).unbind(2)), 49))
    assert [mean.shape[2] for mean, _ in parts] == [3, 2, 2, 2, 2, 2]
    with pytest.raises(ValueError, match="33 frames came, but 49 were promised"):
        list(encode_stream(windowed, iter(draw_pixels(33).unbind(2)), 49))


def test_prepared_for_a_gpu_gives_the_same(windowed):
    exact, fast = copy.deepcopy(windowed).double(), prepare_for_gpu(copy.deepcopy(windowed)).double()
    z, pixels = draw_latents(13).double(), draw_pixels(49).double()
    torch.testing.assert_close(decode(fast, z), decode(exact, z), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(encode(fast, pixels), encode(exact, pixels), rtol=1e-9, atol=1e-9)


def test_the_config_keeps_it(plain, windowed, tmp_path, caplog):
    windowed.save_pretrained(tmp_path)
    assert window_of(load_vae(tmp_path)) == WINDOW
    assert window_of(plain) is None
    other = AutoencoderKLCogVideoX.from_pretrained(tmp_path, low_cpu_mem_usage=False)
    set_window(other, None)
    other.save_pretrained(tmp_path)
    assert window_of(load_vae(tmp_path)) is None
    assert not caplog.records


@pytest.mark.parametrize("frames", [0, -8, 12, 25])
def test_a_window_of_half_a_chunk_is_refused(plain, frames):
    with pytest.raises(ConfigError, match=rf"window is {frames}, but the autoencoder takes 8 frames at once. Try \d+"):
        set_window(copy.deepcopy(plain), frames)
