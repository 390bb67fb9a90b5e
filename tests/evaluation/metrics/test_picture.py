"""Signals and metrics of the picture on frames whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from storyreel.evaluation.metrics.picture import in_long_runs, measure_picture
from storyreel.evaluation.metrics.signals import SignalMeter, Signals, still_regions, through_motion

RANDOM = np.random.default_rng(0)
TEXTURE = RANDOM.integers(40, 200, (16, 24), np.uint8).repeat(6, 0).repeat(8, 1)


def signals_of(frames: np.ndarray) -> Signals:
    meter = SignalMeter()
    for frame in frames:
        meter.add(frame)
    return meter.signals()


def colour(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=-1)


def none(frames: np.ndarray) -> np.ndarray:
    return np.zeros(len(frames), bool)


def test_flicker_is_one_minus_the_mean_difference() -> None:
    frames = np.zeros((5, 32, 48, 3), np.uint8)
    frames[1::2] = 51
    found = measure_picture(signals_of(frames), none(frames), none(frames))
    assert found["flicker"].value == pytest.approx(0.8)
    apart = none(frames)
    apart[1:4] = True
    assert measure_picture(signals_of(frames), apart, none(frames))["flicker"].value == pytest.approx(0.8)
    apart[4] = True
    missing = measure_picture(signals_of(frames), apart, none(frames))["flicker"]
    assert missing.value is None
    assert "without a cut" in missing.why


def test_light_that_changes_shows_in_still_regions_and_motion_does_not() -> None:
    still = TEXTURE.astype(np.float32)
    change, share = still_regions(still, still + 10)
    assert change == pytest.approx(10)
    assert share > 0.9
    _, moved_share = still_regions(still, np.roll(still, 3, axis=1))
    assert moved_share < 0.1
    assert np.isnan(still_regions(np.zeros((16, 96), np.float32), np.ones((16, 96), np.float32))[0])


@pytest.mark.parametrize("way", [(0, 1), (2, 0), (-1, 3), (4, -4)])
def test_constant_motion_is_smooth_and_its_length_is_found(way: tuple[int, int]) -> None:
    picture = np.asarray(RANDOM.integers(0, 256, (64, 96)), np.float32)
    before, after = (np.roll(picture, (sign * way[0], sign * way[1]), (0, 1)) for sign in (-1, 1))
    residual, motion = through_motion(before, picture, after)
    inner = through_motion(before, np.roll(picture, 1, 0), after)[0]
    assert residual < 0.3 * inner
    assert motion == pytest.approx(100 * np.hypot(*way) / 96, rel=0.35)


def test_a_repeated_frame_is_a_duplicate_and_not_smooth() -> None:
    moving = np.stack([colour(np.roll(TEXTURE, 2 * k, axis=1)) for k in range(20)])
    stuttering = moving.copy()
    stuttering[2::2] = moving[1:-1:2]
    smooth, jerky = (measure_picture(signals_of(own), none(own), none(own)) for own in (moving, stuttering))
    assert smooth["duplicate_frames"].right == 0
    assert jerky["duplicate_frames"].right == 9
    assert jerky["frozen_frames"].right == 0
    assert (jerky["motion_smoothness"].value or 1) < (smooth["motion_smoothness"].value or 0) - 0.02


def test_runs() -> None:
    mask = np.array([1, 1, 0, 1, 1, 1, 0, 0, 1], bool)
    assert in_long_runs(mask, 3).tolist() == [False] * 3 + [True] * 3 + [False] * 3
    assert in_long_runs(mask, 1).tolist() == mask.tolist()
    assert not in_long_runs(np.zeros(0, bool), 2).size


def test_the_jump_of_brightness_at_a_seam_is_measured_against_the_rest() -> None:
    frames = np.zeros((9, 16, 16, 3), np.uint8)
    frames[5:] = 20
    frames[7] = 24
    seams = none(frames)
    seams[5] = True
    found = measure_picture(signals_of(frames), none(frames), seams)["seam_jump"]
    assert found.value == pytest.approx(20 - 8 / 7)
    assert measure_picture(signals_of(frames), none(frames), none(frames))["seam_jump"].value is None


@pytest.mark.parametrize("size", [(17, 31), (480, 720), (2, 2)])
def test_odd_and_large_and_tiny_frames_are_measured(size: tuple[int, int]) -> None:
    frames = RANDOM.integers(0, 256, (3, *size, 3), np.uint8)
    signals = signals_of(frames)
    assert np.isfinite(signals.change[1:]).all()
    assert np.isfinite(signals.residual[1:-1]).all()
    assert np.isfinite(signals.sharpness).all()


def test_one_frame_alone_has_no_motion() -> None:
    frames = np.zeros((1, 16, 16, 3), np.uint8)
    found = measure_picture(signals_of(frames), none(frames), none(frames))
    assert {name for name, own in found.items() if own.value is not None} == {"sharpness"}
