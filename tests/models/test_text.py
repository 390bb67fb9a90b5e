import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from storyreel.errors import ConfigError, StoryboardError, WeightsError
from storyreel.models.text import (
    build_text_encoder,
    build_tokenizer,
    count_tokens,
    encode_ids,
    encode_texts,
    known_words,
    load_tokenizer,
    prepare_text,
    tokenize,
    unknown_words,
)

WORDS = ["the", "a", "cat's", "cat", "mouse", "walks", "runs", "into", "kitchen", "living", "room", "pie", "eats"]
WORDS += ["falls", "slowly", "green", "laughs", ".", ","]


@pytest.fixture
def tokenizer():
    return build_tokenizer(WORDS)


@pytest.fixture
def text_encoder():
    torch.manual_seed(0)
    return build_text_encoder(vocab_size=32, width=32, layers=2, heads=2).eval()


@pytest.mark.parametrize("content", ["{}", "[]", '{"model": {"type": "WordLevel"}}'])
def test_json_that_is_no_tokenizer_is_named(content, tmp_path):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(WeightsError, match=r"tokenizer\.json describes no tokenizer \(.*\)\. Copy the model") as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


def test_special_tokens_have_the_ids_that_training_relies_on(tokenizer):
    marks = ["<pad>", "</s>", "<unk>", "<start_scene>", "<end_scene>"]
    assert tokenizer.convert_tokens_to_ids(marks) == [0, 1, 2, 3, 4]
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)


def test_one_token_a_word_and_punctuation_mark_in_lower_case(tokenizer):
    ids = tokenizer("<start_scene> The CAT’s  pie, falls. <end_scene>")["input_ids"]
    expected = ["<start_scene>", "the", "cat", "'s", "pie", ",", "falls", ".", "<end_scene>", "</s>"]
    assert tokenizer.convert_ids_to_tokens(ids) == expected


def test_vocabulary_does_not_depend_on_order_or_repetition():
    assert build_tokenizer(WORDS).get_vocab() == build_tokenizer([*reversed(WORDS), "Cat"]).get_vocab()


def test_known_words_are_the_pieces_without_special_tokens(tokenizer):
    assert known_words(tokenizer) == frozenset(WORDS) - {"cat's"} | {"'s"}


def test_saved_and_loaded_it_is_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path)
    text = "<start_scene> The cat eats, zebra. <end_scene>"
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert (loaded.get_vocab(), loaded.pad_token, loaded.eos_token) == (tokenizer.get_vocab(), "<pad>", "</s>")


@pytest.mark.parametrize("content", [None, "{", ""])
def test_a_missing_or_damaged_tokenizer_is_a_weights_error(tmp_path, content):
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(WeightsError, match=r"tokenizer\.json cannot be read"):
        load_tokenizer(tmp_path)


