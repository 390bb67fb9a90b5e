import json
import shutil

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX
from transformers.utils import logging as transformers_logging

from storyreel.assets import DEMO_MODEL
from storyreel.errors import ConfigError, StoryboardError, WeightsError
from storyreel.models.text import encode_texts
from storyreel.models.transformer import StoryreelTransformer3DModel
from storyreel.models.vae import window_of
from storyreel.sampling.device import multiplies_bfloat16
from storyreel.sampling.model_folder import ModelInfo, fastest_dtypes
from storyreel.sampling.pipeline import StoryreelPipeline, load_pipeline, save_pipeline
from storyreel.sampling.schedulers import Solver, build_scheduler


def latents_of(pipeline, story, **options):
    return pipeline(story, **{"num_inference_steps": 3, "output_type": "latent", **options}).latents


def test_frames_of_a_storyboard(pipeline, story):
    made = pipeline(story, num_inference_steps=2)
    assert made.frames.shape == (3 * 48 + 1, 32, 48, 3)
    assert made.frames.dtype == np.uint8
    assert made.latents.shape == (1, 37, 4, 4, 6)
    whole = pipeline.vae.decode(made.latents.transpose(1, 2) / 0.7).sample[0].movedim(0, -1)
    expected = ((whole.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    assert np.array_equal(made.frames, expected.numpy())


@pytest.mark.parametrize("solver", ["ddim", "dpm", "dpm-ode"])
def test_a_seed_means_one_result_and_another_seed_another(pipeline, story, solver):
    first, again, other = (latents_of(pipeline, story, seed=seed, solver=solver) for seed in (4, 4, 5))
    assert torch.equal(first, again)
    assert (first - other).abs().mean() > 0.1


def test_noise_comes_from_the_cpu_generator_of_the_seed(pipeline, story):
    noise = torch.randn(1, 37, 4, 4, 6, generator=torch.Generator().manual_seed(11))
    assert torch.equal(latents_of(pipeline, story, seed=11), latents_of(pipeline, story, seed=0, latents=noise))


def test_guidance_1_equals_the_conditional_branch_alone_whatever_is_negative(pipeline, story):
    plain = story.model_copy(update={"segments": [s.model_copy(update={"negative_text": ""}) for s in story.segments]})
    layout = pipeline.layout_for(story)
    text = encode_texts(pipeline.tokenizer, pipeline.text_encoder, story.marked_texts(), layout.text_tokens)[None]
    walk = Solver(pipeline.scheduler, "ddim", 3)
    x = torch.randn(1, 37, 4, 4, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for index, time in enumerate(walk.times):
            x, _ = walk.step(index, pipeline.transformer(x, text, torch.tensor([time]), layout), x)
    guided_by_1 = latents_of(pipeline, story, guidance_scale=1.0)
    torch.testing.assert_close(guided_by_1, x, rtol=1e-5, atol=1e-5)
    assert torch.equal(latents_of(pipeline, plain, guidance_scale=1.0), guided_by_1)


def test_at_guidance_1_the_unconditional_branch_is_not_computed(pipeline, story):
    batches = []
    hook = pipeline.transformer.register_forward_pre_hook(lambda module, args: batches.append(len(args[0])))
    latents_of(pipeline, story, guidance_scale=4.0)
    hook.remove()
    assert batches == [1, 2, 2]


def test_a_guided_step_is_two_branches_combined(pipeline, story):
    layout = pipeline.layout_for(story)
    text = pipeline.encode(story, layout)
    x = torch.randn(1, 37, 4, 4, 6, generator=torch.Generator().manual_seed(0))
    negative, positive = (
        pipeline.predict(x, branch.expand(2, -1, -1, -1), 500, 1.0, layout) for branch in text[:, None]
    )
    together = pipeline.predict(x, text, 500, 3.0, layout)
    torch.testing.assert_close(together, negative + 3 * (positive - negative), rtol=1e-4, atol=1e-5)


def test_negative_texts_work_segment_by_segment(pipeline, story):
    plain = story.model_copy(update={"segments": [s.model_copy(update={"negative_text": ""}) for s in story.segments]})
    layout = pipeline.layout_for(story)
    with_negative, without = pipeline.encode(story, layout), pipeline.encode(plain, layout)
    changed = (with_negative - without).abs().amax(dim=(2, 3)) > 0
    assert changed.tolist() == [[True, False, False], [False, False, False]]


def test_the_callback_sees_the_predicted_clean_latents_and_rising_guidance(pipeline, story):
    reports = []
    final = latents_of(pipeline, story, guidance_scale=4.0, callback_on_step=reports.append)
    assert [(report.index, report.steps, report.guidance) for report in reports] == [
        (0, 3, 1.0),
        (1, 3, 2.5),
        (2, 3, 4.0),
    ]
    torch.testing.assert_close(reports[-1].clean, final[0])
    assert all(report.clean.shape == (37, 4, 4, 6) for report in reports)


def test_text_reaches_the_video(pipeline, story):
    other = story.model_copy(deep=True)
    other.segments[2].text = "The mouse eats a pie."
    assert (latents_of(pipeline, story) - latents_of(pipeline, other)).abs().max() > 1e-3


def test_too_long_text_too_many_steps_and_too_little_guidance(pipeline, story):
    long = story.model_copy(deep=True)
    long.segments[1].text = "the cat " * 20
    with pytest.raises(StoryboardError, match=r"text 2 has 42 tokens, but at most \d+ fit: \d+ too many"):
        latents_of(pipeline, long)
    with pytest.raises(ConfigError, match="steps is 0"):
        latents_of(pipeline, story, num_inference_steps=0)
    with pytest.raises(ConfigError, match=r"guidance is 0\.5"):
        latents_of(pipeline, story, guidance_scale=0.5)


def test_latents_that_are_not_finite_are_an_error(pipeline, story):
    noise = torch.full((1, 37, 4, 4, 6), float("nan"))
    with pytest.raises(WeightsError, match="not finite"):
        latents_of(pipeline, story, latents=noise)


def test_a_saved_folder_gives_the_same_video(pipeline, story, tmp_path):
    save_pipeline(pipeline, tmp_path / "m", height=32, width=48, max_text_tokens=24, dtype=torch.float32)
    loaded = load_pipeline(tmp_path / "m", forward="plain")
    assert torch.equal(latents_of(loaded, story), latents_of(pipeline, story))
    assert {path.name for path in tmp_path.iterdir()} == {"m"}


def test_weights_are_stored_in_bfloat16_and_the_pipeline_keeps_its_own(saved_model, pipeline):
    loaded = load_pipeline(saved_model, dtype=torch.float32)
    for name in ("transformer", "vae", "text_encoder"):
        kept, stored = (getattr(p, name).state_dict() for p in (pipeline, loaded))
        for key, value in kept.items():
            assert value.dtype == torch.float32
            assert torch.equal(stored[key], value.bfloat16().float()), key
    size = sum(path.stat().st_size for path in saved_model.rglob("*.safetensors"))
    count = sum(
        p.numel() for name in ("transformer", "vae", "text_encoder") for p in getattr(loaded, name).parameters()
    )
    assert size < 2.4 * count + 40_000


def test_parts_are_announced_and_modules_are_frozen_in_the_dtype_asked_for(saved_model):
    parts = []
    loaded = load_pipeline(saved_model, dtype=torch.bfloat16, on_part=parts.append)
    assert parts == ["tokenizer", "text_encoder", "transformer", "vae", "scheduler"]
    for name in ("transformer", "vae", "text_encoder"):
        model = getattr(loaded, name)
        assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())


def test_bfloat16_gives_nearly_the_same_first_step(saved_model, story):
    clean = {}
    for dtype in (torch.float32, torch.bfloat16):
        reports = []
        latents_of(load_pipeline(saved_model, dtype=dtype), story, callback_on_step=reports.append)
        clean[dtype] = reports[0].clean
    error = (clean[torch.float32] - clean[torch.bfloat16]).norm() / clean[torch.float32].norm()
    assert error < 0.05


def test_a_cpu_decodes_in_bfloat16_only_where_it_multiplies_in_it(tmp_path):
    flags = tmp_path / "cpuinfo"
    assert not multiplies_bfloat16(flags)
    for line, expected in [
        ("flags : sse avx512f", False),
        ("flags : avx512_bf16 sse", True),
        ("flags : amx_bf16", True),
    ]:
        flags.write_text(line)
        assert multiplies_bfloat16(flags) is expected


def test_what_decides_the_story_is_float32_on_a_cpu(saved_model):
    loaded = load_pipeline(saved_model)
    assert loaded.transformer.dtype == loaded.text_encoder.dtype == torch.float32
    assert fastest_dtypes(torch.device("cuda"))["transformer"] == torch.bfloat16


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_diffusers_own_from_pretrained_reads_the_folder_too(saved_model, story):
    index = json.loads((saved_model / "model_index.json").read_text())
    assert index["_class_name"] == "StoryreelPipeline"
    assert index["transformer"] == ["storyreel.models.transformer", "StoryreelTransformer3DModel"]
    theirs = StoryreelPipeline.from_pretrained(saved_model, local_files_only=True, low_cpu_mem_usage=False)
    theirs.text_encoder.float()
    assert isinstance(theirs.transformer, StoryreelTransformer3DModel)
    assert isinstance(theirs.vae, AutoencoderKLCogVideoX)
    torch.testing.assert_close(
        latents_of(theirs, story), latents_of(load_pipeline(saved_model, forward="plain"), story)
    )


def test_the_autoencoders_window_is_kept(pipeline, copied, tmp_path):
    path = copied / "vae" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"_window_frames": 16}))
    own = load_pipeline(copied)
    assert window_of(own.vae) == 16
    save_pipeline(own, tmp_path / "again", height=32, width=48, max_text_tokens=24)
    assert window_of(load_pipeline(tmp_path / "again").vae) == 16
    assert (
        window_of(StoryreelPipeline.from_pretrained(copied, local_files_only=True, low_cpu_mem_usage=False).vae) == 16
    )
    assert window_of(pipeline.vae) is None
    assert window_of(load_pipeline(DEMO_MODEL).vae) == 24


