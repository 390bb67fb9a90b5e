import json
import os
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from storyreel.errors import ConfigError, OutputError, Stopped, StoryboardError, StoryreelError, WeightsError
from storyreel.sampling.device import choose_device
from storyreel.sampling.request import choose_segments
from storyreel.sampling.run import generate
from storyreel.sampling.video import probe_video, read_frames
from storyreel.storyboard.schema import Storyboard, StoryboardSegment


class Watcher:
    """Notes what a run tells, and can stop it as Ctrl-C does."""

    def __init__(self, folder=None, stop_in="", after=1):
        self.stages, self.advanced, self.notes, self.previews = [], {}, [], []
        self.folder, self.stop_in, self.after = folder, stop_in, after

    def stage(self, name, total=None):
        self.stages.append((name, total))
        self.advanced[name] = 0

    def advance(self, passes=1):
        name = self.stages[-1][0]
        self.advanced[name] += passes
        if self.folder is not None:
            self.previews += [(name, path.name) for path in self.folder.glob("*.preview.png")]
        if name == self.stop_in and self.advanced[name] >= self.after:
            raise KeyboardInterrupt

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def make(story_file, saved_model, tmp_path):
    def make(**options):
        options = {"model": saved_model, "out": tmp_path / "v.mp4", "device": "cpu", **options}
        return generate(options.pop("storyboard", story_file), **options)

    return make


def test_a_run_makes_a_video_a_sheet_and_a_record(make, tmp_path, story):
    watcher = Watcher(tmp_path)
    made = make(progress=watcher, seed=3)
    facts = probe_video(made.video)
    assert (facts.frames, facts.width, facts.height, facts.fps, facts.fast_start) == (145, 48, 32, 16.0, True)
    assert "seed 3" in facts.comment
    assert sorted(os.listdir(tmp_path)) == ["pie.json", "v.mp4", "v.run.json", "v.sheet.png"]
    record = json.loads(made.record.read_text())
    assert record["settings"].pop("vae_dtype") in ("float32", "bfloat16")
    assert record["settings"].pop("forward") in ("plain", "mixed")
    assert record["settings"] == {
        "steps": 3, "guidance": 2.0, "solver": "ddim", "seed": 3, "device": "cpu", "dtype": "float32",
    }  # fmt: skip
    assert record["video"] == {"file": "v.mp4", "frames": 145, "height": 32, "width": 48, "fps": 16}
    assert Storyboard.model_validate(record["storyboard"]) == story
    assert record["model"]["recipe"] == "tiny"
    assert record["versions"]["torch"]
    assert record["peak_memory_mib"]["memory"] > 50
    assert record["command"] == made.command
    assert set(record["took_seconds"]) == {
        "read the storyboard",
        "load the model",
        "denoise",
        "decode and write frames",
    }


def test_progress_tells_stages_counts_and_where_to_look(make, tmp_path):
    watcher = Watcher(tmp_path)
    make(progress=watcher)
    assert watcher.stages == [
        ("read the storyboard", None), ("load the model", 5), ("denoise", 3), ("decode and write frames", 145)
    ]  # fmt: skip
    assert watcher.advanced == {
        "read the storyboard": 0,
        "load the model": 5,
        "denoise": 3,
        "decode and write frames": 145,
    }
    assert any("v.preview.png" in note for note in watcher.notes)
    assert watcher.previews.count(("denoise", "v.preview.png")) == 3


def test_the_sheet_has_each_segments_middle_frame(make):
    made = make()
    frames, sheet = list(read_frames(made.video)), np.asarray(Image.open(made.sheet)).astype(float)
    for segment, frame in enumerate((22, 74, 122)):
        cell = sheet[4:132, 4 + 196 * segment : 196 + 196 * segment]
        assert abs(cell.mean() - frames[frame].mean()) < 3


