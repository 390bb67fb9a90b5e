import numpy as np
import pytest

from storyreel.evaluation.judge import decibels, squared_errors


def test_psnr_of_a_known_error():
    true = np.zeros((3, 4, 6, 3), np.uint8)
    made = true.copy()
    made[1] += 51  # a fifth of the range: 20 log10(5) dB
    errors = squared_errors(made, true)
    assert errors.tolist() == [0.0, 51.0**2, 0.0]
    assert decibels(errors)[1] == pytest.approx(20 * np.log10(5))
    assert np.isfinite(decibels(errors)).all()


def test_pooled_is_never_more_than_the_mean_of_frames():
    errors = np.random.default_rng(0).uniform(1, 1000, 50)
    assert decibels(errors.mean()) <= decibels(errors).mean()
