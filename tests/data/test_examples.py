"""Which examples there are: neighbours, marks, splits, and counts that add up."""

from collections import Counter
from fractions import Fraction

import pytest

from storyreel.data.examples import ExamplesConfig, plan_film, scene_marks, split_of, unit_of
from storyreel.data.manifest import check_counts
from storyreel.data.segments import SegmentRow
from storyreel.errors import ConfigError, GeometryError


def segment(start, shot="shot 0", film="film"):
    start = Fraction(start)
    return SegmentRow(
        id=f"{film} {start}",
        film=film,
        shot=shot,
        number=0,
        take="take.mp4",
        first_frame=0,
        frames=49,
        start_seconds=str(start),
        stop_seconds=str(start + 3),
        picks=(0, 0),
        follows=None,
        thumb="",
    )


def plan(starts, stages=(3, 9), why_not=lambda row, seconds: None, **changes):
    rows = [segment(start) for start in starts]
    made = plan_film(rows[::-1], ExamplesConfig(stages=stages, **changes), why_not)
    check_counts("example", len(made.examples), made.dropped, made.accounts)
    return made


def windows(made, seconds):
    return [tuple(own.split()[1] for own in one.segments) for one in made.examples if one.seconds == seconds]


def test_segments_of_a_take_follow_each_other():
    made = plan([0, 3, 6, 9, 12, 15, 18])
    assert windows(made, 3) == [(str(start),) for start in range(0, 21, 3)]
    assert windows(made, 9) == [("0", "3", "6"), ("9", "12", "15")]
    assert [(one.id, one.unit, one.reason) for one in made.dropped] == [("film 18", "segment at 9 s", "left over")]


@pytest.mark.parametrize(("gap", "joined"), [(0, True), ("29/10", True), ("299/100", True), (3, False), (4, False)])
def test_a_cut_with_its_crops_is_no_gap_but_a_dropped_segment_is(gap, joined):
    made = plan([0, 3, 6 + Fraction(gap)])
    assert len(windows(made, 9)) == joined
    assert len(windows(made, 3)) == 3


def test_what_is_missing_breaks_a_run_and_is_told():
    missing = {"film 6": "no caption"}
    made = plan([0, 3, 6, 9, 12, 15], (3, 9), lambda row, seconds: missing.get(row.id))
    assert windows(made, 9) == [("9", "12", "15")]
    counts = Counter((one.unit, one.reason) for one in made.dropped)
    assert counts == {
        ("segment at 3 s", "no caption"): 1,
        ("segment at 9 s", "no caption"): 1,
        ("segment at 9 s", "left over"): 2,
    }


def test_a_reason_may_hold_for_one_stage_alone():
    too_long = ("film 3", 9)
    made = plan([0, 3, 6], (3, 9), lambda row, seconds: "text too long" if (row.id, seconds) == too_long else None)
    assert len(windows(made, 3)) == 3
    assert windows(made, 9) == []


def test_windows_may_overlap():
    made = plan([0, 3, 6, 9, 12], (9,), stride_segments=1)
    assert windows(made, 9) == [("0", "3", "6"), ("3", "6", "9"), ("6", "9", "12")]
    assert made.dropped == []


def test_ids_are_spans_of_the_film():
    made = plan([Fraction(1, 2), Fraction(7, 2), Fraction(13, 2)])
    assert [one.id for one in made.examples] == [
        "film-000000500-000003500",
        "film-000003500-000006500",
        "film-000006500-000009500",
        "film-000000500-000009500",
    ]


def test_a_film_without_segments_has_no_example():
    made = plan([])
    assert made.examples == []
    assert [(own.unit, own.seen) for own in made.accounts] == [("segment at 3 s", 0), ("segment at 9 s", 0)]


def test_marks_stand_where_the_scene_changes():
    scenes = {"a": 0, "b": 0, "c": 1, "d": 0}
    rows = [segment(0, "a"), segment(3, "a"), segment(7, "b"), segment(11, "c"), segment(15, "d", "other")]
    marks = scene_marks(rows[::-1], scenes)
    assert [(marks[row.id].starts, marks[row.id].ends) for row in rows] == [
        (True, False),
        (False, False),
        (False, True),
        (True, True),
        (True, True),
    ]


def test_a_split_hangs_on_seed_and_film_alone():
    films = [f"{number:016x}" for number in range(2000)]
    config = ExamplesConfig(validation_share=0.1, seed=3)
    splits = {film: split_of(film, config) for film in films}
    assert {film: split_of(film, config) for film in films[::-3]}.items() <= splits.items()
    count = Counter(splits.values())["validation"]
    assert 140 < count < 260  # 200 and four standard deviations
    other = ExamplesConfig(validation_share=0.1, seed=4)
    assert any(split_of(film, other) != own for film, own in splits.items())
    # With a larger share no film leaves the validation set.
    larger = ExamplesConfig(validation_share=0.2, seed=3)
    assert all(split_of(film, larger) == "validation" for film, own in splits.items() if own == "validation")
    assert {split_of(film, ExamplesConfig(validation_share=0)) for film in films} == {"train"}
    assert {split_of(film, ExamplesConfig(validation_share=1)) for film in films} == {"validation"}


@pytest.mark.parametrize(
    "changes", [{"stages": ()}, {"stages": (3, 3)}, {"validation_share": 1.5}, {"stride_segments": -1}]
)
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(ConfigError):
        ExamplesConfig(**changes)


def test_a_stage_is_a_multiple_of_3():
    with pytest.raises(GeometryError, match="Try 9"):
        ExamplesConfig(stages=(3, 10))
    assert unit_of(63) == "segment at 63 s"
