"""`storyreel generate` as a user meets it: mistakes answer at once, and the bundled model makes a video."""

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

from storyreel.cli.main import main

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
