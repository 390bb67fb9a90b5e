"""An autoencoder that the tests of this folder share."""

import pytest
import torch
from diffusers import AutoencoderKLCogVideoX


@pytest.fixture(scope="package")
def vae():
    """diffusers' own, tiny, with weights that are not those of a fresh one. To be read, not changed."""
    torch.manual_seed(0)
    vae = AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 16, 16), latent_channels=4, layers_per_block=1, norm_num_groups=4, scaling_factor=0.7
    )
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return vae.eval()
