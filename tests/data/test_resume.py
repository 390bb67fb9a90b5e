"""Killed at any moment and run again, a build ends with the files of an unbroken run."""

import hashlib
import random
import signal
import subprocess
import sys
import time

import pytest

from storyreel.data import build
from storyreel.data.joined_toons import joined_film
from storyreel.data.manifest import MANIFEST
from storyreel.data.segments import SegmentsConfig

CONFIG = build.BuildConfig(segments=SegmentsConfig(width=72, height=48))
SCRIPT = """
import sys
from pathlib import Path
from storyreel.data import build
from storyreel.data.segments import SegmentsConfig
if __name__ == "__main__":
    config = build.BuildConfig(segments=SegmentsConfig(width=72, height=48))
    print("begun", flush=True)
    build.run(Path(sys.argv[1]), Path(sys.argv[2]), config, workers=int(sys.argv[3]))
"""
# The time of each film when it was hashed is no result.
NO_RESULTS = ("seen.json", ".lock")


def hashes(folder):
    """SHA-256 of every file of a data set."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in NO_RESULTS)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def films(tmp_path_factory, film_writer):
    """Three films of joined cartoons, one of them a copy, and a file that is no film."""
    folder = tmp_path_factory.mktemp("films")
    for seed, rate in ((700, 12), (701, 10)):
        film_writer(folder / f"{seed}.mp4", joined_film(seed, 4, 48, 72, joins=("cut", "fade")).frames, rate)
    (folder / "copy.mp4").write_bytes((folder / "700.mp4").read_bytes())
    (folder / "broken.mp4").write_bytes(b"\0" * 100)
    return folder


@pytest.fixture(scope="module")
def unbroken(films, tmp_path_factory):
    """(hashes, seconds) of a run that nobody disturbed."""
    out = tmp_path_factory.mktemp("unbroken")
    start = time.monotonic()
    build.run(films, out, CONFIG, workers=1)
    return hashes(out), time.monotonic() - start


def test_the_unbroken_run_made_everything(unbroken):
    names = set(unbroken[0])
    assert {f"{step}/{MANIFEST}" for step in ("probe", "scenes", "segments")} <= names
    assert sum(name.endswith(".mp4") for name in names) >= 4


def test_two_workers_make_the_same_files_as_one(films, unbroken, tmp_path):
    build.run(films, tmp_path, CONFIG, workers=2)
    assert hashes(tmp_path) == unbroken[0]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize(("seed", "workers"), [(0, 1), (1, 1), (2, 2)])
def test_killed_again_and_again(seed, workers, films, unbroken, tmp_path):
    script, out = tmp_path / "run.py", tmp_path / "out"
    script.write_text(SCRIPT)
    chance = random.Random(seed)
    for _ in range(4):
        command = [sys.executable, str(script), str(films), str(out), str(workers)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0.05, 0.7) * unbroken[1])
            process.send_signal(signal.SIGKILL)
    wait_for_workers(out)
    build.run(films, out, CONFIG, workers=1)
    assert hashes(out) == unbroken[0]


def wait_for_workers(out):
    """Workers of a killed run end by themselves, in a moment."""
    deadline = time.monotonic() + 20
    while list(out.rglob(".*.part")) and time.monotonic() < deadline:
        before = {path: path.stat().st_mtime_ns for path in out.rglob(".*.part")}
        time.sleep(0.5)
        if {path: path.stat().st_mtime_ns for path in out.rglob(".*.part")} == before:
            return


def test_a_run_that_changes_nothing_writes_nothing_new(films, tmp_path):
    build.run(films, tmp_path, CONFIG, workers=1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")}
    first = hashes(tmp_path)
    build.run(films, tmp_path, CONFIG, workers=1)
    assert hashes(tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")} == before


def test_another_quality_makes_the_takes_anew_and_no_scenes(films, tmp_path):
    build.run(films, tmp_path, CONFIG, workers=1)
    before = hashes(tmp_path)
    build.run(films, tmp_path, build.BuildConfig(segments=SegmentsConfig(width=72, height=48, crf=30)), workers=1)
    changed = {name for name, digest in hashes(tmp_path).items() if before.get(name) != digest}
    assert {name.split("/")[0] for name in changed} == {"segments"}
    assert {name for name in before if name.endswith(".mp4")} <= changed
