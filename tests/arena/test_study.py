"""Studies from folders and tables, and what a study refuses."""

from pathlib import Path

import pytest

from storyreel.arena.study import AXES, Axis, Study, study_from_csv, study_from_folder
from storyreel.errors import DataError


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_a_folder_a_method_is_a_study(tmp_path: Path) -> None:
    for name in ("b/two.mp4", "b/one.MP4", "a/one.mp4", "a/two.mp4", "a/notes.txt", ".hidden/x.mp4"):
        put(tmp_path / name)
    study, videos = study_from_folder(tmp_path)
    assert study.methods == ("a", "b")
    assert study.stories == ("one", "two")
    assert study.axes == AXES
    assert videos["b", "one"] == tmp_path / "b/one.MP4"
    assert len(videos) == 4


def test_a_missing_video_is_named(tmp_path: Path) -> None:
    for name in ("a/one.mp4", "a/two.mp4", "b/one.mp4"):
        put(tmp_path / name)
    with pytest.raises(DataError, match="method b has no video of two"):
        study_from_folder(tmp_path)


def test_a_table_is_a_study(tmp_path: Path) -> None:
    table = tmp_path / "study.csv"
    table.write_text("method,story,video\nb,one,x/1.mp4\na,one,2.mp4\n", encoding="utf-8-sig")
    study, videos = study_from_csv(table)
    assert study.methods == ("b", "a")
    assert videos["b", "one"] == tmp_path / "x/1.mp4"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name,story,video\n", "begins with name, story, video"),
        ("", "begins with nothing"),
        ("method,story,video\na,one\n", "line 2"),
        ("method,story,video\na,one,x,y\n", "line 2"),
        ("method,story,video\na,one,x\na,one,y\n", "line 3: a has one already"),
        ("method,story,video\na,one,x\n", "number of methods is 1"),
        ("method,story,video\na,one,x\nb,two,x\n", "a has no video of two"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    table = tmp_path / "study.csv"
    table.write_text(text)
    with pytest.raises(DataError, match=complaint):
        study_from_csv(table)


def test_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder"):
        study_from_folder(tmp_path / "none")
    with pytest.raises(DataError, match=r"none\.csv does not exist\. Give a folder that holds"):
        study_from_csv(tmp_path / "none.csv")
    with pytest.raises(DataError, match="cannot be read"):
        study_from_csv(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"methods": ("a", "a")},
        {"stories": ()},
        {"axes": (Axis("x", "?"), Axis("x", "?"))},
        {"methods": ("a", "b\x1b[31m")},
        {"votes_per_axis": 0},
    ],
)
def test_an_impossible_study_is_refused(change: dict) -> None:
    with pytest.raises(DataError):
        Study(**({"methods": ("a", "b"), "stories": ("one",)} | change))
