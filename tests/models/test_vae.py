import copy

import pytest
import torch
from diffusers import AutoencoderKLCogVideoX

from storyreel.errors import ConfigError
from storyreel.models.vae import (
    decode_stream,
    decode_whole,
    encode,
    lighten,
    load_vae,
    posterior,
    prepare_for_gpu,
)


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


def with_gradients(vae, function):
    """The outputs of `function(vae)` and every parameter's gradient of their sum with random weights."""
    vae.zero_grad()
    outputs, chance = function(vae), torch.Generator().manual_seed(3)
    sum((x * torch.randn(x.shape, generator=chance, dtype=x.dtype)).sum() for x in outputs).backward()
    gradients = {name: parameter.grad for name, parameter in vae.named_parameters() if parameter.grad is not None}
    return {str(number): x.detach() for number, x in enumerate(outputs)} | gradients


def as_diffusers(vae, frames, latents, at_once, diffusers):
    """Encodes and decodes by `diffusers`' own loops, or ours."""
    draw = torch.Generator().manual_seed(frames)
    pixels = torch.rand(2, 3, frames, 16, 24, generator=draw).to(vae.dtype) * 2 - 1
    z = torch.randn(2, 4, latents, 2, 3, generator=draw).to(vae.dtype)
    if diffusers:
        return [vae.encode(pixels).latent_dist.parameters, vae.decode(z).sample]
    return [torch.cat(posterior(vae, pixels, at_once=at_once), dim=1), decode_whole(vae, z, at_once=at_once)]


@pytest.mark.parametrize(("frames", "latents"), [(1, 1), (8, 2), (9, 3), (19, 4), (25, 7)])
@pytest.mark.parametrize("at_once", [False, True])
def test_prepared_equals_diffusers_with_gradients(vae, frames, latents, at_once):
    exact, fast = copy.deepcopy(vae).double(), prepare_for_gpu(copy.deepcopy(vae)).double()
    expected = with_gradients(exact, lambda own: as_diffusers(own, frames, latents, at_once, True))
    given = with_gradients(fast, lambda own: as_diffusers(own, frames, latents, at_once, False))
    assert given.keys() == expected.keys()
    for name, right in expected.items():
        torch.testing.assert_close(given[name], right, rtol=1e-9, atol=1e-9 * float(right.abs().max() + 1), msg=name)


@pytest.mark.parametrize("latents", [1, 3, 4, 13])
def test_prepared_streams_what_diffusers_decodes_and_encodes(vae, latents):
    fast = prepare_for_gpu(copy.deepcopy(vae)).double()
    exact = copy.deepcopy(vae).double()
    z = torch.randn(1, 4, latents, 2, 3, generator=torch.Generator().manual_seed(latents))
    with torch.no_grad():
        whole = exact.decode(z.double() / 0.7).sample
        torch.testing.assert_close(fast.decode(z.double() / 0.7).sample, whole, rtol=1e-9, atol=1e-9)
        moments = exact.encode(whole).latent_dist.parameters
        torch.testing.assert_close(fast.encode(whole).latent_dist.parameters, moments, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(torch.cat(list(decode_stream(fast, z)), dim=2), whole, rtol=1e-9, atol=1e-9)


def test_chunks_of_odd_lengths_go_one_by_one(vae):
    """Where each chunk begins with a frame that stands for itself, chunks are no parts of one video."""
    exact, fast = copy.deepcopy(vae).double(), prepare_for_gpu(copy.deepcopy(vae)).double()
    for own in (exact, fast):
        own.num_latent_frames_batch_size, own.num_sample_frames_batch_size = 3, 6
    expected = as_diffusers(exact, 13, 7, True, True)
    for given, right in zip(as_diffusers(fast, 13, 7, True, False), expected, strict=True):
        torch.testing.assert_close(given, right, rtol=1e-9, atol=1e-9)


def test_prepared_is_saved_as_it_was(vae, tmp_path):
    fast = prepare_for_gpu(copy.deepcopy(vae))
    fast.save_pretrained(tmp_path)
    loaded = load_vae(tmp_path)
    assert loaded.state_dict().keys() == vae.state_dict().keys()
    for name, value in vae.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
        assert fast.state_dict()[name].stride() == value.stride()


def test_another_activation_is_refused():
    other = AutoencoderKLCogVideoX(block_out_channels=(8, 8, 8, 8), norm_num_groups=4, act_fn="relu")
    with pytest.raises(ConfigError, match="act_fn is relu"):
        prepare_for_gpu(other)


@pytest.mark.gpu
@pytest.mark.parametrize("at_once", [False, True])
def test_prepared_on_a_gpu(at_once):
    """bfloat16: at most twice the error of diffusers' own layers in it, of every output and gradient."""
    shape = {"block_out_channels": (32, 64, 64, 96), "norm_num_groups": 32, "layers_per_block": 1, "latent_channels": 4}
    torch.manual_seed(0)
    plain = AutoencoderKLCogVideoX(**shape).to("cuda", torch.bfloat16)
    exact, fast = copy.deepcopy(plain).double(), prepare_for_gpu(copy.deepcopy(plain))
    draw = torch.Generator().manual_seed(0)
    pixels, z = torch.rand(2, 3, 17, 64, 96, generator=draw) * 2 - 1, torch.randn(2, 4, 5, 8, 12, generator=draw)
    weights = [torch.randn(2, 8, 5, 8, 12, generator=draw), torch.randn(2, 3, 17, 64, 96, generator=draw)]
    found = []
    for own in (exact, plain, fast):
        x, y = (given.to("cuda", torch.bfloat16).to(own.dtype) for given in (pixels, z))
        outputs = [torch.cat(posterior(own, x, at_once=at_once), dim=1), decode_whole(own, y, at_once=at_once)]
        sum((out.double() * by.cuda()).sum() for out, by in zip(outputs, weights, strict=True)).backward()
        found.append([*(out.detach() for out in outputs), *(parameter.grad for parameter in own.parameters())])
    right, one, two = found
    errors = [
        [float((x - y).norm() / (y.norm() + 1e-3)) for x, y in zip(own, right, strict=True)] for own in (one, two)
    ]
    # of a few numbers an error may be small by chance: the median is of all outputs and gradients
    typical = sorted(errors[0])[len(right) // 2]
    assert all(given < 2 * max(plain, typical) for plain, given in zip(*errors, strict=True)), errors
