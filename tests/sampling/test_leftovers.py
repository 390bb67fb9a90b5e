import contextlib
import subprocess
import sys

import pytest

from storyreel.sampling.leftovers import aside, clear_leftovers, marked


@pytest.fixture
def video(tmp_path):
    return tmp_path / "v [1].mp4"


@pytest.fixture(scope="module")
def dead():
    """The number of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def living():
    """The number of another process that runs."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate(b"\n")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_run_marks_its_video_while_it_goes_on(video, tmp_path):
    with marked(video):
        assert names(tmp_path) == [aside(video).name]
    assert names(tmp_path) == []
    # The writer makes its own file there, and may have moved it away.
    with marked(video):
        aside(video).replace(video)
    assert names(tmp_path) == [video.name]
    video.unlink()
    with contextlib.suppress(KeyboardInterrupt), marked(video):
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_what_a_dead_run_left_goes_and_what_is_not_its_own_stays(video, tmp_path, dead):
    preview, record = video.with_suffix(".preview.png"), video.with_suffix(".run.json")
    stays = ["v [1].mp4", "v [1].partial.mp4", f".w.mp4.{dead}.part", ".v [1].mp4.part", f".v 1.mp4.{dead}.part"]
    for name in (*stays, preview.name, f".{video.name}.{dead}.part", f".{record.name}.{dead}.part"):
        (tmp_path / name).touch()
    assert "ended without a word, probably killed for memory" in clear_leftovers(video, preview, [record])
    assert names(tmp_path) == sorted(stays)
    assert clear_leftovers(video, preview, [record]) == ""


@pytest.mark.skipif(sys.platform == "win32", reason="there the open file tells")
def test_a_run_that_goes_on_keeps_its_files(video, tmp_path, living, dead):
    preview = video.with_suffix(".preview.png")
    preview.touch()
    own = tmp_path / f".{video.name}.{living}.part"
    own.touch()
    assert clear_leftovers(video, preview) == ""
    (tmp_path / f".{video.name}.{dead}.part").touch()
    assert clear_leftovers(video, preview)
    assert names(tmp_path) == sorted([own.name, preview.name])


def test_nothing_is_said_where_there_is_nothing(video, tmp_path):
    assert clear_leftovers(video, video.with_suffix(".preview.png")) == ""
    assert clear_leftovers(tmp_path / "missing" / "v.mp4", video) == ""
