import pytest

from storyreel.models.words import GROUPS, forms_of, inflect, lemmas_of, nearest_words, replace_word, synonyms_of


@pytest.mark.parametrize(
    ("word", "lemma", "form"),
    [
        ("chases", "chase", "s"),
        ("carries", "carry", "s"),
        ("carried", "carry", "ed"),
        ("running", "run", "ing"),
        ("chasing", "chase", "ing"),
        ("dropped", "drop", "ed"),
        ("ate", "eat", "ed"),
        ("children", "child", "s"),
        ("watches", "watch", "s"),
    ],
)
def test_lemmas(word, lemma, form):
    assert (lemma, form) in lemmas_of(word)


@pytest.mark.parametrize("lemma", ["walk", "chase", "carry", "run", "eat", "watch", "mouse", "hide", "cry"])
@pytest.mark.parametrize("form", ["s", "ing", "ed"])
def test_every_inflection_leads_back_to_its_lemma(lemma, form):
    for word in inflect(lemma, form):
        assert lemma in [found for found, _ in lemmas_of(word)]


def test_a_synonym_keeps_the_form_where_it_can():
    known = frozenset({"cat", "cats", "run", "runs", "running"})
    words = ["kitty", "kitties", "sprint", "sprints", "sprinting"]
    assert [replace_word(word, known).replacement for word in words] == ["cat", "cats", "run", "runs", "running"]


def test_forms_come_before_synonyms():
    assert replace_word("strolls", frozenset({"stroll", "walks"})).replacement == "stroll"


def test_adverbs_and_comparatives_are_forms():
    assert "happy" in forms_of("happily")
    assert "big" in forms_of("bigger")
    assert "gentle" in forms_of("gently")
    assert "quickly" in forms_of("quick")


def test_no_word_is_its_own_synonym():
    for line in GROUPS.strip().splitlines():
        for word in line.split():
            assert word not in synonyms_of(word)


def test_a_group_names_no_word_twice():
    for line in GROUPS.strip().splitlines():
        assert len(set(line.split())) == len(line.split()), line


def test_short_words_and_numbers_have_no_likeness():
    assert nearest_words("cap", {"cat"}) == ()
    assert nearest_words("1234", {"1235"}) == ()
    assert replace_word("cap", frozenset({"cat"})).how == "unknown"
