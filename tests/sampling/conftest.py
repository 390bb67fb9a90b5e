"""The real classes at tiny size: 48x32 pixels, four words a second."""

import json

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX

from storyreel.models.text import build_text_encoder, build_tokenizer
from storyreel.models.transformer import StoryreelTransformer3DModel
from storyreel.sampling.contact_sheet import LatentRGB
from storyreel.sampling.model_folder import SamplingDefaults
from storyreel.sampling.pipeline import StoryreelPipeline, save_pipeline
from storyreel.sampling.schedulers import build_scheduler
from storyreel.storyboard.schema import Storyboard

WORDS = ["the", "a", "cat", "mouse", "eats", "runs", "pie", "sleeps", ".", ","]
HEIGHT, WIDTH, TEXT_TOKENS = 32, 48, 24


def disturbed(model, seed):
    """Fresh weights with noise on all of them, so that nothing hides behind a zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture(scope="session")
def pipeline():
    torch.manual_seed(0)
    tokenizer = build_tokenizer(WORDS)
    vae = AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8), latent_channels=4, layers_per_block=1, norm_num_groups=4, scaling_factor=0.7
    )
    transformer = StoryreelTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=16,
        text_embed_dim=16,
        num_layers=2,
        sample_width=WIDTH // 8,
        sample_height=HEIGHT // 8,
        max_text_seq_length=TEXT_TOKENS,
        use_rotary_positional_embeddings=True,
        mixer="ttt_mlp",
        mixer_mini_batch=8,
    )
    text_encoder = build_text_encoder(len(tokenizer), 16, 2, 2)
    models = (disturbed(model, seed) for seed, model in enumerate((text_encoder, transformer, vae)))
    return StoryreelPipeline(tokenizer, *models, build_scheduler())


@pytest.fixture
def story():
    return Storyboard.model_validate(
        {
            "title": "Pie",
            "segments": [
                {"text": "The cat eats the pie.", "negative_text": "a mouse"},
                {"text": "The mouse runs."},
                {"text": "The cat sleeps.", "scene_start": True},
            ],
        }
    )


@pytest.fixture
def story_file(story, tmp_path):
    path = tmp_path / "pie.json"
    path.write_text(json.dumps(story.model_dump(), indent=1), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def latent_rgb():
    return LatentRGB(weight=[[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0, 0, 0]], bias=[0.1, 0.0, -0.1])


@pytest.fixture(scope="session")
def saved_model(pipeline, latent_rgb, tmp_path_factory):
    """A model folder that no test may change."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_pipeline(
        pipeline,
        folder,
        height=HEIGHT,
        width=WIDTH,
        max_text_tokens=TEXT_TOKENS,
        recipe="tiny",
        stages=(3, 9),
        latent_rgb=latent_rgb,
        sampling=SamplingDefaults(steps=3, guidance=2.0),
    )
    return folder
