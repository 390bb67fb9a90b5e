import os
import resource

import numpy as np
import pytest

from storyreel.errors import OutputError
from storyreel.sampling.video import VideoWriter, count_packets, probe_video, read_frames


def noise(frames, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, 64, 96, 3), dtype=np.uint8)


def gradient():
    down, right = np.mgrid[0:64, 0:96]
    return np.stack([right * 2, down * 3, 200 - right], axis=-1).astype(np.uint8)


def refusal(path, **options):
    with pytest.raises(OutputError) as caught, VideoWriter(path, 64, 96, **options) as writer:
        writer.write(noise(40))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_and_stop(path, interruption, **options):
    with VideoWriter(path, 64, 96, **options) as writer:
        writer.write(noise(30))
        raise interruption


def test_an_mp4_that_every_player_opens(tmp_path):
    path = tmp_path / "v.mp4"
    with VideoWriter(path, 64, 96, comment="storyreel, seed 7") as writer:
        writer.write(noise(9))
        writer.write(noise(40, seed=1))
    facts = probe_video(path)
    assert (facts.frames, facts.width, facts.height, facts.fps) == (49, 96, 64, 16.0)
    assert (facts.codec, facts.pix_fmt, facts.fast_start, facts.comment) == (
        "h264",
        "yuv420p",
        True,
        "storyreel, seed 7",
    )
    assert facts.seconds == 49 / 16
    assert count_packets(path) == 49
    assert os.listdir(tmp_path) == ["v.mp4"]


def test_colours_come_back(tmp_path):
    picture = gradient()
    with VideoWriter(tmp_path / "v.mp4", 64, 96, crf=4) as writer:
        writer.write(np.repeat(picture[None], 5, axis=0))
    frames = list(read_frames(tmp_path / "v.mp4"))
    assert len(frames) == 5
    assert np.abs(frames[2].astype(int) - picture).mean() < 3


def test_the_same_frames_are_the_same_bytes(tmp_path):
    for number in range(8):
        with VideoWriter(tmp_path / f"{number}.mp4", 64, 96) as writer:
            writer.write(noise(30))
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_frames_keep_their_order(tmp_path):
    shades = np.arange(20, 230, 10, dtype=np.uint8)
    with VideoWriter(tmp_path / "v.mp4", 64, 96) as writer:
        for shade in shades:
            writer.write(np.full((1, 64, 96, 3), shade))
    means = [frame.mean() for frame in read_frames(tmp_path / "v.mp4")]
    assert np.abs(np.array(means) - shades).max() < 4


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_nothing_and_keeps_what_was_there(tmp_path, interruption):
    path = tmp_path / "v.mp4"
    path.write_bytes(b"an older video")
    with pytest.raises(interruption):
        write_and_stop(path, interruption)
    assert os.listdir(tmp_path) == ["v.mp4"]
    assert path.read_bytes() == b"an older video"


def test_on_demand_the_frames_so_far_stay_as_a_playable_partial_file(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write_and_stop(tmp_path / "v.mp4", KeyboardInterrupt, keep_partial=True)
    assert os.listdir(tmp_path) == ["v.partial.mp4"]
    assert probe_video(tmp_path / "v.partial.mp4").frames == 30


def test_a_partial_video_without_frames_is_none(tmp_path):
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "v.mp4", 64, 96, keep_partial=True):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_a_disk_that_takes_no_more_leaves_nothing(tmp_path):
    """A limit on the size of files stands for a full disk: both are errors of write()."""
    path = tmp_path / "v.mp4"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        message = refusal(path, keep_partial=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert message == f"{path} cannot be written: File too large. Raise the limit on the size of files (ulimit -f)."
    assert os.listdir(tmp_path) == []


def test_unwritable_outputs_are_told_before_any_frame(tmp_path):
    assert "there is no folder" in refusal(tmp_path / "nowhere" / "v.mp4")
    assert "videos are MP4 files. Try " in refusal(tmp_path / "v.avi")
    (tmp_path / "folder.mp4").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder.mp4")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    assert "Permission denied. Choose another place with --out." in refusal(tmp_path / "v.mp4")


def test_a_folder_that_takes_no_files():
    assert "cannot be written: " in refusal("/proc/v.mp4")


def test_odd_sides_and_no_frames_are_refused(tmp_path):
    with pytest.raises(OutputError, match=r"frame size is 95x64, but H\.264 needs even sides"):
        VideoWriter(tmp_path / "v.mp4", 64, 95)
    with pytest.raises(OutputError, match="at least one frame"), VideoWriter(tmp_path / "v.mp4", 64, 96):
        pass
    assert os.listdir(tmp_path) == []


def test_frames_of_another_size_or_dtype_are_a_mistake_of_the_caller(tmp_path):
    with pytest.raises(ValueError, match="not uint8"), VideoWriter(tmp_path / "v.mp4", 64, 96) as writer:
        writer.write(noise(1).astype(np.float32))
    with pytest.raises(ValueError, match="not uint8"), VideoWriter(tmp_path / "v.mp4", 64, 96) as writer:
        writer.write(noise(1)[:, :32])
    assert os.listdir(tmp_path) == []
