import dataclasses

import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLCogVideoX
from torch import Tensor

from storyreel.models.vae import lighten
from storyreel.recipes import demo
from storyreel.training.vae import noise_levels, reconstruction_loss, training_dtype, vae_losses


def pooled_loss(made: Tensor, true: Tensor) -> Tensor:
    """The same by torch's own average pooling."""
    loss = (made - true).abs().mean() + 8 * (made - true).square().mean()
    loss = loss + 0.5 * (made.diff(dim=2) - true.diff(dim=2)).abs().mean()
    for _ in range(3):
        for axis in (3, 4):
            loss = loss + 0.5 * (made.diff(dim=axis) - true.diff(dim=axis)).abs().mean()
        made, true = F.avg_pool3d(made, (1, 2, 2)), F.avg_pool3d(true, (1, 2, 2))
    return loss


@pytest.mark.parametrize("size", [(16, 24), (19, 21)])
def test_the_loss_counts_values_change_and_edges_at_three_scales(size):
    made, true = torch.randn(2, 2, 3, 5, *size, dtype=torch.float64)
    made.requires_grad_()
    given, expected = reconstruction_loss(made, true), pooled_loss(made, true)
    torch.testing.assert_close(given, expected, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(loss, made)[0] for loss in (given, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)


def test_half_of_the_windows_have_no_noise():
    levels = noise_levels(4000, 0.4, torch.Generator().manual_seed(0))
    assert 0.45 < (levels == 0).float().mean() < 0.55
    noisy = levels[levels > 0]
    assert 0.39 < noisy.max() < 0.4
    torch.testing.assert_close(noisy.mean(), torch.tensor(0.2), rtol=0.05, atol=0)
    assert not noise_levels(50, 0.0, torch.Generator()).any()


def test_noisy_windows_teach_the_decoder_alone():
    torch.manual_seed(0)
    vae = lighten(AutoencoderKLCogVideoX(block_out_channels=(8, 8, 8, 8), norm_num_groups=4, latent_channels=4))
    run = dataclasses.replace(demo.vae(), kl_weight=0.0)
    pixels, noise = torch.rand(2, 3, 9, 16, 24) * 2 - 1, torch.randn(2, 4, 3, 2, 3)

    def taught(levels: list[float]) -> tuple[float, float, float]:
        vae.zero_grad()
        values = vae_losses(vae, pixels, noise, torch.tensor(levels), run)
        values["loss"].backward()
        parts = (vae.encoder, vae.decoder)
        norms = [sum(float(w.grad.abs().sum()) for w in part.parameters() if w.grad is not None) for part in parts]
        return norms[0], norms[1], float(values["loss"].detach())

    quiet, noisy = taught([0.0, 0.0]), taught([0.2, 0.4])
    assert quiet[0] > 0
    assert quiet[1] > 0
    assert noisy[0] == 0
    assert noisy[1] > 0
    assert noisy[2] != quiet[2]
    assert taught([0.0, 0.4])[0] > 0


def test_a_processor_trains_in_bfloat16_where_it_multiplies_in_it(monkeypatch):
    for able, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr("storyreel.training.vae.multiplies_bfloat16", lambda able=able: able)
        assert training_dtype(torch.device("cpu")) == expected
    assert training_dtype(torch.device("cuda")) == torch.bfloat16