def test_the_stochastic_scheduler_round_trips(pipeline, tmp_path):
    other = StoryreelPipeline(**{**pipeline.components, "scheduler": build_scheduler("dpm", snr_shift_scale=2.0)})
    save_pipeline(other, tmp_path / "m", height=32, width=48, max_text_tokens=24)
    scheduler = load_pipeline(tmp_path / "m").scheduler
    assert type(scheduler).__name__ == "CogVideoXDPMScheduler"
    assert scheduler.config["snr_shift_scale"] == 2.0


def test_storyreel_json_has_what_a_sampler_needs(saved_model, latent_rgb):
    info = ModelInfo.read(saved_model)
    assert (info.height, info.width, info.max_text_tokens) == (32, 48, 24)
    assert (info.recipe, info.stages, info.sampling.steps, info.sampling.guidance) == ("tiny", [3, 9], 3, 2.0)
    assert info.latent_rgb == latent_rgb
    assert len(info.files) == 3


def test_saving_and_loading_print_nothing(pipeline, tmp_path, capfd, caplog):
    save_pipeline(pipeline, tmp_path / "m", height=32, width=48, max_text_tokens=24)
    load_pipeline(tmp_path / "m")
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""
    assert transformers_logging.is_progress_bar_enabled()


def test_saving_again_replaces_the_folder(pipeline, tmp_path):
    for recipe in ("first", "second"):
        save_pipeline(pipeline, tmp_path / "m", height=32, width=48, max_text_tokens=24, recipe=recipe)
    assert ModelInfo.read(tmp_path / "m").recipe == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.fixture