def test_tokenize_pads_on_the_right_and_masks(tokenizer):
    ids, mask = tokenize(tokenizer, ["the cat", ""], 5)
    the, cat = tokenizer.convert_tokens_to_ids(["the", "cat"])
    assert ids.tolist() == [[the, cat, 1, 0, 0], [1, 0, 0, 0, 0]]
    assert mask.tolist() == [[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]


def test_a_text_too_long_tells_how_many_tokens_too_many(tokenizer):
    assert count_tokens(tokenizer, "the cat eats a pie.") == 7
    with pytest.raises(StoryboardError, match="text 2 has 7 tokens, but at most 5 fit: 2 too many"):
        tokenize(tokenizer, ["the cat", "the cat eats a pie."], 5)


def test_encoding_ignores_padding_and_zeroes_it(tokenizer, text_encoder):
    with torch.no_grad():
        short = encode_texts(tokenizer, text_encoder, ["the cat eats"], 4)
        long = encode_texts(tokenizer, text_encoder, ["the cat eats"], 9)
    torch.testing.assert_close(long[:, :4], short, rtol=1e-5, atol=1e-6)
    assert long.shape == (1, 9, 32)
    assert not long[:, 4:].any()
    assert short.abs().amin(-1).all()


def test_a_text_does_not_depend_on_its_neighbours_in_the_batch(tokenizer, text_encoder):
    with torch.no_grad():
        together = encode_texts(tokenizer, text_encoder, ["the mouse runs into the kitchen", "a pie", ""], 8)
        alone = encode_texts(tokenizer, text_encoder, ["a pie"], 8)
    torch.testing.assert_close(together[1:2], alone, rtol=1e-5, atol=1e-6)


def test_gradients_reach_the_embedding_of_each_word_used_and_no_other(tokenizer, text_encoder):
    encode_texts(tokenizer, text_encoder, ["the cat"], 6).square().sum().backward()
    moved = text_encoder.get_input_embeddings().weight.grad.abs().sum(-1) > 0
    used = [*tokenizer.convert_tokens_to_ids(["the", "cat"]), 1]
    assert sorted(moved.nonzero().flatten().tolist()) == sorted(used)


def test_encoder_width_must_divide_by_heads():
    with pytest.raises(ConfigError, match=r"text encoder width is 30, .* multiple of its 4 heads. Try 28"):
        build_text_encoder(10, 30, 1, 4)


@pytest.mark.parametrize(
    ("word", "replacement", "how"),
    [
        ("walking", "walks", "form"),
        ("Walked", "walks", "form"),
        ("cats", "cat", "form"),
        ("mice", "mouse", "form"),
        ("ran", "runs", "form"),
        ("fallen", "falls", "form"),
        ("slow", "slowly", "form"),
        ("kitty", "cat", "synonym"),
        ("kittens", "cat", "synonym"),
        ("sprinted", "runs", "synonym"),
        ("lounge", "living room", "synonym"),
        ("emerald", "green", "synonym"),
        ("kichen", "kitchen", "guess"),
        ("telescope", "<unk>", "unknown"),
        ("77", "<unk>", "unknown"),
    ],
)
def test_unknown_words_are_replaced_by_form_then_synonym_then_spelling(tokenizer, word, replacement, how):
    text, (found,) = prepare_text(tokenizer, f"The cat, {word}.")
    assert (found.word, found.replacement, found.how) == (word, replacement, how)
    assert text == f"The cat, {word if how == 'unknown' else replacement}."


def test_unknown_words_lists_each_once_in_order(tokenizer):
    assert unknown_words(tokenizer, "Kitty saw a telescope. kitty eats.") == [
        ("Kitty", "cat"), ("saw", "<unk>"), ("telescope", "<unk>")
    ]  # fmt: skip


def test_a_guess_names_the_nearest_words(tokenizer):
    (found,) = prepare_text(tokenizer, "the kitchin")[1]
    assert found.nearest[0] == "kitchen"


def test_known_text_and_marks_are_left_as_they_are(tokenizer):
    text = "<start_scene> The  cat’s pie. <end_scene>"
    assert prepare_text(tokenizer, text) == (text, [])


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=60))
def test_after_preparation_only_the_words_that_were_told_are_unknown(text):
    tokenizer = build_tokenizer(WORDS)
    prepared, notes = prepare_text(tokenizer, text)
    left = sum(token == 2 for token in tokenizer(prepared)["input_ids"])
    assert bool(left) == any(note.how == "unknown" for note in notes)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_encoding_equals_transformers_with_its_own_mask(tokenizer, text_encoder, attention, dtype):
    text_encoder.set_attn_implementation(attention)
    text_encoder.to(dtype)
    for texts in (["the mouse runs into the kitchen", "a pie", ""], ["a cat eats a pie . ,"]):  # the second: no padding
        ids, mask = tokenize(tokenizer, texts, 8)
        encoded = encode_ids(text_encoder, ids, mask)
        own = text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        torch.testing.assert_close(encoded, own * mask[..., None].to(dtype))
        assert encoded.isfinite().all()


def test_encoding_looks_into_no_tensor(tokenizer, text_encoder):
    """On "meta" there are no values to look at; a CUDA graph could not hold a step that does."""
    ids, mask = (x.to("meta") for x in tokenize(tokenizer, ["the mouse runs", "a pie"], 8))
    encode_ids(text_encoder.to("meta").train(), ids, mask).sum().backward()
    assert all(p.grad is not None for p in text_encoder.encoder.parameters())
