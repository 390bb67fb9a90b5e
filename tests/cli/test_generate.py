"""`storyreel generate` as a user meets it: mistakes answer at once, and the bundled model makes a video."""

import dataclasses
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from storyreel.assets import DEMO_MODEL
from storyreel.cli import generate
from storyreel.cli.main import COMMANDS, main
from storyreel.errors import ConfigError, Stopped
from storyreel.sampling import device

STORY = {
    "segments": [
        {"text": "A cat eats a pie in the kitchen.", "scene_start": True},
        {"text": "The cat runs."},
        {"text": "The cat sleeps."},
    ]
}


@pytest.fixture
def storyboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "pie.json"
    path.write_text(json.dumps(STORY))
    return path


@pytest.mark.parametrize(
    ("content", "options", "complaint"),
    [
        (None, [], "nope.json: no such file. Did you mean pie.json?"),
        ('{"segments": [', [], "broken JSON at line 1, column 15"),
        ('{"segments": []}', [], "the story is empty"),
        ('{"segments": [{"text": " "}]}', [], "segment 1 (line 1) has no text"),
        (json.dumps(STORY), ["--story", "1"], "but number 1 is asked for"),
        (json.dumps(STORY), ["--out", "missing/a.mp4"], "there is no folder missing"),
        (json.dumps(STORY), ["--out", "a.avi"], "videos are MP4 files"),
        (json.dumps(STORY), ["--seconds", "4"], "--seconds is 4, but it must be one of 3, 9, 18, 30, 63"),
        (json.dumps(STORY), ["--seconds", "18"], "--seconds is 18, but the storyboard has 3 segments, 9 s"),
        (json.dumps(STORY), ["--model", "missing"], "There is no model folder missing"),
        (json.dumps(STORY), ["--seed", "-1"], "--seed is -1"),
        (json.dumps(STORY), ["--device", "cuda:77"], "--device is cuda:77"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    content: str | None, options: list[str], complaint: str, storyboard: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "nope.json"
    if content is not None:
        name = storyboard.name
        storyboard.write_text(content)
    assert main(["generate", name, *options]) == 1
    output = capsys.readouterr()
    # All but the device, which torch knows, is told before the large libraries load.
    assert ("load the libraries" in output.err) == ("--device" in options)
    last = output.err.splitlines()[-1]
    assert last.startswith("storyreel: ")
    assert complaint in last
    assert output.out == ""
    assert os.listdir() == ["pie.json"]


def test_a_missing_storyboard_is_told_before_the_libraries_load(storyboard: Path) -> None:
    command = [sys.executable, "-c", "import sys; from storyreel.cli.main import main; sys.exit(main())"]
    start = time.monotonic()
    finished = subprocess.run([*command, "generate", "nope.json"], capture_output=True, text=True, timeout=60)
    assert finished.returncode == 1
    assert finished.stderr == "storyreel: nope.json: no such file. Did you mean pie.json?\n"
    assert time.monotonic() - start < 3


def test_the_bundled_model_makes_a_video_and_says_how_to_make_it_again(
    storyboard: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "pie.json", "--seconds", "3", "--steps", "2", "--seed", "5", "--device", "cpu"]) == 0
    output = capsys.readouterr()
    assert sorted(os.listdir()) == ["pie.json", "pie.mp4", "pie.run.json", "pie.sheet.png"]
    assert "denoise" in output.err
    again = output.out.splitlines()[-1].removeprefix("the same again: ")
    assert shlex.split(again)[:3] == ["storyreel", "generate", "pie.json"]
    first = frames_of(Path("pie.mp4"))
    assert first.shape == (49, 128, 192, 3)
    assert main([*shlex.split(again)[1:], "--out", "again.mp4"]) == 0
    assert np.array_equal(frames_of(Path("again.mp4")), first)


def frames_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_too_little_memory_is_told_before_anything_is_begun(
    storyboard: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "available_memory_bytes", lambda: 700 * 2**20)
    monkeypatch.setattr(device, "multiplies_bfloat16", lambda: True)
    assert main(["generate", "pie.json", "--device", "cpu"]) == 1
    output = capsys.readouterr()
    assert output.err.splitlines()[-1] == (
        "storyreel: free memory is 0.7 GiB, but 9 s of video need about 1.1. "
        "Close other programs, or begin anyway with --force."
    )
    assert "load the model" not in output.err
    assert os.listdir() == ["pie.json"]
    options = ["--device", "cpu", "--seconds", "3", "--steps", "1", "--force"]
    assert main(["generate", "pie.json", *options]) == 0


def test_a_shorter_video_that_fits_is_the_way_out() -> None:
    gib = 2**30
    with pytest.raises(
        ConfigError, match=r"63 s of video need about 1\.6\. Close other programs, try --seconds 30, or"
    ):
        generate.check_memory(DEMO_MODEL, 63, gib, 2)
    generate.check_memory(DEMO_MODEL, 30, gib, 2)
    # A little less than the estimate is no reason to refuse, nor is a system that does not tell, nor a folder that is
    # no model: what is wrong with that is told later.
    generate.check_memory(DEMO_MODEL, 63, int(1.4 * gib), 2)
    generate.check_memory(DEMO_MODEL, 63, None, 2)
    generate.check_memory(Path("nowhere"), 63, 0, 2)


def test_ctrl_c_names_what_is_kept(
    storyboard: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(options: object) -> None:
        raise Stopped("pie.partial.mp4 is kept: the first 1.3 of 9 s. The same line begins again.")

    monkeypatch.setitem(COMMANDS, "generate", dataclasses.replace(COMMANDS["generate"], run=stop))
    assert main(["generate", "pie.json"]) == 130
    assert capsys.readouterr().err == (
        "storyreel: stopped. pie.partial.mp4 is kept: the first 1.3 of 9 s. The same line begins again.\n"
    )


def test_a_killed_run_is_told_first_and_its_files_go(
    storyboard: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The number is this process's own, as a container's runs all have one; memory is still short.
    Path(f".pie.mp4.{os.getpid()}.part").touch()
    Path("pie.preview.png").touch()
    monkeypatch.setattr(generate, "available_memory_bytes", lambda: 0)
    assert main(["generate", "pie.json", "--device", "cpu"]) == 1
    first = capsys.readouterr().err.splitlines()[0]
    assert first == (
        "The last run of pie.mp4 ended without a word, probably killed for memory; what it left is removed."
    )
    assert os.listdir() == ["pie.json"]
