import dataclasses
import itertools

import pytest
import torch

from storyreel.data.clip_config import ClipConfig
from storyreel.data.clips import read_clip
from storyreel.data.toon_clips import draw_clips
from storyreel.errors import TrainingError
from storyreel.training.vae import ClipWindows

CLIPS = ClipConfig(2, 1, 2, 32, 48)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    draw_clips(CLIPS, folder, workers=1)
    return folder


def found(window, clips):
    """Whether a window is a piece of one of the clips, and begins where a chunk does."""
    pieces = (
        clip[t : t + len(window), y : y + window.shape[1], x : x + window.shape[2]]
        for clip in clips
        for t in range(0, len(clip) - len(window) + 1, 8)
        for y in range(clip.shape[1] - window.shape[1] + 1)
        for x in range(clip.shape[2] - window.shape[2] + 1)
    )
    return any(torch.equal(window, piece) for piece in pieces)


def test_windows_are_pieces_of_the_clips_and_follow_from_the_seed(folder):
    clips = [torch.from_numpy(read_clip(folder, number).frames) for number in range(2)]
    windows = list(itertools.islice(ClipWindows((folder,), 40, (28, 44), seed=0), 6))
    assert {tuple(window.shape) for window in windows} == {(40, 28, 44, 3)}
    assert all(found(window, clips) for window in windows)
    again = list(itertools.islice(ClipWindows((folder,), 40, (28, 44), seed=0), 6))
    assert all(torch.equal(a, b) for a, b in zip(windows, again, strict=True))
    other = list(itertools.islice(ClipWindows((folder,), 40, (28, 44), seed=1), 6))
    assert not all(torch.equal(a, b) for a, b in zip(windows, other, strict=True))


def test_folders_take_equal_shares_however_many_clips_they_hold(folder, tmp_path):
    draw_clips(dataclasses.replace(CLIPS, count=9, first_seed=100), tmp_path, workers=1)
    few = [torch.from_numpy(read_clip(folder, number).frames) for number in range(2)]
    windows = itertools.islice(ClipWindows((folder, tmp_path), 49, (0, 0), seed=0), 60)
    of_few = sum(found(window, few) for window in windows)
    assert 15 <= of_few <= 45


def test_a_clip_that_is_one_window_is_shown_once_in_a_turn(folder):
    windows = list(itertools.islice(ClipWindows((folder,), 49, (0, 0), seed=0), 24))
    assert not all(torch.equal(a, b) for a, b in zip(windows[::2], windows[1::2], strict=True))


def test_without_a_crop_frames_are_whole(folder):
    (window,) = itertools.islice(ClipWindows((folder,), 9, (0, 0), seed=0), 1)
    assert window.shape == (9, 32, 48, 3)


def test_no_clips_is_told(tmp_path):
    with pytest.raises(TrainingError, match="Draw them first"):
        next(iter(ClipWindows((tmp_path,), 9, (0, 0), seed=0)))
