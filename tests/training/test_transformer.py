"""One training step of the text encoder and the transformer together, at a tiny size."""

import dataclasses

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from storyreel.assets import DEMO_MODEL
from storyreel.data.latent_clips import LatentClips
from storyreel.mixers import MIXER_NAMES
from storyreel.models.text import build_text_encoder, build_tokenizer
from storyreel.models.transformer import StoryreelTransformer3DModel
from storyreel.recipes import demo
from storyreel.training.config import DiffusionRun, OptimiserConfig
from storyreel.training.optimiser import MasterOptimiser
from storyreel.training.transformer import Batches, _Stepper, build_models

TRANSFORMER = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "num_layers": 2,
    "time_embed_dim": 16,
    "in_channels": 4,
    "out_channels": 4,
    "text_embed_dim": 32,
    "max_text_seq_length": 20,
    "sample_width": 6,
    "sample_height": 4,
    "use_rotary_positional_embeddings": True,
    "mixer_mini_batch": 16,
}
RUN = DiffusionRun(
    name="tiny",
    seconds=3,
    height=32,
    width=48,
    max_text_tokens=20,
    latents_folder="",
    vae_folder="",
    transformer=TRANSFORMER,
    text_encoder={"width": 32, "layers": 2, "heads": 2},
    optimiser=OptimiserConfig(),
    steps=1,
    batch=2,
    text_dropout=0.5,
)


def build(mixer, seconds, device="cpu", dtype=torch.float32):
    """Both models, and batches of three random clips on `device`."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(["a", "cat", "eats"])
    text_encoder = build_text_encoder(len(tokenizer), **RUN.text_encoder)
    transformer = StoryreelTransformer3DModel(**TRANSFORMER, mixer=mixer)
    layout = transformer.layout_for(seconds, RUN.height, RUN.width, RUN.max_text_tokens)
    clips = LatentClips(torch.randn(3, layout.latents, 4, 4, 6), [["a cat eats"] * layout.segments] * 3)
    for model in (text_encoder, transformer):
        nn.Module.to(model.train(), device, dtype)
    return text_encoder, transformer, Batches(RUN, clips, tokenizer, layout, torch.device(device))


def gradients(*models):
    return {name: p.grad.clone() for model in models for name, p in model.named_parameters()}


@pytest.mark.parametrize("mixer", MIXER_NAMES)
@pytest.mark.parametrize("seconds", [3, 9])
def test_no_operation_of_a_step_looks_into_a_tensor(mixer, seconds):
    """Tensors on "meta" have no values: an .item(), bool() or boolean index, each of which waits for a GPU, fails."""
    text_encoder, transformer, batches = build(mixer, seconds)
    (inputs,) = batches.at(0, torch.tensor([0, 2]), torch.float32)
    inputs = {name: value.to("meta") for name, value in inputs.items()}
    for model in (text_encoder, transformer):
        nn.Module.to(model, "meta")
    values = _Stepper(transformer, text_encoder, batches.layout)(inputs)
    assert values["loss"].shape == ()
    assert all(p.grad is not None for model in (text_encoder.encoder, transformer) for p in model.parameters())


@pytest.mark.parametrize("seconds", [3, 9])
def test_a_batch_in_parts_gives_the_gradient_of_the_whole(seconds):
    """Also where noise levels by segment leave some rows less weight than others."""
    run = dataclasses.replace(RUN, batch=6, clean_prefix_share=0.7)
    text_encoder, transformer, batches = build("local", seconds)
    both = nn.ModuleDict({"text_encoder": text_encoder, "transformer": transformer})
    indices, found = torch.tensor([0, 2, 1, 1, 0, 2]), []
    for rows_at_once, parts in ((None, 1), (4, 2), (1, 6)):
        batches.run = dataclasses.replace(run, rows_at_once=rows_at_once)
        optimiser = MasterOptimiser(both.named_parameters(), run.optimiser)
        inputs = batches.at(5, indices, torch.float32)
        assert len(inputs) == parts
        loss = _Stepper(transformer, text_encoder, batches.layout).whole(inputs, optimiser)["loss"]
        found.append((loss, optimiser.gradients / parts))
    for loss, gradient in found[1:]:
        torch.testing.assert_close(loss, found[0][0])
        torch.testing.assert_close(gradient, found[0][1], rtol=1e-4, atol=1e-7)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's own, while it compiles
@pytest.mark.parametrize("mixer", ["local", "ttt_mlp"])
def test_compiled_blocks_compute_what_plain_ones_do(mixer):
    text_encoder, transformer, batches = build(mixer, 9)
    step = _Stepper(transformer, text_encoder, batches.layout)
    (inputs,) = batches.at(0, torch.tensor([0, 2]), torch.float32)
    plain, expected = step(inputs)["loss"], gradients(text_encoder, transformer)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    for block in transformer.transformer_blocks:
        block.compile(dynamic=False, backend="aot_eager")
    torch.testing.assert_close(step(inputs)["loss"], plain)
    for name, gradient in gradients(text_encoder, transformer).items():
        torch.testing.assert_close(gradient, expected[name], msg=name)
    # All blocks share what was compiled: in one piece, or in two around the mixer, which stays as it is.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == (1 if mixer == "local" else 2)


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")  # torch's own, when it is switched on
@pytest.mark.parametrize("mixer", MIXER_NAMES)
def test_a_batch_waits_for_no_gpu_and_the_graph_is_the_plain_step(mixer):
    text_encoder, transformer, batches = build(mixer, 9, "cuda", torch.bfloat16)
    step = _Stepper(transformer, text_encoder, batches.layout)
    indices = [torch.tensor([0, 2]), torch.tensor([1, 2])]
    torch.cuda.synchronize()
    try:
        torch.cuda.set_sync_debug_mode("error")
        inputs = [batches.at(number, own, torch.bfloat16)[0] for number, own in enumerate(indices)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for own in inputs:
        for model in (text_encoder, transformer):
            model.zero_grad()
        plain, expected = step.forward_backward(own)["loss"].detach(), gradients(text_encoder, transformer)
        torch.testing.assert_close(step(own)["loss"], plain, rtol=2e-2, atol=1e-3)
        for name, gradient in gradients(text_encoder, transformer).items():
            close = (gradient - expected[name]).float().norm() <= 2e-2 * expected[name].float().norm() + 1e-5
            assert close, name


def test_going_on_from_the_bundled_model_takes_all_of_it(tmp_path):
    bundled = load_file(DEMO_MODEL / "transformer" / "diffusion_pytorch_model.safetensors")
    for run in (
        dataclasses.replace(demo.stills(), init="bundled"),
        dataclasses.replace(demo.stage_3s(), init="bundled", mixer_init="bundled"),
    ):
        _, _, transformer = build_models(run, tmp_path)
        for name, value in transformer.state_dict().items():
            assert torch.equal(value, bundled[name].float())
