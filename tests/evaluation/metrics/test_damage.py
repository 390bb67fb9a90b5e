"""Every metric is worse on the damage that it is for than on the drawing."""

from __future__ import annotations

from pathlib import Path

import pytest

from storyreel.evaluation.metrics.damage import DAMAGES, FOR, write_damaged
from storyreel.evaluation.metrics.stories import story_of
from storyreel.evaluation.metrics.video import METRICS, Eyes, VideoResult, measure_video

BETTER = {metric.name: metric.better for metric in METRICS}


@pytest.fixture(scope="module")
def of_the_drawing(drawn: Path, eyes: Eyes) -> VideoResult:
    return measure_video(drawn, story_of(drawn), eyes)


def test_a_drawing_is_as_good_as_can_be(of_the_drawing: VideoResult) -> None:
    values = {name: own.value for name, own in of_the_drawing.metrics.items()}
    assert of_the_drawing.shape.frames == 337
    assert len(of_the_drawing.strip) == 7
    assert None not in values.values()
    for name in ("cut_precision", "cut_recall", "cut_f1", "place_right", "colours_right"):
        assert values[name] == 1, name
    for name in ("cut_offset", "cuts_astray", "frozen_frames"):
        assert values[name] == 0, name
    assert abs(values["seam_jump"] or 0) < 1


def test_what_no_text_tells_is_remembered_by_a_drawing(of_the_drawing: VideoResult) -> None:
    readable = [own for own in of_the_drawing.memory if own.first is not None and own.again is not None]
    assert len(readable) > 10
    assert {own.family for own in readable} == {"wall", "floor", "collar", "furniture"}
    assert max(own.gap for own in readable) == 1
    assert sum(own.first == own.again for own in readable) >= len(readable) - 1


@pytest.mark.parametrize("damage", DAMAGES)
def test_metrics_see_the_damage_that_they_are_for(
    damage: str, drawn: Path, eyes: Eyes, of_the_drawing: VideoResult, tmp_path: Path
) -> None:
    video = write_damaged(drawn, tmp_path, damage)
    found = measure_video(video, story_of(video), eyes)
    concerned = [name for name, damages in FOR.items() if damage in damages]
    assert concerned
    for name in concerned:
        before, after = of_the_drawing.metrics[name].value, found.metrics[name].value
        assert before is not None, name
        assert after is not None, name
        assert after < before if BETTER[name] == "higher" else after > before, (name, before, after)
    if damage == "drifting_colours":
        wrong = sum(own.first != own.again for own in found.memory if own.family == "wall" and own.first and own.again)
        assert wrong >= 1


def test_every_metric_has_a_damage() -> None:
    assert set(FOR) == {metric.name for metric in METRICS if metric.better != "neither"}
