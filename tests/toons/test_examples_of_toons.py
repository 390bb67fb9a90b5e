import json
from pathlib import Path

import pytest

from storyreel.storyboard.schema import Storyboard
from storyreel.toons.apple_pie import NINE_SECONDS, apple_pie
from storyreel.toons.grammar import make_story
from storyreel.toons.vocabulary import tokens, words
from storyreel.toons.writer import storyboard_of

EXAMPLES = Path(__file__).parents[2] / "examples"
# Seeds from 9,000,000 on are never trained on.
STORIES = {
    "birthday_30s": (9_000_005, 10),
    "hide_and_seek_30s": (9_000_087, 10),
    "lost_ball_18s": (9_000_078, 6),
    "key_and_cheese_30s": (9_000_004, 10),
}


def read(name):
    return json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["apple_pie", "apple_pie_9s", *STORIES])
def test_examples_are_storyboards_in_the_vocabulary(name):
    board = Storyboard.model_validate(read(name))
    assert 9 <= board.seconds <= 63
    known = set(words())
    for segment in board.segments:
        assert set(tokens(segment.text)) <= known
        assert segment.text.isascii()


@pytest.mark.parametrize("name", STORIES)
def test_examples_come_from_the_grammar(name):
    assert read(name) == storyboard_of(make_story(*STORIES[name]))


def test_apple_pie_is_the_story_that_can_be_drawn():
    whole = storyboard_of(apple_pie())
    assert read("apple_pie") == whole
    short = read("apple_pie_9s")["segments"]
    assert [own["text"] for own in short] == [whole["segments"][i]["text"] for i in NINE_SECONDS]
    assert [own["scene_start"] for own in short] == [True, False, True]


def test_apple_pie_tells_the_seed_story_in_order():
    segments = apple_pie().segments
    assert len(segments) == 21
    places = [apple_pie().places[own.place].kind for own in segments]
    assert places[:5] == [*["kitchen"] * 4, "street"]
    assert (places[10], places[16]) == ("garden", "living room")
    told = {number: {action for _, action in own.actions} for number, own in enumerate(segments)}
    for number, action in (
        (1, "eat"),
        (2, "peek"),
        (5, "ring"),
        (13, "pick_up"),
        (16, "run"),
        (19, "hide"),
        (19, "crash"),
        (20, "peek"),
    ):
        assert action in told[number], (number, action)
    for number in (7, 8, 11, 12):
        assert "door" in segments[number].text
