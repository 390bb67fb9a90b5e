"""Killed at any moment and run again, the steps with models end with the files of an unbroken run."""

import hashlib
import shutil
import subprocess
import sys
import time

import pytest
import torch

from storyreel.data import build_examples
from storyreel.data.build_examples import BuildExamplesConfig
from storyreel.data.examples import ExamplesConfig

CONFIG = BuildExamplesConfig(examples=ExamplesConfig(stages=(3, 9)))
# Forks what it kills, so that the libraries are imported once.
SCRIPT = """
import os, random, signal, sys, time, warnings
from pathlib import Path
import torch
from storyreel.data import build_examples
from storyreel.data.build_examples import BuildExamplesConfig
from storyreel.data.examples import ExamplesConfig
from storyreel.data.manifest import MANIFEST

torch.set_num_threads(1)
warnings.filterwarnings("ignore", message=".*fork.*")
out, model, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
config = BuildExamplesConfig(examples=ExamplesConfig(stages=(3, 9)))
chance, killed = random.Random(0), 0
for _ in range(12):
    child = os.fork()
    if not child:
        try:
            build_examples.run(out, config, model=model, workers=1)
        finally:
            os._exit(0)
    time.sleep(chance.uniform(0.02, 0.25) * seconds)
    os.kill(child, signal.SIGKILL)
    killed += os.waitpid(child, 0)[1] == signal.SIGKILL
print(killed, (out / "assembled" / MANIFEST).exists())
"""


def hashes(folder):
    """SHA-256 of every file that the steps with models made."""
    steps = ("latents", "embeddings", "assembled")
    files = (path for step in steps for path in (folder / step).rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def copied(captioned, folder):
    for name in ("probe", "scenes", "segments", "captions"):
        shutil.copytree(captioned / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def unbroken_and_seconds(captioned, model, tmp_path_factory):
    out = copied(captioned, tmp_path_factory.mktemp("unbroken"))
    start = time.monotonic()
    made, report = build_examples.run(out, CONFIG, model=model, workers=1)
    assert set(made) == {"latents", "embeddings", "assemble"}
    assert report is not None
    assert report.is_good
    return out, time.monotonic() - start


@pytest.fixture(scope="module")
def unbroken(unbroken_and_seconds):
    return unbroken_and_seconds[0]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_again_and_again(captioned, model, unbroken_and_seconds, tmp_path):
    unbroken, seconds = unbroken_and_seconds
    out = copied(captioned, tmp_path / "out")
    command = [sys.executable, "-c", SCRIPT, str(out), str(model), str(seconds)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout.split()[0]) >= 2, finished.stdout
    build_examples.run(out, CONFIG, model=model, workers=1)
    assert hashes(out) == hashes(unbroken)


@pytest.mark.slow
def test_two_workers_make_the_same_files_as_one(captioned, model, unbroken, tmp_path):
    out = copied(captioned, tmp_path / "out")
    build_examples.run(out, CONFIG, model=model, workers=2)
    assert hashes(out) == hashes(unbroken)


def test_the_number_of_threads_changes_no_file(captioned, model, unbroken, tmp_path):
    out = copied(captioned, tmp_path / "out")
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        build_examples.run(out, CONFIG, model=model, workers=1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
    assert hashes(out) == hashes(unbroken)


def test_without_captions_it_ends_after_the_latents(unbroken, model, tmp_path):
    out = shutil.copytree(unbroken, tmp_path / "out")
    shutil.rmtree(out / "captions")
    made, report = build_examples.run(out, CONFIG, model=model, workers=1)
    assert set(made) == {"latents"}
    assert report is None


def test_a_run_that_changes_nothing_writes_nothing_new(unbroken, model, tmp_path):
    out = shutil.copytree(unbroken, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.tar")}
    told = []
    build_examples.run(out, CONFIG, model=model, workers=1, on_estimate=told.append)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.tar")} == before
    assert told == []
    assert hashes(out) == hashes(unbroken)


def test_another_split_moves_the_examples_and_encodes_nothing(unbroken, model, tmp_path):
    out = shutil.copytree(unbroken, tmp_path / "out")
    examples = ExamplesConfig(stages=(3, 9), validation_share=1.0)
    encoded = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    build_examples.run(out, BuildExamplesConfig(examples=examples), model=model, workers=1)
    assert {
        path: path.stat().st_mtime_ns for path in out.rglob("latents/takes/*/*.safetensors")
    }.items() <= encoded.items()
    assert not list((out / "assembled" / "shards").glob("train/**/*.tar"))
    assert list((out / "assembled" / "shards").glob("validation/**/*.tar"))
