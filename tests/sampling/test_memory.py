"""The estimate against peaks that were measured."""

import pytest

from storyreel.assets import DEMO_MODEL
from storyreel.errors import GeometryError
from storyreel.sampling.memory import estimated_peak_bytes, process_peak_mib

MEASURED_MIB = [(3, 2, 1150), (3, 2, 1261), (9, 2, 1173), (30, 2, 1240), (63, 2, 1619), (3, 4, 1808)]


@pytest.mark.parametrize(("seconds", "decoded_bytes", "measured"), MEASURED_MIB)
def test_the_estimate_is_within_a_tenth_of_what_was_measured(seconds, decoded_bytes, measured):
    estimate = estimated_peak_bytes(DEMO_MODEL, seconds, decoded_bytes)
    assert estimate is not None
    assert 0.89 < estimate / 2**20 / measured < 1.1


def test_tokens_decide_a_long_video_and_pixels_a_short_one(saved_model):
    three, nine, minute = (estimated_peak_bytes(DEMO_MODEL, seconds, 2) for seconds in (3, 9, 63))
    assert three == nine < minute
    assert estimated_peak_bytes(DEMO_MODEL, 63, 4) > minute
    assert estimated_peak_bytes(saved_model, 3) < three


def test_a_folder_that_is_no_model_has_no_estimate(tmp_path):
    assert estimated_peak_bytes(tmp_path, 3) is None
    (tmp_path / "storyreel.json").write_text("[]")
    assert estimated_peak_bytes(tmp_path, 3) is None


def test_a_length_that_is_none_is_refused():
    with pytest.raises(GeometryError, match="length is 4 s"):
        estimated_peak_bytes(DEMO_MODEL, 4)


def test_the_peak_of_this_process_is_known():
    assert (process_peak_mib() or 50) > 10
