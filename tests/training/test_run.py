"""Every kind of run, in the order of a recipe, with the real classes at a tiny size."""

import dataclasses
import json

import pytest
import torch

from storyreel.assets import DEMO_PROBE
from storyreel.data.clip_config import ClipConfig
from storyreel.data.clips import CHARACTERS, PLACES, clip_numbers, read_clip
from storyreel.data.latent_clips import LatentClips
from storyreel.data.toon_clips import draw_clip
from storyreel.errors import StoryboardError, TrainingError, WeightsError
from storyreel.evaluation.judge import judge
from storyreel.evaluation.probe import load_probe
from storyreel.models.vae import decode_stream, encode, load_vae, set_normalisation, set_window, window_of
from storyreel.sampling.model_folder import ModelInfo
from storyreel.sampling.pipeline import load_pipeline
from storyreel.training.config import (
    DiffusionRun,
    DrawRun,
    EncodeRun,
    OptimiserConfig,
    PackRun,
    PlanRun,
    ProbeRun,
    VAERun,
)
from storyreel.training.run import run

HEIGHT, WIDTH = 32, 48
CLIPS = ClipConfig(3, 1, 3, HEIGHT, WIDTH)
VAE = {"block_out_channels": (32, 32, 32, 32), "layers_per_block": 1, "latent_channels": 4, "scaling_factor": 1.0}
TRANSFORMER = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "num_layers": 1,
    "time_embed_dim": 16,
    "in_channels": 4,
    "out_channels": 4,
    "text_embed_dim": 32,
    "max_text_seq_length": 112,
    "sample_width": 6,
    "sample_height": 4,
    "use_rotary_positional_embeddings": True,
    "mixer_mini_batch": 16,
}
OPTIMISER = OptimiserConfig(learning_rate=1e-3, warmup_steps=1, clip=1.0)
BASE = DiffusionRun(
    name="base",
    seconds=3,
    height=HEIGHT,
    width=WIDTH,
    max_text_tokens=112,
    latents_folder="latents",
    vae_folder="vae/vae",
    transformer=TRANSFORMER | {"mixer": "local"},
    text_encoder={"width": 32, "layers": 1, "heads": 2},
    optimiser=OPTIMISER,
    steps=3,
    batch=2,
)
WITH_MEMORY = dataclasses.replace(
    BASE, name="3s", transformer=TRANSFORMER | {"mixer": "ttt_mlp"}, init="base/model", steps=2
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder where every run of a recipe has run."""
    root = tmp_path_factory.mktemp("runs")
    for recipe in (
        DrawRun("clips", CLIPS),
        VAERun("vae", ("clips",), VAE, OPTIMISER, steps=2, batch=1, frames=9),
        EncodeRun("latents", "clips", "vae/vae"),
        BASE,
        WITH_MEMORY,
        ProbeRun("probe", ("clips",), "vae/vae", OPTIMISER, steps=1, width=4, batch=2),
        PackRun("demo", "3s/model", "vae/vae", "probe/probe", "clips", {"steps": 2, "guidance": 2.0}),
    ):
        run(recipe, root, device="cpu", workers=0)
    return root


def test_clips_are_drawn_once_and_read_back(root):
    assert clip_numbers(root / "clips") == [0, 1, 2]
    clip, again = read_clip(root / "clips", 1), draw_clip(CLIPS, 1)
    assert clip.frames.shape == (49, HEIGHT, WIDTH, 3)
    assert (clip.frames == again.frames).all()
    assert (clip.texts, clip.places, clip.characters) == (again.texts, again.places, again.characters)
    assert clip.places[0] < len(PLACES)
    assert clip.characters[0]
    assert max(clip.characters[0]) < len(CHARACTERS)
    before = {path.name: path.stat().st_mtime_ns for path in (root / "clips").iterdir()}
    run(DrawRun("clips", CLIPS), root, workers=1)
    assert {path.name: path.stat().st_mtime_ns for path in (root / "clips").iterdir()} == before


def test_latents_are_encoded_once(root):
    clips = LatentClips.load(root / "latents")
    assert clips.latents.shape == (3, 13, 4, 4, 6)
    assert clips.latents.dtype == torch.bfloat16
    run(EncodeRun("latents", "clips", "vae/vae"), root, device="cpu", workers=0)
    assert len(LatentClips.load(root / "latents")) == 3


def test_memory_opens_in_the_base_model(root):
    base, opened = (load_pipeline(root / name / "model", device="cpu").transformer for name in ("base", "3s"))
    assert not any(".mixer." in name for name in base.state_dict())
    assert any(".mixer." in name for name in opened.state_dict())
    assert set(base.state_dict()) < set(opened.state_dict())


def test_video_goes_on_from_stills(root, tmp_path):
    for name in ("vae", "latents"):
        (tmp_path / name).symlink_to(root / name)
    stills = dataclasses.replace(
        BASE, name="stills", seconds=0, latents_folder="latents-stills", steps=2, batch=4, stages=(0,)
    )
    still = {"warmup_steps": 10**9, "weight_decay": 0.0}  # a learning rate of nearly zero: what it begins with stays
    goes_on = dataclasses.replace(
        BASE, init="stills/model", steps=2, optimiser=dataclasses.replace(BASE.optimiser, **still)
    )
    for recipe in (
        DrawRun("clips", dataclasses.replace(CLIPS, count=4)),
        EncodeRun("latents-stills", "clips", "vae/vae", stills=3),
        stills,
        goes_on,
    ):
        run(recipe, tmp_path, device="cpu", workers=0)
    assert LatentClips.load(tmp_path / "latents-stills").latents.shape == (12, 1, 4, 4, 6)
    first, second = (load_pipeline(tmp_path / name / "model", device="cpu") for name in ("stills", "base"))
    assert first.tokenizer.get_vocab() == second.tokenizer.get_vocab()
    for part in ("text_encoder", "transformer"):
        ours, theirs = (getattr(own, part).state_dict() for own in (first, second))
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            torch.testing.assert_close(theirs[name], value, rtol=1e-2, atol=1e-6, msg=name)
    assert ModelInfo.read(tmp_path / "stills" / "model").stages == [0]
    too_short = dataclasses.replace(stills, name="short", max_text_tokens=20)
    with pytest.raises(StoryboardError, match="at most 10 fit"):
        run(too_short, tmp_path, device="cpu")


def test_interrupted_training_equals_unbroken(root):
    halves = dataclasses.replace(BASE, name="halves")

    def stop_after_two(name, step, steps, values):
        if step == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(halves, root, device="cpu", report=stop_after_two)
    run(halves, root, device="cpu")
    unbroken, broken = (load_pipeline(root / name / "model", device="cpu").transformer for name in ("base", "halves"))
    for (name, a), b in zip(unbroken.state_dict().items(), broken.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_log_has_finite_losses(root):
    lines = [json.loads(line) for line in (root / "base" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 2]
    assert all(0 < line["loss"] < 100 for line in lines)
    assert (root / "base" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not (root / "latents" / "curves.png").exists()


def test_packed_model_generates_and_is_judged(root):
    info = ModelInfo.read(root / "demo" / "model")
    assert info.sampling.steps == 2
    assert info.latent_rgb is not None
    assert not [path for path in (root / "demo").rglob("*.json") if str(root) in path.read_text()]
    pipeline, probe = load_pipeline(root / "demo" / "model", device="cpu"), load_probe(root / "demo" / "probe")
    config = dataclasses.replace(CLIPS, count=2, first_seed=100)
    result = judge(pipeline, probe, config, max_text_tokens=112, steps=2, guidance=2.0, batch=2, sheets=root / "sheets")
    assert result.generated.place.count == 2
    assert result.generated.each_character.count == 2 * len(CHARACTERS)
    assert 0 < result.psnr_db < 40
    assert (root / "sheets" / "judged_000.png").stat().st_size > 1000


def test_the_probe_that_ships_can_be_packed_again(root):
    run(PackRun("again", "3s/model", "vae/vae", "bundled-probe", "clips", {"steps": 2}), root, device="cpu", workers=0)
    weights = [load_probe(folder).state_dict() for folder in (root / "again" / "probe", DEMO_PROBE)]
    assert all(torch.equal(weights[0][name], own) for name, own in weights[1].items())


def test_latents_are_normalised_and_decoding_undoes_it(root):
    from diffusers import AutoencoderKLCogVideoX

    vae = AutoencoderKLCogVideoX.from_pretrained(root / "vae" / "vae").double()
    assert len(vae.config.latents_mean) == len(vae.config.latents_std) == VAE["latent_channels"]
    assert window_of(vae) == 8
    set_window(vae, None)  # what diffusers does
    pixels = torch.rand(2, 3, 17, HEIGHT, WIDTH, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        own = vae.encode(pixels).latent_dist
        set_normalisation(vae, own.mean)
        mean, log_variance = encode(vae, pixels)
    channels = mean.transpose(0, 1).flatten(1)
    ones = torch.ones(len(channels), dtype=torch.float64)
    torch.testing.assert_close(channels.std(dim=1), ones, atol=2e-3, rtol=0)
    torch.testing.assert_close(channels.mean(dim=1), 0 * ones, atol=2e-3, rtol=0)
    sample_spread = torch.tensor(vae.config.latents_std, dtype=torch.float64)[None, :, None, None, None]
    torch.testing.assert_close((log_variance / 2).exp() * sample_spread, own.std)
    torch.testing.assert_close(torch.cat(list(decode_stream(vae, mean)), dim=2), vae.decode(own.mean).sample)


def test_a_decoder_alone_learns_on_and_latents_stay(root, tmp_path):
    for name in ("clips", "vae", "3s"):
        (tmp_path / name).symlink_to(root / name)
    more = VAERun("more", ("clips",), VAE, OPTIMISER, 2, batch=1, frames=17, init="vae/vae", decoder_only=True)
    run(more, tmp_path, device="cpu", workers=0)
    old, new = (load_vae(tmp_path / name / "vae") for name in ("vae", "more"))
    learned = {name for name, value in new.state_dict().items() if not torch.equal(value, old.state_dict()[name])}
    assert learned
    assert all(name.startswith("decoder.") for name in learned)
    assert new.config["latents_std"] == old.config["latents_std"]
    assert window_of(new) == window_of(old) is not None
    pack = PackRun("packed", "3s/model", "more/vae", "bundled-probe", "clips", {"steps": 2})
    run(pack, tmp_path, device="cpu", workers=0)
    packed = load_pipeline(tmp_path / "packed" / "model", device="cpu")
    for name, value in new.state_dict().items():
        torch.testing.assert_close(packed.vae.state_dict()[name].float(), value, rtol=1e-2, atol=1e-6)


def test_a_plan_runs_everything_once(tmp_path):
    vae = VAERun("vae", ("clips",), VAE, OPTIMISER, steps=500, batch=1, frames=9, crop=(16, 32))
    plan = PlanRun("plan", (DrawRun("clips", CLIPS),), ((vae, 0.001), (EncodeRun("latents", "clips", "vae/vae"), 0.0)))
    run(plan, tmp_path, device="cpu", workers=0, minutes=1.0)
    assert len(LatentClips.load(tmp_path / "latents")) == CLIPS.count
    assert json.loads((tmp_path / "vae" / "position.json").read_text())["steps"] < 500
    before = (tmp_path / "vae" / "position.json").stat().st_mtime_ns
    run(plan, tmp_path, device="cpu", workers=0, minutes=1.0)
    assert (tmp_path / "vae" / "position.json").stat().st_mtime_ns == before


def test_missing_steps_and_other_configurations_are_refused(root, tmp_path):
    with pytest.raises(TrainingError, match="holds no latents"):
        run(dataclasses.replace(BASE, latents_folder="none"), root, device="cpu")
    with pytest.raises(WeightsError, match="holds no autoencoder"):
        run(EncodeRun("latents", "clips", "vae/vae"), tmp_path, device="cpu", workers=0)
    with pytest.raises(TrainingError, match="no drawn clips"):
        run(VAERun("vae", ("clips",), VAE, OPTIMISER, steps=1), tmp_path, device="cpu", workers=0)
    with pytest.raises(WeightsError, match="another configuration"):
        run(dataclasses.replace(BASE, seed=5), root, device="cpu")
