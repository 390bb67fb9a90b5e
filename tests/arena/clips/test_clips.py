"""Clips of a story, made alike from real videos that differ in everything."""

import shutil
from fractions import Fraction

import av
import numpy as np
import pytest

from storyreel.arena.clips.boxes import boxes, without_pictures
from storyreel.arena.clips.encode import filler, nal_units
from storyreel.arena.clips.library import LIST, prepare
from storyreel.arena.clips.shape import common_shape
from storyreel.arena.clips.source import look_at
from storyreel.errors import DataError


@pytest.fixture(scope="module")
def videos(drawn, tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return {
        ("plain", "s"): drawn(folder / "plain.mp4", 2, seed=1, comment="made by plain"),
        ("noisy", "s"): drawn(folder / "noisy.mp4", 2, seed=2, width=112, height=66, noise=60),
        ("quick", "s"): drawn(folder / "quick.mp4", 2, seed=3, rate=24, noise=5),
    }


@pytest.fixture(scope="module")
def clips(videos, tmp_path_factory):
    return prepare(videos, tmp_path_factory.mktemp("clips"))


def frames_of(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_clips_of_a_story_are_equal_outside_their_pictures(clips):
    files = [clip.path.read_bytes() for clip in clips.values()]
    assert len(set(files)) == 3
    assert len({len(file) for file in files}) == 1
    assert len({without_pictures(file) for file in files}) == 1
    for clip, file in zip(clips.values(), files, strict=True):
        assert clip.size == len(file)
        assert clip.path.stat().st_mtime == 0
        assert not any(word in file for word in (b"x264", b"Lavf", b"made by", b"plain", b"noisy"))


def test_a_clip_plays_everywhere(clips):
    for clip in clips.values():
        with av.open(str(clip.path)) as container:
            assert [stream.type for stream in container.streams] == ["video"]
            stream = container.streams.video[0]
            context = stream.codec_context
            assert (context.name, context.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 16)
            assert (context.width, context.height) == (clip.width, clip.height) == (96, 64)
            frames = list(container.decode(video=0))
        assert [frame.pts * stream.time_base for frame in frames] == [Fraction(at, 16) for at in range(32)]
        assert [at for at, frame in enumerate(frames) if frame.key_frame] == [0, 16]
        assert [box.kind for box in boxes(clip.path.read_bytes()) if not box.depth] == ["ftyp", "moov", "free", "mdat"]


def test_the_pictures_are_those_given(videos, clips):
    given, made = frames_of(videos["plain", "s"]), frames_of(clips["plain", "s"].path)
    assert len(given) == len(made) == 32
    assert max(np.abs(one.astype(int) - other).mean() for one, other in zip(given, made, strict=True)) < 2
    quick, kept = frames_of(videos["quick", "s"]), frames_of(clips["quick", "s"].path)
    shown = [int(np.floor((at + 0.5) / 16 * 24 - 1e-9)) for at in range(32)]
    assert max(np.abs(quick[at].astype(int) - one).mean() for at, one in zip(shown, kept, strict=True)) < 4


def test_clips_are_made_once(videos, clips, tmp_path):
    folder = clips["plain", "s"].path.parents[1]
    before = {path: path.stat().st_ctime_ns for path in folder.rglob("*.mp4")}
    assert prepare(videos, folder) == clips
    assert {path: path.stat().st_ctime_ns for path in folder.rglob("*.mp4")} == before


def test_a_killed_run_goes_on(videos, clips, tmp_path):
    folder = tmp_path / "clips"
    shutil.copytree(clips["plain", "s"].path.parents[1], folder)
    whole = {path.name: path.read_bytes() for path in folder.rglob("*.mp4")}
    next(folder.rglob(LIST)).unlink()
    next(folder.rglob("*.mp4")).write_bytes(b"half")
    done = []
    prepare(videos, folder, done.append)
    assert done == [1]
    assert {path.name: path.read_bytes() for path in folder.rglob("*.mp4")} == whole


def test_lengths_must_agree_within_a_frame(drawn, tmp_path):
    sources = [look_at(drawn(tmp_path / f"{count}.mp4", count / 16)) for count in (32, 33, 34)]
    assert common_shape("s", sources[:2]).frames == 32
    with pytest.raises(DataError, match=r"34\.mp4 lasts 2\.125 s and .*32\.mp4 2\.000 s, but .* within a frame"):
        common_shape("s", sources)


def test_shapes_that_cannot_stand_side_by_side_are_refused(drawn, tmp_path):
    sources = [look_at(drawn(tmp_path / f"{height}.mp4", 1, height=height)) for height in (64, 144)]
    with pytest.raises(DataError, match=r"96x64 and .*96x144, shapes too different"):
        common_shape("s", sources)


@pytest.mark.parametrize("content", [b"", b"no video", None])
def test_a_file_that_is_no_video_is_refused(content, videos, tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(videos["plain", "s"].read_bytes()[:700] if content is None else content)
    with pytest.raises(DataError, match=r"broken\.mp4 .*Give an MP4|broken\.mp4 .*Encode it again"):
        look_at(path)


def test_every_size_of_filler_is_met_by_one_unit_without_start_codes():
    for size in (*range(8, 800), 4_000, 70_001):
        unit = filler(size)
        assert len(unit) == size
        assert [inside[0] for inside in nal_units(unit)] == [6]
    with pytest.raises(ValueError, match="8 bytes"):
        filler(7)
