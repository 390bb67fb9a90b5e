"""Whole pipelines by every forward of the blocks: the same latents; and both branches together as one after another."""

import copy

import pytest
import torch
from torch import nn

from storyreel.errors import ConfigError
from storyreel.mixers import MIXER_NAMES
from storyreel.models import forward as forward_module
from storyreel.models.forward import resolve_forward, use_forward
from storyreel.models.transformer import StoryreelTransformer3DModel
from storyreel.sampling.batch import sample_latents
from storyreel.sampling.pipeline import StoryreelPipeline, load_pipeline

STEPS = {"num_inference_steps": 2, "guidance_scale": 3.0, "output_type": "latent"}


def with_mixer(pipeline, mixer, **changes):
    """The pipeline with a fresh transformer, every number of it drawn."""
    config = {name: value for name, value in pipeline.transformer.config.items() if not name.startswith("_")}
    transformer = StoryreelTransformer3DModel(**config | {"mixer": mixer, "mixer_window": 24} | changes).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in transformer.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return with_transformer(pipeline, transformer)


def with_transformer(pipeline, transformer):
    return StoryreelPipeline(**pipeline.components | {"transformer": transformer})


@pytest.mark.parametrize("mixer", MIXER_NAMES)
def test_plain_and_fused_give_the_same_latents(pipeline, story, mixer):
    own = with_mixer(pipeline, mixer)
    nn.Module.to(own.transformer, torch.float64)
    assert use_forward(own.transformer, "plain") == "plain"
    plain = own(story, **STEPS).latents
    assert use_forward(own.transformer, "fused") == "fused"
    fused = own(story, **STEPS).latents
    torch.testing.assert_close(fused, plain, rtol=1e-6, atol=1e-6)
    use_forward(own.transformer, "plain")
    assert torch.equal(own(story, **STEPS).latents, plain)


@pytest.mark.parametrize("able", [True, False])
def test_what_words_stand_for_off_gpus(pipeline, monkeypatch, able):
    monkeypatch.setattr(forward_module, "ON_ONEDNN", True)
    monkeypatch.setattr(forward_module, "multiplies_bfloat16", lambda facts: able)
    fastest = "mixed" if able else "plain"
    assert resolve_forward("auto", pipeline.transformer) == fastest
    assert resolve_forward("mixed", pipeline.transformer) == fastest
    assert resolve_forward("plain", pipeline.transformer) == "plain"
    assert resolve_forward("compiled", pipeline.transformer) == "plain"
    wide = nn.Module.to(copy.deepcopy(pipeline.transformer), torch.float64)
    assert resolve_forward("auto", wide) == "plain"
    with pytest.raises(
        ConfigError, match="forward is 'quick', but the choices are auto, plain, mixed, compiled, fused"
    ):
        resolve_forward("quick", pipeline.transformer)


@pytest.mark.parametrize("mixer", ["ttt_mlp", "mamba2"])
def test_mixed_is_plain_but_for_its_rounding(pipeline, story, mixer, monkeypatch):
    monkeypatch.setattr(forward_module, "multiplies_bfloat16", lambda facts: True)
    monkeypatch.setattr(forward_module, "ON_ONEDNN", True)
    monkeypatch.setattr(forward_module, "FEWEST_OUTPUTS", 4)
    own = with_mixer(pipeline, mixer)
    use_forward(own.transformer, "plain")
    plain = own(story, **STEPS).latents
    assert use_forward(own.transformer, "mixed") == "mixed"
    mixed = own(story, **STEPS).latents
    assert 1e-6 < float((mixed - plain).norm() / plain.norm()) < 5e-2
    assert {parameter.dtype for parameter in own.transformer.parameters()} == {torch.float32}
    use_forward(own.transformer, "plain")
    assert torch.equal(own(story, **STEPS).latents, plain)


def test_a_folder_is_loaded_with_a_forward(saved_model, story):
    plain, fused = (load_pipeline(saved_model, forward=name)(story, **STEPS).latents for name in ("plain", "fused"))
    torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-4)
    assert not torch.equal(fused, plain)


@pytest.mark.parametrize("forward", ["plain", "fused"])
def test_branches_in_turn_are_those_together(pipeline, story, forward):
    own = with_transformer(pipeline, copy.deepcopy(pipeline.transformer))
    use_forward(own.transformer, forward)
    batches = []
    hook = own.transformer.register_forward_pre_hook(lambda module, given: batches.append(len(given[0])))
    together = own(story, **STEPS | {"num_inference_steps": 3}).latents
    in_turn = own(story, **STEPS | {"num_inference_steps": 3}, in_turn=True).latents
    assert batches == [1, 2, 2] + [1, 1, 1, 1, 1]
    torch.testing.assert_close(in_turn, together, rtol=1e-4, atol=1e-4)
    batches.clear()
    given = {"steps": 2, "guidance": 3.0, "solver": "ddim", "max_text_tokens": 24}
    several = [sample_latents(own, [["the cat eats"], ["a pie"]], **given, in_turn=turn) for turn in (False, True)]
    hook.remove()
    assert batches == [2, 4] + [2, 2, 2]
    torch.testing.assert_close(several[1], several[0], rtol=1e-4, atol=1e-4)


PLAIN_TORCH = {"ttt_mlp": "dual", "ttt_linear": "dual", "mamba2": "chunked", "gated_deltanet": "chunked"}


@pytest.mark.gpu
@pytest.mark.parametrize("mixer", MIXER_NAMES)
def test_latents_on_a_gpu(pipeline, story, mixer):
    """bfloat16 against float64 on the CPU: the fast path errs at most twice as much as plain torch."""
    large = {"attention_head_dim": 64, "mixer_mini_batch": 64, "mixer_window": 256, "max_text_seq_length": 96}
    own = with_mixer(pipeline, mixer, **large)
    given = {**STEPS, "height": 64, "width": 96, "max_text_tokens": 96}
    nn.Module.to(own.transformer, torch.bfloat16)
    right = with_transformer(own, nn.Module.to(copy.deepcopy(own.transformer), torch.float64))(story, **given).latents
    nn.Module.to(own.transformer, "cuda")
    errors = {}
    for forward in ("plain", "fused"):
        use_forward(own.transformer, forward)
        for module in own.transformer.modules():
            if forward == "plain" and mixer in PLAIN_TORCH and hasattr(module, "backend"):
                module.backend = PLAIN_TORCH[mixer]
        errors[forward] = float((own(story, **given).latents.cpu() - right).norm() / right.norm())
    assert errors["fused"] < 2 * errors["plain"] + 1e-3, errors
