from types import SimpleNamespace

import pytest
import torch
from diffusers import CogVideoXTransformer3DModel
from diffusers.models.attention_processor import CogVideoXAttnProcessor2_0
from diffusers.pipelines.cogvideo.pipeline_cogvideox import CogVideoXPipeline

from storyreel.errors import ConfigError, GeometryError
from storyreel.geometry import TokenLayout
from storyreel.models.transformer import StoryreelTransformer3DModel

TINY = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "in_channels": 4,
    "out_channels": 4,
    "time_embed_dim": 8,
    "text_embed_dim": 12,
    "num_layers": 2,
    "sample_width": 12,
    "sample_height": 8,
    "max_text_seq_length": 16,
}
SINCOS = {}
ROTARY = {"use_rotary_positional_embeddings": True}
LEARNED = {**ROTARY, "use_learned_positional_embeddings": True}
BIASLESS = {**ROTARY, "attention_bias": False, "patch_bias": False, "norm_elementwise_affine": False}


def randomised(model):
    """Every parameter and stored buffer is drawn anew, so that nothing can hide behind a zero or a one."""
    generator = torch.Generator().manual_seed(1)
    for tensor in model.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return model.eval()


def make(mixer="local", **changes):
    torch.manual_seed(0)
    return randomised(StoryreelTransformer3DModel(**{**TINY, **changes}, mixer=mixer))


