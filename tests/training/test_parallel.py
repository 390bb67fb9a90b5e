"""Two real processes on the CPU, joined by gloo, against one; recipes as in test_run.py, at a tiny size."""

import dataclasses
import json
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from storyreel.data.clip_config import ClipConfig
from storyreel.data.latent_clips import LatentClips
from storyreel.errors import ConfigError, OutputError, StoryreelError, TrainingError
from storyreel.sampling.pipeline import load_pipeline
from storyreel.training import parallel
from storyreel.training.config import (
    DiffusionRun,
    DrawRun,
    EncodeRun,
    OptimiserConfig,
    PlanRun,
    ProbeRun,
    VAERun,
    check_batches,
)
from storyreel.training.diffusion import draw_noise_levels
from storyreel.training.launch import launch
from storyreel.training.run import run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no sessions and signals like these")

HEIGHT, WIDTH = 32, 48
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
    "mixer": "local",
}
OPTIMISER = OptimiserConfig(learning_rate=1e-3, warmup_steps=1, clip=1.0)
DRAW = DrawRun("clips", ClipConfig(5, 3, 3, HEIGHT, WIDTH))
VAE_RUN = VAERun("vae", ("clips",), VAE, OPTIMISER, steps=2, batch=2, frames=9, crop=(16, 32))
ENCODE = EncodeRun("latents", "clips", "vae/vae")
BASE = DiffusionRun(
    name="base",
    seconds=9,
    height=HEIGHT,
    width=WIDTH,
    max_text_tokens=112,
    latents_folder="latents",
    vae_folder="vae/vae",
    transformer=TRANSFORMER,
    text_encoder={"width": 32, "layers": 1, "heads": 2},
    optimiser=OPTIMISER,
    steps=3,
    batch=4,
    text_dropout=0.3,
    clean_prefix_share=0.5,
)
PROBE = ProbeRun("probe", ("clips",), "vae/vae", OPTIMISER, steps=1, width=4, batch=4)
CPU = {"device": "cpu", "workers": 0}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """What one process made: clips, an autoencoder, latents and a base model."""
    root = tmp_path_factory.mktemp("one")
    for recipe in (DRAW, VAE_RUN, ENCODE, BASE):
        run(recipe, root, **CPU)
    return root


def state_of(folder):
    (path,) = folder.glob("state_*.safetensors")
    return load_file(path)


def test_two_processes_take_the_steps_of_one(root):
    weights = [draw_noise_levels(4, 3, 1000, 0.5, torch.Generator().manual_seed(step))[1] for step in range(BASE.steps)]
    assert any(step[:2].sum() != step[2:].sum() for step in weights), "shares of the weight must matter in this test"
    run_of_two = dataclasses.replace(BASE, name="base-of-two")
    launch(2, run, run_of_two, root, **CPU)
    one, two = state_of(root / "base"), state_of(root / "base-of-two")
    assert one.keys() == two.keys()
    for name in one:
        # Gradients are sums in another order, and the first steps of AdamW enlarge what is left of that.
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-9 if "exp_avg" in name else 1e-5)
    logs = [(root / name / "log.jsonl").read_text().splitlines() for name in ("base", "base-of-two")]
    for ours, theirs in zip(*(map(json.loads, log) for log in logs), strict=True):
        assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-3)
        assert theirs["gradient_norm"] == pytest.approx(ours["gradient_norm"], rel=1e-3)
    assert load_pipeline(root / "base-of-two" / "model", device="cpu").transformer is not None


def test_two_processes_encode_the_same_latents(root):
    launch(2, run, dataclasses.replace(ENCODE, name="latents-of-two"), root, **CPU)
    shards = sorted(path.name for path in (root / "latents-of-two").glob("*.json"))
    assert shards == ["latents_0000.json", "latents_0001.json"]
    one, two = LatentClips.load(root / "latents"), LatentClips.load(root / "latents-of-two")
    order = [two.texts.index(texts) for texts in one.texts]
    assert sorted(order) == list(range(5))
    torch.testing.assert_close(two.latents[order].float(), one.latents.float(), atol=0.02, rtol=0.02)
    # Nothing is left to do, for any number of processes.
    run(dataclasses.replace(ENCODE, name="latents-of-two"), root, **CPU)
    assert len(LatentClips.load(root / "latents-of-two")) == 5


def test_two_processes_encode_the_same_stills(root):
    stills = dataclasses.replace(ENCODE, name="stills", stills=4)
    run(stills, root, **CPU)
    launch(2, run, dataclasses.replace(stills, name="stills-of-two"), root, **CPU)
    one, two = LatentClips.load(root / "stills"), LatentClips.load(root / "stills-of-two")
    order = [4 * number + still for number in (0, 2, 4, 1, 3) for still in range(4)]
    assert two.texts == [one.texts[row] for row in order]
    torch.testing.assert_close(two.latents.float(), one.latents[order].float(), atol=0.02, rtol=0.02)
    run(dataclasses.replace(stills, name="stills-of-two"), root, **CPU)
    assert len(LatentClips.load(root / "stills-of-two")) == 20


