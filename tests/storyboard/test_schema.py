import pytest
from pydantic import ValidationError

from storyreel.storyboard.schema import Storyboard, StoryboardSegment, json_schema


def board(*starts: bool) -> Storyboard:
    return Storyboard(segments=[StoryboardSegment(text=f"t{i}", scene_start=start) for i, start in enumerate(starts)])


def test_seconds_are_three_a_segment():
    assert board(True, False, True).seconds == 9


def test_marks_stand_around_every_scene_also_at_both_ends():
    assert board(True, False, True, True).marked_texts() == [
        "<start_scene> t0",
        "t1 <end_scene>",
        "<start_scene> t2 <end_scene>",
        "<start_scene> t3 <end_scene>",
    ]


def test_the_first_segment_starts_a_scene_whether_it_says_so_or_not():
    assert board(False, False).marked_texts() == board(True, False).marked_texts()


def test_one_segment_has_both_marks():
    assert board(False).marked_texts() == ["<start_scene> t0 <end_scene>"]


def test_a_cut_storyboard_ends_its_last_scene():
    assert board(True, False, False).first(2).marked_texts() == ["<start_scene> t0", "t1 <end_scene>"]


def test_negative_texts_are_empty_where_nothing_is_said():
    story = Storyboard(segments=[StoryboardSegment(text="a", negative_text="rain"), StoryboardSegment(text="b")])
    assert story.negative_texts() == ["rain", ""]


@pytest.mark.parametrize(
    "segments", [[], [{"text": "  "}], [{"text": "a", "colour": "red"}], [{"text": "a", "scene_start": 1}]]
)
def test_what_is_no_storyboard_is_refused(segments):
    with pytest.raises(ValidationError):
        Storyboard.model_validate({"segments": segments})


def test_the_json_schema_asks_for_segments_with_text_and_nothing_unknown():
    schema = json_schema()
    segment = schema["$defs"]["StoryboardSegment"]
    assert schema["required"] == ["segments"]
    assert segment["required"] == ["text"]
    assert set(segment["properties"]) == {"text", "scene_start", "negative_text", "locked"}
    assert segment["additionalProperties"] is False
