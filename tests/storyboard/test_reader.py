import json
import re

import pytest

from storyreel.errors import StoryboardError
from storyreel.storyboard.reader import read_storyboard

OURS = """{
  "title": "Pie",
  "segments": [
    {"text": "A {cat} eats.", "scene_start": true},
    {
      "text": "A \\"mouse\\" {looks.",
      "negative_text": "rain"
    },
    {"text": "It runs.", "scene_start": true}
  ]
}
"""
AUTHORS = [
    {"text": "a", "requires_scene_transition": True, "neg_text": "n"},
    {"text": "b", "requires_scene_transition": False, "neg_text": ""},
    {"text": "c", "requires_scene_transition": True, "neg_text": None},
]


@pytest.fixture
def write(tmp_path):
    def write(content, name="story.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return write


def refusal(path, story=0):
    with pytest.raises(StoryboardError) as caught:
        read_storyboard(path, story)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_our_schema_with_the_lines_of_its_segments(write):
    story = read_storyboard(write(OURS))
    assert story.title == "Pie"
    assert [segment.text for segment in story.segments] == ["A {cat} eats.", 'A "mouse" {looks.', "It runs."]
    assert [segment.scene_start for segment in story.segments] == [True, False, True]
    assert story.negative_texts() == ["", "rain", ""]
    assert [segment.line for segment in story.segments] == [4, 5, 9]


def test_the_authors_list_of_stories(write):
    path = write([AUTHORS[:2], AUTHORS])
    assert len(read_storyboard(path).segments) == 2
    story = read_storyboard(path, 1)
    assert [segment.text for segment in story.segments] == ["a", "b", "c"]
    assert story.negative_texts() == ["n", "", ""]
    assert story.marked_texts() == ["<start_scene> a", "b <end_scene>", "<start_scene> c <end_scene>"]


def test_one_story_alone_is_a_list_of_segments(write):
    assert read_storyboard(write(AUTHORS)) == read_storyboard(write([AUTHORS]))


def test_json_lines_have_a_story_on_each_line(write):
    path = write(json.dumps(AUTHORS[:1]) + "\n\n" + json.dumps(AUTHORS) + "\n", "stories.jsonl")
    assert len(read_storyboard(path).segments) == 1
    story = read_storyboard(path, 1)
    assert len(story.segments) == 3
    assert {segment.line for segment in story.segments} == {3}


def test_a_list_of_our_storyboards(write):
    path = write([json.loads(OURS), {"segments": [{"text": "x"}]}])
    assert read_storyboard(path, 1).segments[0].text == "x"


def test_a_byte_order_mark_is_no_error(tmp_path):
    (tmp_path / "s.json").write_text(OURS, encoding="utf-8-sig")
    assert read_storyboard(tmp_path / "s.json").title == "Pie"


def test_no_such_file_names_the_likely_one(write):
    path = write(OURS, "apple_pie.json")
    assert refusal(path.with_name("apple_pi.json")).endswith("apple_pi.json: no such file. Did you mean " + f"{path}?")
    assert refusal(path.parent / "nowhere" / "x.json").endswith("x.json: no such file.")


def test_a_folder_and_a_file_of_bytes(tmp_path):
    assert "is a folder" in refusal(tmp_path)
    (tmp_path / "film.json").write_bytes(b"{}\xff\xfe")
    assert "not UTF-8 text (byte 2)" in refusal(tmp_path / "film.json")


def test_broken_json_has_line_and_column(write):
    assert "broken JSON at line 4, column 3: Expecting ',' delimiter" in refusal(
        write('{\n "title": "x",\n "segments": [{"text": "a"}\n  {"text": "b"}]}')
    )
    assert "broken JSON at line 2, column 10" in refusal(write('[{"text": "a"}]\n[{"text" "b"}]\n'))


def test_a_story_out_of_range(write):
    assert "has 1 story, number 0, but number 3 is asked for" in refusal(write(OURS), 3)
    assert "has 2 stories, 0 to 1, but number -1 is asked for" in refusal(write([AUTHORS, AUTHORS]), -1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty. A storyboard is {"),
        ("[]", "has no story"),
        ("7", "holds a JSON number"),
        ('{"segments": []}', "the story is empty"),
        ("[[]]", "the story is empty"),
        ('{"title": "x"}', '"segments" must be a list'),
        ('{"segments": {"text": "a"}}', '"segments" must be a list'),
        ('{"title": 3, "segments": [{"text": "a"}]}', '"title" must be text, not a JSON number'),
        ('{"segments": ["a cat"]}', "segment 1 must be an object"),
        ('["a cat"]', "a story must be a list of segments, not a JSON string"),
        ('{"segments": [\n{"text": "a"},\n{"scene_start": true}]}', "segment 2 (line 3) has no text."),
        ('{"segments": [\n{"text": null}]}', "segment 1 (line 2) has no text."),
        ('{"segments": [\n{"text": " \\n "}]}', 'segment 1 (line 2) has no text: its "text" is blank'),
        ('{"segments": [{"text": 5}]}', 'segment 1 (line 1): "text" must be text, not 5'),
        ('{"segments": [{"text": "a", "scene_start": "yes"}]}', '"scene_start" must be true or false, not "yes"'),
        (
            '[[{"text": "a", "requires_scene_transition": 1}]]',
            '"requires_scene_transition" must be true or false, not 1',
        ),
        ('[[{"text": "a", "neg_text": 1}]]', '"neg_text" must be text, not 1'),
        (
            '{"segments": [{"text": "a", "scene_strat": true}]}',
            'unknown key "scene_strat". Did you mean "scene_start"?',
        ),
        ('{"segments": [{"text": "a"}], "zzz": 1}', 'unknown key "zzz". A storyboard may have title, segments.'),
        ("[" * 100_000, "holds what no storyboard has: maximum recursion depth"),
        ('{"segments": [{"text": ' + "9" * 5000 + "}]}", "holds what no storyboard has: Exceeds the limit"),
        ('{"segments": [\n{"text": "a cat \\ud800"}]}', 'segment 1 (line 2): "text" holds half a character'),
        ('{"segments": [{"text": "a", "text": "b"}]}', 'has the key "text" twice'),
        ('{"segments": [{"text": "a", "neg_text": "", "negative_text": ""}]}', 'both "neg_text" and "negative_text"'),
    ],
)
def test_every_mistake_is_one_clear_line(write, content, message):
    assert message in refusal(write(content))


def test_stories_are_numbered_in_messages_where_there_are_several(write):
    assert re.search(r"story\.json, story 1: segment 1 \(line 1\) has no text", refusal(write([AUTHORS, [{}]]), 1))
