import gzip
import json

import av
import pytest

from storyreel.errors import ConfigError, GeometryError, OutputError
from storyreel.storyboard.schema import Storyboard
from storyreel.toons.writer import write_stories


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("toons") / "new"
    calls = []
    written = write_stories(
        out, 2, 3, 64, 96, seed=5, workers=1, progress=lambda done, total: calls.append((done, total))
    )
    assert (written.drawn, written.found) == (2, 0)
    assert calls == [(0, 2), (1, 2), (2, 2)]
    return out


def test_a_story_is_a_video_a_storyboard_and_its_truth(folder):
    with av.open(str(folder / "story_00000005.mp4")) as video:
        stream = video.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate, stream.pix_fmt) == (96, 64, 16, "yuv420p")
        assert sum(1 for _ in video.decode(stream)) == 49
    board = Storyboard.model_validate_json((folder / "story_00000005.json").read_text())
    truth = json.loads(gzip.decompress((folder / "story_00000005.truth.json.gz").read_bytes()))
    assert [own["text"] for own in truth["story"]["segments"]] == [own.text for own in board.segments]
    assert [own["frame"] for own in truth["frames"]] == list(range(49))
    named = set(truth["story"]["segments"][0]["characters_in_view"])
    seen = [{who["name"] for who in own["characters"] if who["visible"]} for own in truth["frames"]]
    for name in named:
        assert sum(name in there for there in seen) >= 0.6 * 49


def test_complete_stories_stay_and_missing_ones_are_drawn_the_same(folder):
    first = folder / "story_00000005.mp4"
    kept = folder / "story_00000006.mp4"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    age = kept.stat().st_mtime_ns
    first.unlink()
    written = write_stories(folder, 2, 3, 64, 96, seed=5, workers=1)
    assert (written.drawn, written.found) == (1, 1)
    assert kept.stat().st_mtime_ns == age
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_processes_draw_the_same_as_one(folder, tmp_path):
    write_stories(tmp_path, 2, 3, 64, 96, seed=5, workers=2)
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_a_folder_of_other_toons_is_refused(folder, tmp_path):
    with pytest.raises(OutputError, match="Choose another folder"):
        write_stories(folder, 1, 3, 128, 192)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Choose another folder"):
        write_stories(tmp_path / "file", 1, 3, 64, 96)


@pytest.mark.parametrize(
    ("stories", "seconds", "height", "error"),
    [(0, 3, 64, ConfigError), (1, 4, 64, GeometryError), (1, 3, 65, ConfigError), (1, 3, 16, ConfigError)],
)
def test_impossible_orders_are_refused_before_anything_is_written(tmp_path, stories, seconds, height, error):
    with pytest.raises(error):
        write_stories(tmp_path / "none", stories, seconds, height, 96)
    assert not (tmp_path / "none").exists()
