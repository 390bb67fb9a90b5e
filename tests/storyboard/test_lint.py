import pytest

from storyreel.errors import StoryboardError
from storyreel.models.text import build_tokenizer
from storyreel.storyboard.lint import inspect_storyboard, lint_storyboard, mend_storyboard
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


def inspected(tokenizer, *texts, length=60, **changes):
    segments = [StoryboardSegment(text=text, scene_start=n == 0, **changes) for n, text in enumerate(texts)]
    return inspect_storyboard(Storyboard(segments=segments), tokenizer, length)


GOOD = "In the kitchen. The cat walks. The camera rests."


@pytest.fixture(scope="module")
def wide():
    words = (
        "in the cat kitchen street walks eats a pie camera rests view zooms pans to left right mouse pip grey orange"
    )
    return build_tokenizer([*words.split(), "he", ".", ",", "biscuit", "black"])


@pytest.mark.parametrize(
    ("texts", "level", "rule", "line"),
    [
        (
            [GOOD] * 2,
            "warning",
            "count",
            "6 s, and models are trained at 3, 9, 18, 30, 63 s. Take out 1 segment for 3 s",
        ),
        ([GOOD, GOOD, GOOD], "warning", "repeat", "its paragraph is the same as that of segment 1"),
        (["The cat walks."], "note", "paragraph", "it has 1 sentence; models are trained on 3 to 5"),
        ([". . ."], "error", "paragraph", "it has no words"),
        (["In  the kitchen. The cat walks. The cat eats."], "note", "white space", "stray white space"),
        (["He walks. The cat eats. The camera rests."], "warning", "pronoun", 'it opens with "He"'),
        ([GOOD, GOOD.replace("kitchen", "street")], "warning", "borders", "the place changes from kitchen to street"),
        (
            ["Biscuit the orange cat walks. A. B.", "Biscuit the black cat eats. A. B."],
            "warning",
            "looks",
            "Biscuit is black, but was orange in segment 1. Keep Biscuit orange",
        ),
        (["The cat says a pie. A. B."], "warning", "speech", "it has speech"),
        (["The camera zooms. The cat. The camera pans to the left."], "warning", "camera", "makes 2 moves"),
        (["The cat <start_scene> walks. A. B."], "error", "mark", "it holds the mark <start_scene>"),
        (["The kitty walks. A. B."], "note", "unknown word", '"kitty" (read as cat)'),
        (["The telescope. A. B."], "warning", "unknown word", '"telescope" (read as an unknown word)'),
        ([GOOD * 9], "error", "length", "tokens, but at most 60 fit"),
    ],
)
def test_what_inspection_finds(wide, texts, level, rule, line):
    found = [own for own in inspected(wide, *texts) if own.rule == rule]
    assert any(own.level == level and line in str(own) for own in found), inspected(wide, *texts)


def test_a_good_storyboard_has_no_findings(wide):
    others = ["In the kitchen. Pip the grey mouse eats a pie. The view zooms.", "In the kitchen. A cat walks. He eats."]
    assert inspected(wide, GOOD, *others) == []


def test_mending_is_safe_and_leaves_locked_segments(wide):
    texts = ["The  kitty walks. <end_scene>", "Telescope kitty. The catt walks."]
    segments = [StoryboardSegment(text=text) for text in texts] + [StoryboardSegment(text="a kitty", locked=True)]
    board = Storyboard(segments=segments)
    mended = mend_storyboard(board, wide)
    assert [own.text for own in mended.segments] == ["The cat walks.", "Telescope cat. The catt walks.", "a kitty"]
    assert [own.scene_start for own in mended.segments] == [True, True, False]
    left = [own for own in inspect_storyboard(mended, wide, 60) if own.mended]
    assert left == []
    assert mend_storyboard(mended, wide) == mended
