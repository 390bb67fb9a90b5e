"""Other programs' formats: what each can hold comes back, and what it cannot is said."""

import json
from pathlib import Path

import pytest

from storyreel.errors import ConfigError, StoryboardError
from storyreel.storyboard.formats import FORMATS, read_any
from storyreel.storyboard.reader import read_storyboard
from storyreel.storyboard.schema import Storyboard, StoryboardSegment

EXAMPLE = Path(__file__).parents[2] / "examples" / "apple_pie.json"


@pytest.fixture
def board():
    story = read_storyboard(EXAMPLE).model_copy(update={"title": "Pie"})
    segments = [own.model_copy(update={"negative_text": "rain"}) for own in story.segments]
    return story.model_copy(update={"segments": segments})


def facts(board, *what):
    return [tuple(getattr(own, name) for name in what) for own in board.segments]


@pytest.mark.parametrize(
    ("name", "holds", "title"),
    [
        ("storyreel", ("text", "scene_start", "negative_text"), True),
        ("reference", ("text", "negative_text"), False),
        ("reference-jsonl", ("text", "negative_text"), False),
        ("storymem", ("text", "scene_start"), True),
        ("longlive", ("text", "scene_start"), False),
        ("holocine", ("text",), False),
        ("vistorybench", ("text",), False),
        ("fountain", ("text", "scene_start", "negative_text"), True),
    ],
)
def test_round_trip_of_what_it_holds(name, holds, title, board, tmp_path):
    text, lost = FORMATS[name].write(board)
    path = tmp_path / f"story{FORMATS[name].suffix}"
    path.write_text(text, encoding="utf-8")
    read = read_any(path, board.seconds)
    assert facts(read.storyboard, *holds) == facts(board, *holds)
    assert (read.storyboard.title == "Pie") == title
    assert ("negative texts" in lost) == ("negative_text" not in holds)
    assert ("the title" in lost) == (not title)


def test_the_references_scene_starts_come_back_but_the_first(board, tmp_path):
    path = tmp_path / "story.json"
    path.write_text(FORMATS["reference"].write(board)[0])
    read = read_storyboard(path)
    assert not read.segments[0].scene_start
    assert read.marked_texts() == board.marked_texts()


def write(path, data):
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def test_shots_of_five_seconds_are_two_segments_or_what_fits(tmp_path):
    story = {
        "story_name": "Pie", "story_overview": "A cat.",
        "scenes": [{"scene_num": 1, "video_prompts": ["A.", "B."], "first_frame_prompt": ["x"], "cut": [True, True]},
                   {"scene_num": 2, "video_prompts": ["C."], "first_frame_prompt": [], "cut": [True]}],
    }  # fmt: skip
    path = write(tmp_path / "a.json", story)
    read = read_any(path)
    assert facts(read.storyboard, "text", "scene_start") == [
        ("A.", True), ("A.", False), ("B.", False), ("B.", False), ("C.", True), ("C.", False),
    ]  # fmt: skip
    assert read.name == "storymem"
    assert read.lost == ("cuts inside scenes", "first frame prompts", "the overview")
    assert read.told == ("3 segments of longer shots say the same again",)
    assert len(read_any(path, 9).storyboard.segments) == 3
    with pytest.raises(ConfigError, match=r"--seconds is 6, but 3 shots need 9 s at least\. Try 9"):
        read_any(path, 6)


def test_holocine_shots_last_until_their_cuts(tmp_path):
    story = {"global_caption": "A cat.", "shot_captions": ["It runs.", "It eats."], "shot_cut_frames": [97]}
    read = read_any(write(tmp_path / "a.json", story))
    assert facts(read.storyboard, "text", "scene_start") == [
        ("A cat. It runs.", True), ("A cat. It runs.", False), ("A cat. It eats.", True),
    ]  # fmt: skip


def test_vistorybench_texts_are_joined_and_places_start_scenes(tmp_path):
    def shot(setting, seen):
        return {"Setting Description": {"en": setting, "ch": "x"}, "Static Shot Description": {"en": seen, "ch": ""}}

    story = {"Shots": [shot("A kitchen.", "A cat."), shot("The kitchen.", "A pie."), shot("A street.", "A dog.")]}
    read = read_any(write(tmp_path / "a.json", story))
    assert facts(read.storyboard, "text", "scene_start") == [
        ("A kitchen. A cat.", True), ("The kitchen. A pie.", False), ("A street. A dog.", True),
    ]  # fmt: skip


def test_fountain_headings_start_scenes_and_dialogue_is_counted(tmp_path):
    script = (
        "Title: Pie\nAuthor: A\n\nINT. KITCHEN - NIGHT\n\nA cat eats.\nIt smiles.\n\nCAT\nHello.\n\nCUT TO:\n\n"
        "EXT. STREET - DAY\n\n= A synopsis\n\nA dog runs in the street. [[a note]]\n"
    )
    read = read_any(write(tmp_path / "a.fountain", script))
    assert read.storyboard.title == "Pie"
    assert facts(read.storyboard, "text", "scene_start") == [
        ("The scene is in the kitchen at night. A cat eats. It smiles.", True), ("A dog runs in the street.", True),
    ]  # fmt: skip
    assert read.lost == ("1 note", "1 speech", "1 transition", "1 synopsis")


def test_several_longlive_stories(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"prompts": ["A."]}\n{"prompts": ["B.", "The scene transitions. C."]}\n')
    assert facts(read_any(path, story=1).storyboard, "text", "scene_start") == [("B.", True), ("C.", True)]
    with pytest.raises(StoryboardError, match="read as longlive: the file has stories 0 to 1"):
        read_any(path, story=2)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"scenes": [{"scene_num": 1}]}, 'read as storymem: scene 1 has no "video_prompts"'),
        ({"scenes": {}}, '"scenes" must be a JSON list'),
        ({"scenes": []}, "the file has no shot with a text"),
        ({"scenes": [{"video_prompts": ["A.", 3]}]}, "video_prompts: number 2 must be text"),
        ({"shot_captions": ["a"], "shot_cut_frames": [9, 5]}, "must be whole numbers in order"),
        ({"Shots": [{"Setting Description": "x"}]}, '"Setting Description" must be a JSON object'),
        ({"Shots": [{}]}, "shot 1 has no English text"),
        ('{"prompts": [', "broken JSON"),
        ("neither", "broken JSON"),
    ],
)
def test_every_mistake_is_one_line(data, message, tmp_path):
    with pytest.raises(StoryboardError, match=message) as caught:
        read_any(write(tmp_path / "a.json", data))
    assert "\n" not in str(caught.value)


def test_locks_are_told_as_lost():
    board = Storyboard(segments=[StoryboardSegment(text="A cat.", locked=True)])
    for name in set(FORMATS) - {"storyreel"}:
        assert "locks" in FORMATS[name].write(board)[1]
