"""What `storyreel bench video` is made of: the size of the paper's model, and kernels by part."""

import pytest
import torch

from storyreel.mixers.pieces import PART
from storyreel.training.video_profile import ELSEWHERE, Span, by_part
from storyreel.training.video_timing import AUTHORS_MINUTES, Video, estimate


def test_the_papers_model_and_its_63_seconds():
    """7.2 B parameters; the arithmetic of 50 steps is 21 minutes at 756 TFLOP/s; the authors' kernels take 67."""
    video = Video(forward="fused")
    wanted = estimate(video, torch.device("meta"))
    assert video.is_the_papers()
    assert wanted.parameters == pytest.approx(7.2e9, rel=0.02)
    assert 50 * wanted.operations / 756e12 / 60 == pytest.approx(21, abs=0.5)
    assert round(AUTHORS_MINUTES, 1) == 67.5


def test_kernels_belong_to_the_innermost_part_that_they_ran_in():
    scopes = [Span(PART + "outer", 0, 100), Span(PART + "inner", 10, 50), Span(PART + "inner", 60, 70)]
    leaves = [Span("a", 11, 21), Span("b", 52, 58), Span("a", 61, 69), Span("c", 200, 210), Span("a", 30, 48)]
    found = by_part(leaves, scopes)
    assert {name: [(own.name, own.calls) for own in kernels] for name, kernels in found.items()} == {
        "inner": [("a", 3)],
        "outer": [("b", 1)],
        ELSEWHERE: [("c", 1)],
    }
    assert found["inner"][0].milliseconds == pytest.approx(0.036)
