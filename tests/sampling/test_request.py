"""Every mistake that needs no model is told without torch; what a run then does is in test_run.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from storyreel.assets import DEMO_MODEL
from storyreel.errors import StoryreelError
from storyreel.sampling.request import Request, check_is_model, choose_segments, find_hub_id
from storyreel.storyboard.schema import Storyboard, StoryboardSegment

MISTAKES = [
    ({"seconds": 7}, "--seconds is 7, but it must be one of 3, 9, 18, 30, 63. Try 9."),
    ({"seconds": 3, "seed": -1}, "--seed is -1"),
    ({"steps": 0}, "--steps is 0, but it must be 1 or more"),
    ({"guidance": 0.5}, "guidance is 0.5, but it must be 1"),
    ({"guidance": float("nan")}, "guidance is nan"),
    ({"model": "nowhere"}, "There is no model folder nowhere"),
    ({"model": "."}, "holds no model_index.json"),
    (
        {"model": "THUDM/CogVideoX-2b"},
        "looks like an id of the Hugging Face hub, and storyreel does not download by itself. If a storyreel model is "
        "there: hf download THUDM/CogVideoX-2b --local-dir CogVideoX-2b, then --model CogVideoX-2b.",
    ),
    ({"model": "https://huggingface.co/THUDM/CogVideoX-2b"}, ": hf download THUDM/CogVideoX-2b --local-dir"),
    ({"out": "."}, ". is a folder. Give the name of a file in it: video.mp4."),
    ({"out": ".."}, "is a folder. Give the name"),
    ({"out": ""}, "is a folder. Give the name"),
    ({"out": "pie.json/v.mp4"}, "there is no folder pie.json"),
    ({"out": "/proc/v.mp4"}, "/proc/v.mp4 cannot be written: "),
]


@pytest.mark.parametrize(("options", "complaint"), MISTAKES)
def test_a_mistake_is_told_in_one_line_and_leaves_nothing(options, complaint, story_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoryreelError) as caught:
        request("pie.json", **options).check()
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["pie.json"]


def test_checking_loads_neither_torch_nor_diffusers(story_file):
    code = (
        "import sys\nfrom pathlib import Path\nfrom storyreel.sampling.request import Request\n"
        "story, model = map(Path, sys.argv[1:])\n"
        "Request(source=story, out=story.with_suffix('.mp4'), model=model).check()\n"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)\n"
    )
    model = story_file.parent / "model"
    model.mkdir()
    (model / "model_index.json").touch()
    subprocess.run([sys.executable, "-c", code, story_file, model], check=True, timeout=60)


def test_what_is_right_is_the_storyboard(story_file, saved_model, story):
    out = story_file.with_suffix(".mp4")
    assert (
        request(story_file, out=out, model=saved_model, seconds=3).check().model_dump() == story.first(1).model_dump()
    )
    assert request(story_file, out=out, model=saved_model).check().model_dump() == story.model_dump()
    assert os.listdir(story_file.parent) == ["pie.json"]


def test_one_segment_is_one_segment():
    with pytest.raises(StoryreelError, match="the storyboard has 1 segment, 3 s"):
        choose_segments(Storyboard(segments=[StoryboardSegment(text="A cat.")]), 9)


def test_the_bundled_model_is_the_default(story_file):
    assert request(story_file).folder == DEMO_MODEL


def test_a_model_is_known_by_its_index(tmp_path):
    (tmp_path / "model_index.json").write_text(json.dumps({}))
    check_is_model(tmp_path)


@pytest.mark.parametrize("folder", ["runs/demo", "demo", "a/b/c", "/runs/demo", "../demo", "~/demo", "a b/c"])
def test_what_looks_like_a_folder_is_no_hub_id(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert find_hub_id(Path(folder)) is None


def request(source, out="v.mp4", model=DEMO_MODEL, **options):
    return Request(source=Path(source), out=Path(out), model=None if model is DEMO_MODEL else Path(model), **options)