def test_the_command_in_the_record_makes_the_same_pixels_again(make, tmp_path):
    made = make(seed=5, seconds=3, steps=2, guidance=3.0, solver="dpm-ode")
    words = shlex.split(made.command)
    assert words[:2] == ["storyreel", "generate"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    decisive = ("out", "model", "seconds", "steps", "guidance", "solver", "seed", "device", "forward")
    assert set(options) == {f"--{name}" for name in decisive}
    again = make(
        storyboard=words[2],
        model=options["--model"],
        out=tmp_path / "again.mp4",
        seconds=int(options["--seconds"]),
        steps=int(options["--steps"]),
        guidance=float(options["--guidance"]),
        solver=options["--solver"],
        seed=int(options["--seed"]),
        device=options["--device"],
    )
    assert all(np.array_equal(a, b) for a, b in zip(read_frames(made.video), read_frames(again.video), strict=True))


def test_seconds_take_the_first_segments(make, story):
    made = make(seconds=3)
    assert made.seconds == 3
    assert probe_video(made.video).frames == 49
    assert json.loads(made.record.read_text())["texts_as_read"] == ["<start_scene> The cat eats the pie. <end_scene>"]


def test_the_default_output_has_the_storyboards_name_here(story_file, saved_model, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    made = generate(story_file, saved_model, seconds=3, steps=1, device="cpu")
    assert sorted(os.listdir()) == ["pie.mp4", "pie.run.json", "pie.sheet.png"]
    assert str(made.video) == "pie.mp4"


def test_unknown_words_and_unusual_lengths_are_warnings(make, story, tmp_path):
    story.segments[0].text = "The kitty eats the telescope."
    longer = story.model_copy(update={"segments": [*story.segments, *[StoryboardSegment(text="A cat.")] * 2]})
    (tmp_path / "w.json").write_text(longer.model_dump_json())
    watcher = Watcher()
    made = make(storyboard=tmp_path / "w.json", steps=1, progress=watcher)
    assert '"kitty" (read as cat), "telescope"' in made.warnings[0]
    assert "segment 1 (line 1)" in made.warnings[0]
    assert "15 s is longer than anything that this model was trained on (9 s)" in made.warnings[1]
    assert watcher.notes[:2] == [f"warning: {warning}" for warning in made.warnings]
    assert json.loads(made.record.read_text())["texts_as_read"][0].startswith(
        "<start_scene> The cat eats the telescope."
    )


@pytest.mark.parametrize(("stage", "after"), [("load the model", 2), ("denoise", 2), ("decode and write frames", 20)])
def test_ctrl_c_leaves_nothing(make, tmp_path, stage, after):
    with pytest.raises(KeyboardInterrupt):
        make(progress=Watcher(stop_in=stage, after=after))
    assert os.listdir(tmp_path) == ["pie.json"]


def test_ctrl_c_keeps_an_older_video_whole(make, tmp_path):
    first = make(steps=1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        make(progress=Watcher(stop_in="decode and write frames"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert first.video.name in before


def test_on_demand_ctrl_c_leaves_the_frames_so_far(make, tmp_path):
    with pytest.raises(KeyboardInterrupt) as stopped:
        make(progress=Watcher(stop_in="decode and write frames", after=30), keep_partial=True, steps=1)
    assert sorted(os.listdir(tmp_path)) == ["pie.json", "v.partial.mp4"]
    facts = probe_video(tmp_path / "v.partial.mp4")
    assert 30 <= facts.frames < 145
    partial = tmp_path / "v.partial.mp4"
    assert str(stopped.value) == f"{partial} is kept: the first {facts.seconds:.1f} of 9 s. The same line begins again."


@pytest.mark.parametrize(
    ("stage", "keep_partial", "line"),
    [
        ("denoise", True, "Nothing is kept, for no frame was written yet. The same"),
        ("denoise", False, "no frame was written yet; from then on --keep-partial keeps those that are. The same"),
        ("decode and write frames", False, "Nothing is kept; --keep-partial would have kept the first 0.6 of 9 s. The"),
    ],
)
def test_ctrl_c_says_that_nothing_is_kept(make, tmp_path, stage, keep_partial, line):
    with pytest.raises(Stopped) as stopped:
        make(progress=Watcher(stop_in=stage), keep_partial=keep_partial, steps=2)
    assert line in str(stopped.value)
    assert os.listdir(tmp_path) == ["pie.json"]


KILLED = """
import os, signal, sys
from storyreel.sampling.progress import Silent
from storyreel.sampling.run import generate
class Killed(Silent):
    def note(self, text):
        os.kill(os.getpid(), signal.SIGKILL)
generate(sys.argv[1], sys.argv[2], sys.argv[3], device="cpu", progress=Killed())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_run_is_told_by_the_next_one_and_leaves_nothing(make, tmp_path, story_file, saved_model):
    command = [sys.executable, "-c", KILLED, story_file, saved_model, tmp_path / "v.mp4"]
    assert subprocess.run(command, timeout=120).returncode == -signal.SIGKILL
    left = sorted(os.listdir(tmp_path))
    assert left[0].startswith(".v.mp4.")
    assert left[1:] == ["pie.json", "v.preview.png"]
    watcher = Watcher()
    make(progress=watcher, seconds=3, steps=1)
    assert "v.mp4 ended without a word, probably killed for memory" in watcher.notes[0]
    assert sorted(os.listdir(tmp_path)) == ["pie.json", "v.mp4", "v.run.json", "v.sheet.png"]
    watcher = Watcher()
    make(progress=watcher, seconds=3, steps=1)
    assert not any("without a word" in note for note in watcher.notes)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"seconds": 7}, ConfigError, "--seconds is 7, but it must be one of 3, 9, 18, 30, 63. Try 9."),
        ({"seconds": 6}, ConfigError, "--seconds is 6, but it must be one of"),
        ({"seconds": 18}, StoryboardError, "--seconds is 18, but the storyboard has 3 segments, 9 s."),
        ({"steps": 0}, ConfigError, "--steps is 0, but it must be 1 or more"),
        ({"steps": 2000}, ConfigError, "steps is 2000, but it must be 1 to 1000"),
        ({"guidance": 0.0}, ConfigError, "guidance is 0.0, but it must be 1"),
        ({"solver": "euler"}, ConfigError, "solver is euler, but it must be one of ddim, dpm, dpm-ode"),
        ({"seed": -1}, ConfigError, "--seed is -1, but it must be 0 to"),
        ({"device": "gpu9"}, ConfigError, "--device is gpu9, but PyTorch cannot use it here"),
        ({"story": 4}, StoryboardError, "has 1 story, number 0, but number 4 is asked for"),
        ({"storyboard": "nowhere.json"}, StoryboardError, "nowhere.json: no such file"),
        ({"model": "nowhere"}, WeightsError, "There is no model folder nowhere"),
        ({"out": "nowhere/v.mp4"}, OutputError, "there is no folder nowhere"),
        ({"out": "v.gif"}, OutputError, "videos are MP4 files"),
    ],
)
def test_every_mistake_is_one_line_and_leaves_nothing(make, tmp_path, monkeypatch, options, kind, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind) as caught:
        make(**options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, StoryreelError)
    assert os.listdir(tmp_path) == ["pie.json"]


def test_a_text_too_long_names_segment_line_and_tokens(make, story, tmp_path):
    story.segments[1].text = "the cat " * 20
    (tmp_path / "l.json").write_text(json.dumps(story.model_dump(), indent=1))
    with pytest.raises(StoryboardError, match=r"segment 2 \(line 10\) has 42 tokens, but at most 22 fit: 20 too many"):
        make(storyboard=tmp_path / "l.json")
    assert sorted(os.listdir(tmp_path)) == ["l.json", "pie.json"]


def test_a_run_does_not_overwrite_its_own_storyboard(make, story, tmp_path):
    (tmp_path / "v.run.json").write_text(story.model_dump_json())
    with pytest.raises(OutputError, match=r"v\.run\.json would be overwritten"):
        make(storyboard=tmp_path / "v.run.json")
    assert json.loads((tmp_path / "v.run.json").read_text()) == story.model_dump()


def test_a_model_without_a_colour_map_runs_without_previews(make, saved_model, tmp_path):
    import shutil

    from storyreel.sampling.model_folder import ModelInfo

    folder = shutil.copytree(saved_model, tmp_path / "plain")
    ModelInfo.read(folder).model_copy(update={"latent_rgb": None}).write(folder)
    watcher = Watcher(tmp_path)
    make(model=folder, progress=watcher, steps=1, seconds=3)
    assert watcher.previews == []
    assert watcher.notes == []


def test_choose_segments_takes_all_or_the_beginning():
    story = Storyboard(segments=[StoryboardSegment(text=str(n)) for n in range(4)])
    assert choose_segments(story, None) == story
    assert [segment.text for segment in choose_segments(story, 9).segments] == ["0", "1", "2"]


def test_choose_device_prefers_a_gpu():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == torch.device("cpu")
