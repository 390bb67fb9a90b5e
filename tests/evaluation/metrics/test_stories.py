"""Stories beside videos: where they are read from, and what they say of each segment."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from storyreel.errors import DataError, StoryboardError
from storyreel.evaluation.metrics.stories import story_of


def test_the_truth_tells_who_is_where(drawn: Path) -> None:
    story = story_of(drawn)
    assert story is not None
    assert story.toon is not None
    assert story.scenes == (0, 0, 0, 1, 1, 2, 3)
    assert story.places[3] == story.places[6]
    assert story.truth is not None


def test_texts_in_the_toons_words_tell_nearly_the_same(drawn: Path, tmp_path: Path) -> None:
    shutil.copyfile(drawn.with_suffix(".json"), tmp_path / "told.json")
    told, true = story_of(tmp_path / "told.mp4"), story_of(drawn)
    assert told is not None
    assert true is not None
    assert told.truth is None
    assert told.toon is not None
    assert true.toon is not None
    assert [own.place for own in told.toon] == [own.place for own in true.toon]
    assert [own.night for own in told.toon] == [own.night for own in true.toon]
    assert sum(a.species == b.species for a, b in zip(told.toon, true.toon, strict=True)) >= 5


def test_the_record_of_a_run_comes_first(tmp_path: Path) -> None:
    segments = [
        {"text": "Suddenly Tom chases Jerry through a cathedral."},
        {"text": "There Jerry hides.", "scene_start": True},
    ]
    record = {"seed": 1, "storyboard": {"title": "x", "segments": segments}}
    (tmp_path / "made.run.json").write_text(json.dumps(record), encoding="utf-8")
    (tmp_path / "made.json").write_text("{", encoding="utf-8")
    story = story_of(tmp_path / "made.mp4")
    assert story is not None
    assert story.toon is None
    assert story.scenes == (0, 1)
    assert [sorted(own) for own in story.characters] == [["Jerry", "Tom"], ["Jerry"]]


def test_no_story_and_broken_ones(tmp_path: Path, drawn: Path) -> None:
    video = tmp_path / "clip.mp4"
    assert story_of(video) is None
    (tmp_path / "clip.json").write_text("[}", encoding="utf-8")
    with pytest.raises(StoryboardError, match=r"clip\.json: broken JSON"):
        story_of(video)
    (tmp_path / "clip.run.json").write_text('{"seed": 1}', encoding="utf-8")
    with pytest.raises(DataError, match=r"clip\.run\.json is no record"):
        story_of(video)
    (tmp_path / "clip.run.json").unlink()
    shutil.copyfile(drawn.with_suffix(".json"), tmp_path / "clip.json")
    truth = tmp_path / "clip.truth.json.gz"
    truth.write_bytes(b"not gzip")
    with pytest.raises(DataError, match="is no truth"):
        story_of(video)
    with gzip.open(truth, "wt") as file:
        json.dump({"story": {"segments": [{"text": "Other."}]}}, file)
    with pytest.raises(DataError, match="another story"):
        story_of(video)
