import re

import pytest

from storyreel.toons.catalogue import place_kinds
from storyreel.toons.grammar import make_story
from storyreel.toons.names import CAST
from storyreel.toons.palette import COLLAR
from storyreel.toons.vocabulary import tokens, words
from storyreel.toons.wording import MOST_TOKENS, count_tokens, tidy

PLACE_WORDS = {kind: [kind] for kind in place_kinds()} | {"forest": ["forest", "woods"]}


@pytest.fixture(scope="module")
def stories():
    return [make_story(seed, (1, 3, 6, 21)[seed % 4]) for seed in range(3000, 3320)]


def segments(stories):
    return [(story, own) for story in stories for own in story.segments]


def test_vocabulary_is_small_sorted_and_holds_every_text(stories):
    known = words()
    assert list(known) == sorted(set(known))
    assert 250 < len(known) <= 900
    missing = set()
    for story in stories:
        texts = [story.plot, *(own.text for own in story.segments), *(own.sentence for own in story.segments)]
        for text in texts:
            assert not re.search(r"[^A-Za-z ,.]", text), text
            missing |= set(tokens(text)) - set(known)
    assert not missing


def test_paragraphs_are_three_to_five_sentences_of_few_tokens(stories):
    lengths = []
    for _, own in segments(stories):
        assert 3 <= own.text.count(".") <= 5, own.text
        assert all(sentence[0].isupper() for sentence in own.text.split(". "))
        lengths.append(count_tokens(own.text))
    assert max(lengths) <= MOST_TOKENS
    assert sum(38 <= length <= 70 for length in lengths) > 0.7 * len(lengths)


def test_everybody_in_view_is_named_and_nobody_else(stories):
    for _, own in segments(stories):
        said = set(tokens(own.text))
        for role in CAST:
            named = {role.name.lower(), role.species} & said
            assert bool(named) == (role.name in own.characters_in_view), (role.name, own.text)


def test_place_and_time_are_told(stories):
    for story, own in segments(stories):
        text = own.text.lower()
        kind = story.places[own.place].kind
        assert any(word in text for word in PLACE_WORDS[kind]), text
        for other, names in PLACE_WORDS.items():
            assert other == kind or not any(word in text for word in names), text
        dark = re.search(r"\bnight|\bdark", text)
        light = re.search(r"\bday|daylight|light outside", text)
        assert bool(dark) == (own.time_of_day == "night"), text
        assert bool(light) == (own.time_of_day == "day"), text


def test_camera_is_told(stories):
    for _, own in segments(stories):
        last = own.text.rstrip(".").split(". ")[-1].lower()
        assert re.search("camera|view|we see", last), own.text
        if own.camera.kind == "pan":
            assert ("right" if own.camera.x_to > own.camera.x_from else "left") in last


def test_hidden_things_are_never_told(stories):
    """Colours of collars, props, walls and furniture are memory probes; colours of fur are told."""
    fur = {role.colour for role in CAST}
    hidden = set(COLLAR) - {"none"} - fur - {"blue"}
    for _, own in segments(stories):
        said = set(tokens(own.text))
        assert not hidden & said, own.text
        assert not {"collar", "wallpaper", "stripes", "dots", "checks"} & said
        for role in CAST:
            for found in re.finditer(rf"\b{role.colour} (\w+)", own.text):
                assert found[1] == role.species, own.text


def test_actions_told_are_of_those_in_view(stories):
    for _, own in segments(stories):
        assert own.actions
        assert {name for name, _ in own.actions} == set(own.characters_in_view)


def test_pronouns_follow_a_name(stories):
    for _, own in segments(stories):
        for pronoun in ("he", "she"):
            spot = tokens(own.text).index(pronoun) if pronoun in tokens(own.text) else None
            if spot is not None:
                before = set(tokens(own.text)[:spot])
                fitting = [
                    role for role in CAST if role.pronoun == pronoun and {role.name.lower(), role.species} & before
                ]
                assert fitting, own.text


def test_plot_has_five_to_eight_sentences_and_each_segment_one(stories):
    for story in stories:
        assert 5 <= story.plot.count(".") <= 8, story.plot
        for own in story.segments:
            assert own.sentence.count(".") == 1


def test_wording_varies(stories):
    texts = [own.text for _, own in segments(stories)]
    assert len(set(texts)) > 0.99 * len(texts)


def test_tidy_mends_articles_and_commas():
    assert tidy("  a orange cat , , sits.") == "An orange cat, sits."
