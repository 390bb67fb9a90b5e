"""From a plot to a storyboard in the demo model's words."""

import json

import pytest

from storyreel.assets import DEMO_MODEL
from storyreel.errors import ConfigError, OutputError, StoryboardError
from storyreel.models.text import count_tokens, known_words, load_tokenizer
from storyreel.storyboard.reader import read_storyboard
from storyreel.toons.names import CAST
from storyreel.toons.vocabulary import tokens
from storyreel.writing.rules import write_plot, write_text

PIE = "A cat eats a pie in the kitchen. A mouse watches. The mouse steals the pie and runs away. The cat chases it."


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(DEMO_MODEL / "tokenizer")


@pytest.fixture
def plot(tmp_path):
    path = tmp_path / "pie.txt"
    path.write_text(PIE)
    return path


@pytest.mark.parametrize("seconds", [9, 18, 30, 63])
def test_every_word_is_the_models_and_every_paragraph_fits(seconds, tokenizer):
    board = write_text(PIE, seconds).storyboard
    assert board.seconds == seconds
    known = known_words(tokenizer)
    for text in board.marked_texts():
        assert count_tokens(tokenizer, text) <= 96
    for segment in board.segments:
        assert set(tokens(segment.text)) <= known
        assert 3 <= segment.text.count(".") <= 5


def test_the_story_is_told_in_order():
    texts = [segment.text for segment in write_text(PIE, 18).storyboard.segments]
    told = " ".join(texts)
    assert all("kitchen" in text for text in texts)
    for one, two in ((" pie", "mouse"), ("mouse", "chas")):
        assert 0 < told.find(one) < told.rfind(two)
    colours = {role.species: role.colour for role in CAST}
    assert colours["cat"] in told
    assert colours["mouse"] in told


def test_a_seed_means_the_same_and_another_seed_other_words():
    assert write_text(PIE, 9, 1) == write_text(PIE + "\n", 9, 1)
    assert write_text(PIE, 9, 1).storyboard != write_text(PIE, 9, 2).storyboard


def test_scene_starts_are_where_place_or_time_changes():
    board = write_text("A dog sleeps in the bedroom. It runs to the beach and dances. At night a duck cries.", 18)
    starts = [segment.scene_start for segment in board.storyboard.segments]
    assert starts.count(True) == 3
    for segment in board.storyboard.segments[1:]:
        assert segment.scene_start or "bedroom" in segment.text or "beach" in segment.text


def test_too_much_for_the_time_names_the_length_that_does():
    much = "A cat eats a pie in the kitchen. It runs to the beach. It runs to the forest. It goes to the street."
    with pytest.raises(ConfigError, match=r"--seconds is 9, but .* need 12 s\. Try --seconds 18"):
        write_text(much, 9)


def test_nothing_to_show_is_an_error():
    with pytest.raises(StoryboardError, match="nothing that the demo model's cartoon can show"):
        write_text("Economics matters greatly.")


def test_two_who_hide_in_one_place_are_told_as_well_as_can_be():
    written = write_text("The cat and the dog hide in the forest.", 9)
    assert len(written.storyboard.segments) == 3


def test_stages_are_saved_and_the_second_run_has_nothing_to_do(plot, tmp_path):
    out = tmp_path / "pie.json"
    first = write_plot(plot, out, 9)
    assert sorted(path.name for path in (tmp_path / "pie.stages").iterdir()) == [
        "1.plot.json", "2.beats.json", "made.json",
    ]  # fmt: skip
    before = out.read_bytes()
    again = write_plot(plot, out, 9)
    assert again.kept == ("plot", "beats", "storyboard")
    assert again.storyboard.model_dump() == first.storyboard.model_dump()
    assert out.read_bytes() == before


def test_an_edited_stage_is_gone_on_from(plot, tmp_path):
    out, beats = tmp_path / "pie.json", tmp_path / "pie.stages" / "2.beats.json"
    write_plot(plot, out, 9)
    stage = json.loads(beats.read_text())
    stage["beats"][1]["place"] = "beach"
    beats.write_text(json.dumps(stage))
    written = write_plot(plot, out, 9)
    assert written.kept == ("plot", "beats")
    assert "beach" in read_storyboard(out).segments[1].text
    sentences = tmp_path / "pie.stages" / "1.plot.json"
    stage = json.loads(sentences.read_text())
    stage["sentences"][1] = "A duck watches."
    sentences.write_text(json.dumps(stage))
    with pytest.raises(StoryboardError, match=r"2\.beats\.json was edited, and so was what it is made from"):
        write_plot(plot, out, 9)
    beats.unlink()
    write_plot(plot, out, 9)
    assert "duck" in out.read_text()


def test_an_edited_beat_that_is_none_is_one_line(plot, tmp_path):
    beats = tmp_path / "pie.stages" / "2.beats.json"
    write_plot(plot, tmp_path / "pie.json", 9)
    good = beats.read_text()
    beats.write_text(good.replace("Biscuit eat pie", "Biscuit fly moon"))
    with pytest.raises(StoryboardError, match=r"beat 1: .*Write WHO VERB"):
        write_plot(plot, tmp_path / "pie.json", 9)
    beats.write_text(good.replace('"kitchen"', '"moon"'))
    with pytest.raises(StoryboardError, match=r"2\.beats\.json at beats, 1, place"):
        write_plot(plot, tmp_path / "pie.json", 9)


def test_locked_segments_stay_word_for_word(plot, tmp_path):
    out = tmp_path / "pie.json"
    write_plot(plot, out, 9)
    board = json.loads(out.read_text())
    board["segments"][1] |= {"text": "My own words.", "locked": True}
    out.write_text(json.dumps(board))
    plot.write_text(PIE.replace("pie", "cake"))
    written = write_plot(plot, out, 9)
    assert [own.text == "My own words." for own in written.storyboard.segments] == [False, True, False]
    assert read_storyboard(out).segments[1].locked
    assert "cake" in out.read_text()
    write_plot(plot, out, 9, again=True)
    assert read_storyboard(out).segments[1].text == "My own words."
    plot.write_text("A cat sleeps.")
    with pytest.raises(StoryboardError, match=r"segment 2 of .* is locked, but the new storyboard has 1 segment"):
        write_plot(plot, out, 3, again=True)


def test_edits_that_are_not_locked_are_not_overwritten(plot, tmp_path):
    out = tmp_path / "pie.json"
    write_plot(plot, out, 9)
    board = json.loads(out.read_text())
    board["segments"][2]["text"] = "Mine."
    out.write_text(json.dumps(board))
    assert write_plot(plot, out, 9).storyboard.segments[2].text == "Mine."
    plot.write_text(PIE.replace("pie", "cake"))
    with pytest.raises(StoryboardError, match=r"was edited \(segment 3\)"):
        write_plot(plot, out, 9)


def test_a_storyboard_of_another_origin_is_not_overwritten(plot, tmp_path):
    out = tmp_path / "other.json"
    out.write_text('{"segments": [{"text": "Mine."}]}')
    with pytest.raises(OutputError, match="was not written from this plot"):
        write_plot(plot, out, 9)
