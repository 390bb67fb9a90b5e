import pytest

from storyreel.errors import StoryboardError
from storyreel.models.text import build_tokenizer
from storyreel.storyboard.lint import lint_storyboard
from storyreel.storyboard.schema import Storyboard, StoryboardSegment


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(["the", "cat", "walks", "eats", "a", "pie", "kitchen", ".", ","])


def board(*texts, negative=""):
    segments = [StoryboardSegment(text=text, negative_text=negative).at_line(10 + n) for n, text in enumerate(texts)]
    return Storyboard(segments=segments)


def test_a_storyboard_in_known_words_stays_as_it_is(tokenizer):
    story = board("The cat walks.", "The cat eats a pie.")
    linted = lint_storyboard(story, tokenizer, 20)
    assert linted.storyboard == story
    assert linted.notes == ()


def test_unknown_words_are_replaced_and_told_with_segment_and_line(tokenizer):
    linted = lint_storyboard(board("The cat walks.", "The kitty strolls, the telescope. The kitty."), tokenizer, 20)
    assert linted.storyboard.segments[1].text == "The cat walks, the telescope. The cat."
    (note,) = linted.notes
    assert str(note) == (
        'segment 2 (line 11): this model does not know "kitty" (read as cat), "strolls" (read as walks), '
        '"telescope" (read as an unknown word).'
    )


def test_a_guess_is_called_a_guess_and_the_nearest_words_are_named(tokenizer):
    (note,) = lint_storyboard(board("the kichen"), tokenizer, 20).notes
    assert '"kichen" (read as kitchen, a guess; nearest known: kitchen)' in str(note)
    (note,) = lint_storyboard(board("the walnuts"), tokenizer, 20).notes
    assert '"walnuts" (read as an unknown word; nearest known: walks)' in str(note)


def test_negative_texts_are_read_with_the_same_words(tokenizer):
    linted = lint_storyboard(board("the cat", negative="kitty"), tokenizer, 20)
    assert linted.storyboard.negative_texts() == ["cat"]
    assert '"kitty" (read as cat)' in str(linted.notes[0])


def test_a_segment_that_was_not_read_from_a_file_has_no_line(tokenizer):
    story = Storyboard(segments=[StoryboardSegment(text="zzz")])
    assert str(lint_storyboard(story, tokenizer, 9).notes[0]).startswith("segment 1: this model")


def test_text_too_long_tells_where_and_how_many_tokens_too_many(tokenizer):
    """Six words, a full stop, two scene marks and the end mark are ten tokens."""
    lint_storyboard(board("the cat eats a pie pie."), tokenizer, 10)
    with pytest.raises(StoryboardError) as caught:
        lint_storyboard(board("the cat.", "the cat eats a pie pie pie."), tokenizer, 8)
    assert str(caught.value).startswith("segment 2 (line 11) has 10 tokens, but at most 8 fit: 2 too many. Take out 2")


def test_a_negative_text_too_long_is_called_so(tokenizer):
    with pytest.raises(StoryboardError, match=r"segment 1 \(line 10\)'s negative text has 6 tokens"):
        lint_storyboard(board("a", negative="the cat eats a pie"), tokenizer, 5)


def test_marks_belong_to_scene_start(tokenizer):
    with pytest.raises(StoryboardError, match=r"segment 1 \(line 10\) holds the mark <end_scene>"):
        lint_storyboard(board("the cat <end_scene>"), tokenizer, 20)
