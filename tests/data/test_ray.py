"""Steps on a local Ray of two cores end with the files of a run without it."""

import hashlib
import importlib.util
import signal
import subprocess
import sys
import time

import pytest

from storyreel.data import build
from storyreel.data.joined_toons import joined_film
from storyreel.data.manifest import MANIFEST
from storyreel.data.segments import SegmentsConfig

if importlib.util.find_spec("ray") is None:
    pytest.skip("needs ray: pip install '.[ray]'", allow_module_level=True)

CONFIG = build.BuildConfig(segments=SegmentsConfig(width=72, height=48))
# A process of its own: Ray's warnings are not ours, and its cluster ends with it.
SCRIPT = """
import sys
from pathlib import Path
from storyreel.data import build, ray_cluster
from storyreel.data.segments import SegmentsConfig
from storyreel.errors import StoryreelError

config = build.BuildConfig(segments=SegmentsConfig(width=72, height=48))
ray_cluster.connect("local", 2)
print("begun", flush=True)
try:
    build.run(Path(sys.argv[1]), Path(sys.argv[2]), config, run_each=ray_cluster.each_on_ray())
except StoryreelError as error:
    print(type(error).__name__, error)
"""
NO_RESULTS = ("seen.json", ".lock")


def hashes(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in NO_RESULTS)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def on_ray(films, out):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(films), str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def films(tmp_path_factory, film_writer):
    folder = tmp_path_factory.mktemp("films")
    for seed in (700, 701):
        film_writer(folder / f"{seed}.mp4", joined_film(seed, 3, 48, 72).frames, 12)
    (folder / "broken.mp4").write_bytes(b"\0" * 100)
    return folder


@pytest.fixture(scope="module")
def without(films, tmp_path_factory):
    out = tmp_path_factory.mktemp("without")
    build.run(films, out, CONFIG, workers=1)
    return hashes(out)


def test_killed_and_run_again_it_makes_the_same_files(films, without, tmp_path):
    with on_ray(films, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n", process.stderr and process.stderr.read()
        deadline = time.monotonic() + 600
        while not list(tmp_path.glob("probe/items/*.json")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "segments" / MANIFEST).exists()
    with on_ray(films, tmp_path) as process:
        said, complaints = process.communicate(timeout=900)
    assert process.returncode == 0, complaints
    assert said == "begun\n"
    assert hashes(tmp_path) == without


def test_a_mistake_on_a_worker_is_one_line(films, tmp_path):
    from storyreel.data import probe, scenes

    probe.run(films, tmp_path / "probe", probe.ProbeConfig(), workers=1)
    scenes.run(tmp_path / "probe", tmp_path / "scenes", scenes.ScenesConfig(), workers=1)
    moved = films.with_name("moved")
    code = SCRIPT.replace(
        "build.run(Path(sys.argv[1]), Path(sys.argv[2]), config, run_each=",
        "from storyreel.data import segments; segments.run("
        "Path(sys.argv[2]) / 'scenes', Path(sys.argv[2]) / 'segments', config.segments, run_each=",
    )
    films.rename(moved)
    try:
        finished = subprocess.run(
            [sys.executable, "-c", code, str(films), str(tmp_path)], capture_output=True, text=True, timeout=900
        )
    finally:
        moved.rename(films)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[1].startswith("DataError ")
    assert "is gone or has changed" in finished.stdout


def test_an_address_without_a_cluster_is_told():
    code = (
        "from storyreel.data import ray_cluster\n"
        "from storyreel.errors import DataError\n"
        "try:\n    ray_cluster.connect('127.0.0.1:1')\n"
        "except DataError as error:\n    print(error)\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=900)
    assert "there is no Ray cluster at 127.0.0.1:1" in finished.stdout, finished.stderr