def inputs(model, seconds=3, size=(64, 96), batch=2, dtype=torch.float32):
    """(latents, text, a noise level per video, layout)."""
    limits = {"mini_batch": 8, "max_text_tokens": 16}
    layout = TokenLayout.for_video(seconds, *size, **limits) if seconds else TokenLayout.for_still(*size, **limits)
    generator = torch.Generator().manual_seed(2)
    latents = torch.randn(batch, layout.latents, 4, size[0] // 8, size[1] // 8, generator=generator)
    text = torch.randn(batch, layout.segments, layout.text_tokens, 12, generator=generator)
    return latents.to(dtype), text.to(dtype), torch.tensor([37, 812])[:batch], layout


@pytest.mark.parametrize("mixer", ["local", "ttt_mlp"])
@pytest.mark.parametrize(
    ("style", "size", "seconds"),
    [
        (SINCOS, (64, 96), 3),
        (SINCOS, (32, 64), 3),
        (SINCOS, (32, 64), 0),
        (ROTARY, (64, 96), 3),
        (ROTARY, (96, 64), 3),
        (ROTARY, (32, 64), 3),
        (ROTARY, (64, 96), 0),
        (BIASLESS, (64, 96), 3),
        (LEARNED, (64, 96), 3),
    ],
)
def test_one_segment_with_closed_gates_equals_diffusers(style, size, seconds, mixer):
    theirs = randomised(CogVideoXTransformer3DModel(**TINY, **style))
    model = make(mixer, **style)
    loaded = model.load_state_dict(theirs.state_dict(), strict=False)
    assert not loaded.unexpected_keys
    assert all(".mixer." in name for name in loaded.missing_keys)
    for name, parameter in model.named_parameters():
        if "gate_" in name:
            parameter.data.zero_()
    latents, text, timestep, layout = inputs(model, seconds, size)
    pipeline = SimpleNamespace(transformer=theirs, vae_scale_factor_spatial=8)
    rotary = CogVideoXPipeline._prepare_rotary_positional_embeddings(
        pipeline, *size, latents.shape[1], torch.device("cpu")
    )
    with torch.no_grad():
        expected = theirs(latents, text[:, 0], timestep, image_rotary_emb=rotary if style else None).sample
        actual = model(latents, text, timestep, layout)
    assert expected.std() > 0.3
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def diffusers_windows(block, x, layout, rotary):
    """Local attention by diffusers' own processor, one window of the layout at a time, averaged by its counts."""
    total = torch.zeros_like(x)
    for window in layout.window_index():
        part, text = x[:, window], layout.text_tokens
        video_out, text_out = CogVideoXAttnProcessor2_0()(
            block.attn1, part[:, text:], part[:, :text], image_rotary_emb=rotary
        )
        total.index_add_(1, window, torch.cat([text_out, video_out], dim=1))
    return total / layout.window_count()[:, None]


@pytest.mark.parametrize("style", [SINCOS, ROTARY])
def test_every_segment_is_attended_to_as_diffusers_attends_to_a_clip(style):
    model = make(num_layers=1, **style)
    layout = inputs(model, seconds=9)[-1]
    pipeline = SimpleNamespace(transformer=model, vae_scale_factor_spatial=8)
    rotary = CogVideoXPipeline._prepare_rotary_positional_embeddings(pipeline, 64, 96, 13, torch.device("cpu"))
    block = model.transformer_blocks[0]
    x = torch.randn(2, layout.total_tokens, 32)
    with torch.no_grad():
        expected = diffusers_windows(block, x, layout, rotary if style else None)
        actual = block._attend(x, layout, model._rotary(layout, x.device))
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def test_a_level_per_segment_generalises_one_per_video():
    model = make(**ROTARY)
    latents, text, timestep, layout = inputs(model, seconds=9)
    with torch.no_grad():
        one = model(latents, text, timestep, layout)
        same = model(latents, text, timestep[:, None].expand(-1, 3), layout)
        other = model(latents, text, torch.tensor([[37, 37, 1], [812, 812, 1]]), layout)
    torch.testing.assert_close(same, one, rtol=1e-6, atol=1e-6)
    assert (other - one).abs().amax((0, 2, 3, 4))[25:].min() > 1e-3


def frames_that_change(model, change):
    """Which latent frames of the output differ after `change(latents, text, levels)` of a 9 s video."""
    latents, text, timestep, layout = inputs(model, seconds=9, batch=1)
    levels = timestep[:, None].repeat(1, 3)
    with torch.no_grad():
        before = model(latents, text, levels, layout)
        change(latents, text, levels)
        after = model(latents, text, levels, layout)
    return (after - before).abs().amax((0, 2, 3, 4)).gt(1e-5).nonzero().flatten().tolist()


def test_each_segment_reads_its_own_text_and_level():
    model = make(num_layers=1, **ROTARY)
    only_middle = list(range(12, 25))  # its own frames, and the shared one before them
    assert frames_that_change(model, lambda latents, text, levels: text[:, 1].add_(1)) == only_middle

    def noisier(latents, text, levels):
        levels[:, 1] = 999

    # through the shared frame 24, which the middle segment owns, its level also reaches the last segment's attention
    assert frames_that_change(model, noisier) == list(range(12, 37))


def test_the_mixer_carries_memory_from_the_first_segment_to_the_last():
    def other_text(latents, text, levels):
        text[:, 0] += 1

    assert 36 not in frames_that_change(make("local", **ROTARY), other_text)
    assert 36 in frames_that_change(make("ttt_mlp", num_layers=1, mixer_mini_batch=64, **ROTARY), other_text)


def test_checkpointed_gradients_are_the_same_and_reach_every_parameter():
    model = make("ttt_mlp", mixer_mini_batch=64, **ROTARY).train()
    latents, text, _, layout = inputs(model, seconds=6)
    levels = torch.tensor([[3, 700], [999, 0]])

    def gradients():
        model.zero_grad()
        model(latents, text, levels, layout).square().mean().backward()
        return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    plain = gradients()
    model.enable_gradient_checkpointing()
    checkpointed = gradients()
    assert all(torch.equal(plain[name], checkpointed[name]) for name in plain)
    # text is thrown away behind the last block, and with it what only text reads there
    idle = {name for name, gradient in plain.items() if not gradient.any()}
    assert idle == {"transformer_blocks.1.mixer.gate_reverse.text"}


def test_bfloat16_stays_bfloat16_and_close():
    model = make("ttt_mlp", mixer_mini_batch=64, **ROTARY)
    latents, text, timestep, layout = inputs(model, seconds=6)
    with torch.no_grad():
        exact = model(latents, text, timestep, layout)
        half = model.to(torch.bfloat16)(latents.bfloat16(), text.bfloat16(), timestep, layout)
    assert half.dtype == torch.bfloat16
    assert (half.float() - exact).norm() / exact.norm() < 0.05


@pytest.mark.parametrize("mixer", ["local", "ttt_mlp"])
def test_compiled_blocks_give_the_same(mixer):
    """Only dynamo's part: the graph breaks nowhere but around a mixer, and guards do not mix up lengths."""
    model = make(mixer, num_layers=1, mixer_mini_batch=64, **ROTARY)
    cases = [inputs(model, seconds=seconds, batch=1) for seconds in (3, 6, 0)]
    with torch.no_grad():
        expected = [model(*case) for case in cases]
        model.compile_repeated_blocks(backend="eager", fullgraph=mixer == "local")
        for case, wanted in zip(cases, expected, strict=True):
            torch.testing.assert_close(model(*case), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mixer", ["full", "sliding_window", "mamba2", "gated_deltanet", "ttt_linear"])
@pytest.mark.parametrize("style", [SINCOS, LEARNED])
def test_saved_and_loaded_it_is_the_same(tmp_path, style, mixer):
    model = make(mixer, mixer_base_lr=0.3, mixer_window=50, **style)
    model.save_pretrained(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "diffusion_pytorch_model.safetensors"]
    again = StoryreelTransformer3DModel.from_pretrained(tmp_path)
    assert again.config.mixer == mixer
    assert again.config.mixer_base_lr == 0.3
    assert again.config.mixer_window == 50
    if mixer == "sliding_window":
        assert again.transformer_blocks[0].mixer.mixer.window == 50
    case = inputs(model)
    with torch.inference_mode():  # as a video is sampled
        assert torch.equal(again(*case), model(*case))


def test_layout_for_takes_its_numbers_from_the_config():
    layout = make("local", mixer_mini_batch=64, max_text_seq_length=128).layout_for(3, 128, 192)
    assert (layout.text_tokens, layout.rows, layout.columns, layout.mini_batch) == (96, 8, 12, 64)
    still = make("local", mixer_mini_batch=32, max_text_seq_length=128).layout_for(0, 128, 192, 112)
    assert still == TokenLayout(1, 96, 8, 12, mini_batch=32, latents_per_segment=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size_t": 2}, "patch_size_t is 2, but only CogVideoX 1.0"),
        ({"ofs_embed_dim": 512}, "ofs_embed_dim is 512, but only CogVideoX 1.0"),
        ({"use_learned_positional_embeddings": True}, "use_rotary_positional_embeddings is False, but"),
        ({"mixer": "atention"}, "ttt_mlp"),
    ],
)
def test_unsupported_configurations_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        StoryreelTransformer3DModel(**{**TINY, **changes})


def test_tensors_that_do_not_fit_the_layout_are_refused():
    model = make()
    latents, text, timestep, layout = inputs(model)
    with pytest.raises(GeometryError, match=r"latents is \[2, 12, 4, 8, 12\], but .* need \[2, 13, 4, 8, 12\]"):
        model(latents[:, 1:], text, timestep, layout)
    with pytest.raises(GeometryError, match=r"text is \[2, 1, 15, 12\]"):
        model(latents, text[:, :, 1:], timestep, layout)
    with pytest.raises(GeometryError, match=r"timestep is \[2, 2\], but .* need \[2\] or \[2, 1\]"):
        model(latents, text, torch.ones(2, 2), layout)


@pytest.mark.parametrize(("size", "text_tokens"), [((32, 64), 16), ((64, 96), 24)])
def test_learned_positions_fit_one_size_only(size, text_tokens):
    model = make(**LEARNED)
    layout = TokenLayout.for_video(3, *size, mini_batch=8, max_text_tokens=text_tokens)
    latents = torch.zeros(1, 13, 4, size[0] // 8, size[1] // 8)
    with pytest.raises(GeometryError, match="learned positions for"):
        model(latents, torch.zeros(1, 1, layout.text_tokens, 12), torch.ones(1), layout)
