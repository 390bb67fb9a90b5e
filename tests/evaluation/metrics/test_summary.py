"""Means over videos with their intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from storyreel.evaluation.metrics.summary import bootstrap


def test_the_interval_holds_the_mean_of_normal_values_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = sum(low < 3 < high for low, high in (bootstrap(rng.normal(3, 2, 40)) for _ in range(200)))
    assert held >= 180


def test_few_videos_have_no_interval_and_equal_ones_one_without_width() -> None:
    assert math.isnan(bootstrap(np.arange(4.0))[0])
    assert bootstrap(np.full(6, 0.25)) == pytest.approx((0.25, 0.25))