def copied(saved_model, tmp_path):
    return shutil.copytree(saved_model, tmp_path / "copy")


def refusal(folder):
    with pytest.raises(WeightsError) as caught:
        load_pipeline(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def without_facts(folder):
    """As a folder that other tools wrote: nothing to compare with."""
    ModelInfo.read(folder).model_copy(update={"files": {}}).write(folder)


def test_a_missing_folder_and_a_folder_of_something_else(tmp_path):
    assert "There is no model folder" in refusal(tmp_path / "nowhere")
    assert "holds no model_index.json" in refusal(tmp_path)
    (tmp_path / "model_index.json").write_text('{"_class_name": "CogVideoXPipeline"}')
    assert "holds a CogVideoXPipeline, but a StoryreelPipeline is needed" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("storyreel.json", "storyreel.json cannot be read: No such file"),
        ("tokenizer/tokenizer.json", "tokenizer.json cannot be read"),
        ("text_encoder/config.json", "config.json cannot be read"),
        ("vae/config.json", "config.json cannot be read: No such file"),
        ("scheduler/scheduler_config.json", "scheduler_config.json cannot be read: No such file"),
        ("transformer/diffusion_pytorch_model.safetensors", "model.safetensors is missing"),
    ],
)
def test_every_missing_file_is_named(copied, file, message):
    (copied / file).unlink()
    assert message in refusal(copied)


def test_a_missing_part_is_named(copied):
    shutil.rmtree(copied / "vae")
    assert "lacks the part vae" in refusal(copied)


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_weights_cut_short_are_damaged(copied, part):
    (path,) = (copied / part).glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    assert f"{path} has" in refusal(copied)
    without_facts(copied)
    assert f"{path} is damaged or cut short" in refusal(copied)


def test_one_flipped_bit_is_found(copied):
    (path,) = (copied / "vae").glob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert "is damaged: its SHA-256 is not the one in storyreel.json" in refusal(copied)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("transformer", {"num_layers": 3}, "lacks transformer_blocks.2"),
        ("transformer", {"num_layers": 1}, "unknown to this model"),
        ("transformer", {"text_embed_dim": 8}, "but [32, 8] in this model"),
        ("transformer", {"surprise": 1}, "does not describe a StoryreelTransformer3DModel"),
        ("vae", {"latent_channels": 8}, "in this model"),
        ("vae", {"_window_frames": 12}, "window is 12, but the autoencoder takes 8 frames at once"),
        ("vae", {"_window_frames": "day"}, "vae/config.json"),
        ("text_encoder", {"num_layers": 3}, "lacks encoder.block.2"),
    ],
)
def test_weights_of_another_configuration_are_refused(copied, part, change, message):
    path = copied / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert message in refusal(copied)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model_index.json", "{", "model_index.json is damaged"),
        ("model_index.json", "[]", "it holds no JSON object"),
        ("storyreel.json", "{}", "storyreel.json is damaged: height: Field required"),
        ("storyreel.json", "nonsense", "storyreel.json is damaged"),
        (
            "scheduler/scheduler_config.json",
            '{"_class_name": "DDPMScheduler"}',
            "is of a DDPMScheduler, but must be of",
        ),
        ("transformer/config.json", "{]", "config.json is damaged"),
    ],
)
def test_damaged_json_is_named(copied, file, content, message):
    (copied / file).write_text(content)
    assert message in refusal(copied)