def test_a_time_limit_stops_both_after_the_same_step_and_one_can_go_on(root):
    long = dataclasses.replace(BASE, name="long", steps=100_000)
    launch(2, run, long, root, minutes=0.05, **CPU)
    position = json.loads((root / "long" / "position.json").read_text())
    assert 0 < position["steps"] < 100_000
    run(long, root, minutes=0.02, **CPU)
    later = json.loads((root / "long" / "position.json").read_text())
    assert position["steps"] < later["steps"] < 100_000
    state = state_of(root / "long")
    assert all(torch.isfinite(value).all() for value in state.values())


def test_a_whole_plan_runs_once(tmp_path):
    vae = dataclasses.replace(VAE_RUN, steps=500)
    plan = PlanRun("plan", (DRAW,), ((vae, 0.02), (ENCODE, 0.0), (PROBE, 0.0)))
    launch(2, run, plan, tmp_path, minutes=1.0, **CPU)
    assert len(LatentClips.load(tmp_path / "latents")) == 5
    assert 0 < json.loads((tmp_path / "vae" / "position.json").read_text())["steps"] < 500
    assert len(json.loads((tmp_path / "plan" / "done.json").read_text())) == 3
    before = (tmp_path / "vae" / "position.json").stat().st_mtime_ns
    run(plan, tmp_path, minutes=1.0, **CPU)
    assert (tmp_path / "vae" / "position.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("batch", "at_once", "expected"), [(96, None, 1), (96, 96, 1), (96, 24, 4), (10, 4, 5), (7, 3, 7)]
)
def test_rows_come_in_the_fewest_equal_parts_that_fit(batch, at_once, expected):
    assert parallel.parts(batch, at_once) == expected


def test_a_batch_that_does_not_divide_is_refused():
    plan = PlanRun("plan", (DRAW,), ((VAE_RUN, 0.5), (dataclasses.replace(BASE, batch=6), 0.5)))
    check_batches(plan, 2)
    check_batches(DRAW, 3)
    line = "the batch of vae is 2, but it must be a multiple of the 3 processes that share it, one a GPU. Try --gpus 2."
    with pytest.raises(TrainingError, match=f"^{line}$"):
        check_batches(plan, 3)


def test_a_mistake_in_all_processes_is_one_error_here(root, capfd):
    with pytest.raises(TrainingError, match="the batch of base is 3"):
        launch(2, run, dataclasses.replace(BASE, batch=3), root, **CPU)
    assert capfd.readouterr().err == ""


def test_a_process_that_dies_ends_the_others():
    with pytest.raises(TrainingError, match="process 1 of the training ended with signal 9, without a word"):
        launch(2, exec, "import os, time\nif os.environ['RANK'] == '1': os.kill(os.getpid(), 9)\ntime.sleep(100)")


def test_a_fault_comes_with_its_traceback():
    with pytest.raises(RuntimeError, match=r"^In process 1:\nTraceback[\s\S]*ZeroDivisionError: division by zero"):
        launch(2, exec, "import os, time\nif os.environ['RANK'] == '1': 1 / 0\ntime.sleep(100)")


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        ("raise storyreel.errors.OutputError('no room')", OutputError, "no room"),
        ("class Other(storyreel.errors.ConfigError): pass\nraise Other('too much')", ConfigError, "too much"),
        (
            "open('/none/h\\udce9.json')",
            FileNotFoundError,
            "[Errno 2] No such file or directory: '/none/h\\udce9.json'",
        ),
        ("raise OSError('of some kind')", OSError, "of some kind"),
        ("import no_such_module", ModuleNotFoundError, "No module named 'no_such_module'"),
    ],
)
def test_what_the_command_line_knows_comes_as_it_was(raised, kind, words):
    with pytest.raises(kind) as caught:
        launch(1, exec, f"import storyreel.errors\n{raised}")
    assert type(caught.value) is kind
    assert str(caught.value) == words
    assert getattr(caught.value, "filename", None) == ("/none/h\udce9.json" if kind is FileNotFoundError else None)
    assert getattr(caught.value, "name", None) == ("no_such_module" if kind is ModuleNotFoundError else None)
    assert hasattr(caught.value, "__notes__") != issubclass(kind, StoryreelError)


# `storyreel train` as on two GPUs, with two CPU processes and a recipe of our size, which they all know.
COMMAND = """
import sys
from storyreel.cli import train
from storyreel.cli.main import main
from storyreel.recipes import RECIPES
from storyreel.training.config import DiffusionRun, OptimiserConfig
RECIPES["tiny"] = lambda: RECIPE
train._processes = lambda options, recipe: 2
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_stops_all_and_saves(root, tmp_path):
    script = tmp_path / "command.py"
    script.write_text(COMMAND.replace("RECIPE\n", f"{dataclasses.replace(BASE, name='try', steps=100_000)}\n"))
    for name in ("latents", "vae"):
        (tmp_path / name).symlink_to(root / name)
    command = [sys.executable, str(script), "train", "tiny", "--out", str(tmp_path), "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        log = tmp_path / "try" / "log.jsonl"
        deadline = time.monotonic() + 60
        while not log.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        try:
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, errors
    assert output == ""
    assert errors.splitlines()[-1] == "storyreel: stopped. Everything so far is saved; the same line goes on."
    assert errors.count("storyreel: ") == 1
    assert json.loads((tmp_path / "try" / "position.json").read_text())["steps"] > 0
