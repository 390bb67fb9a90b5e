import copy

import pytest
import torch
from diffusers import AutoencoderKLCogVideoX

from storyreel.models.vae import decode_stream, encode, lighten


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    vae = AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 16, 16), latent_channels=4, layers_per_block=1, norm_num_groups=4, scaling_factor=0.7
    )
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return vae.eval()


@pytest.mark.parametrize("latents", [1, 2, 3, 4, 13, 25, 37])
def test_stream_equals_the_whole_decode(vae, latents):
    z = torch.randn(2, 4, latents, 2, 3, generator=torch.Generator().manual_seed(latents))
    with torch.no_grad():
        whole = vae.decode(z / 0.7).sample
    chunks = list(decode_stream(vae, z))
    assert torch.equal(torch.cat(chunks, dim=2), whole)
    assert max(chunk.shape[2] for chunk in chunks) <= 9


@pytest.mark.parametrize("frames", [1, 9, 17, 49, 145])
def test_encode_equals_the_whole_encode(vae, frames):
    pixels = torch.rand(1, 3, frames, 16, 24, generator=torch.Generator().manual_seed(frames)) * 2 - 1
    with torch.no_grad():
        posterior = vae.encode(pixels).latent_dist
    mean, logvar = encode(vae, pixels)
    assert mean.shape[2] == (frames - 1) // 4 + 1
    torch.testing.assert_close(mean, posterior.mean * 0.7, rtol=1e-6, atol=0)
    torch.testing.assert_close(torch.exp(0.5 * logvar), posterior.std * 0.7, rtol=1e-5, atol=0)


def test_decoding_is_lazy_and_causal(vae):
    """A chunk leaves before later latents are read, and does not depend on them."""
    z = torch.randn(1, 4, 13, 2, 3)
    calls = []
    hook = vae.decoder.register_forward_hook(lambda *_: calls.append(1))
    first = next(decode_stream(vae, z))
    hook.remove()
    assert len(calls) == 1
    z[:, :, 3:] = torch.nan
    assert torch.equal(next(decode_stream(vae, z)), first)


def test_reconstruction_needs_no_scaling_by_the_caller(vae):
    pixels = torch.rand(1, 3, 17, 16, 24) * 2 - 1
    with torch.no_grad():
        expected = vae.decode(vae.encode(pixels).latent_dist.mean).sample
    actual = torch.cat(list(decode_stream(vae, encode(vae, pixels)[0])), dim=2)
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4)


def test_runs_in_the_dtype_of_the_vae(vae):
    half = AutoencoderKLCogVideoX.from_config(vae.config).to(torch.bfloat16).eval()
    chunk = next(decode_stream(half, torch.randn(1, 4, 3, 2, 3)))
    assert chunk.dtype == torch.bfloat16
    assert not chunk.requires_grad


@pytest.mark.parametrize("latents", [1, 2, 3, 5])
def test_lightened_equals_diffusers(vae, latents):
    z = torch.randn(2, 4, latents, 2, 3, generator=torch.Generator().manual_seed(latents))
    light = lighten(copy.deepcopy(vae)).double()
    exact = copy.deepcopy(vae).double()
    with torch.no_grad():
        given, expected = light.decode(z.double()).sample, exact.decode(z.double()).sample
    torch.testing.assert_close(given, expected, rtol=1e-9, atol=1e-9)
    assert light.state_dict().keys() == exact.state_dict().keys()
