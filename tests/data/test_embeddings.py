"""Text embeddings: each text once, with its marks, exactly what the model's own encoding gives."""

import json
import shutil
from fractions import Fraction

import pytest
import torch
from safetensors.torch import load_file, save_file

from storyreel.data import embeddings
from storyreel.data.caption_rows import read_captions
from storyreel.data.embedding_rows import EmbeddingRow, padded, read_states, text_key
from storyreel.data.embeddings import EmbeddingsConfig, Story, text_lengths
from storyreel.data.examples import ExamplesConfig
from storyreel.data.film import FilmRow
from storyreel.data.manifest import read_dropped, read_manifest, read_rows
from storyreel.data.segments import SegmentRow
from storyreel.errors import ConfigError, DataError, WeightsError
from storyreel.models.text import encode_ids, encode_texts, load_text_encoder, load_tokenizer, tokenize
from storyreel.storyboard.reader import read_storyboard

SHORT = ExamplesConfig(stages=(3, 9))


def story_of(captioned):
    segments, texts = read_captions(captioned / "captions")
    return Story.read(segments, texts)


def run(captioned, model, out, **changes):
    config = EmbeddingsConfig(**{"examples": SHORT, **changes})
    manifest = embeddings.run(captioned / "captions", out, config, model=model, workers=1)
    return manifest, {row.id: row for row in read_rows(out, EmbeddingRow)}


def test_marks_and_texts_are_those_of_the_storyboards(captioned):
    story = story_of(captioned)
    films = {row.id: row.path for row in read_rows(captioned / "probe", FilmRow)}
    changes = 0
    for film, rows in story.films().items():
        board = read_storyboard(captioned.parent / "films" / films[film].replace(".mp4", ".json"))
        ordered = sorted(rows, key=lambda row: Fraction(row.start_seconds))
        assert [story.marked(row.id) for row in ordered] == board.marked_texts()
        changes += sum(board.starts_scene(place) for place in range(1, 3))
    assert changes >= 1


def test_each_text_is_kept_once_and_without_padding(captioned, model, tmp_path):
    manifest, rows = run(captioned, model, tmp_path)
    story = story_of(captioned)
    texts = {story.marked(own) for own in story.captions} | {""}
    assert {row.text for row in rows.values()} == texts
    assert set(rows) == {text_key(text, None) for text in texts}
    assert manifest.account("text").kept == len(texts)
    tokenizer = load_tokenizer(model / "tokenizer")
    encoder = load_text_encoder(model / "text_encoder")
    lengths = text_lengths(model, (3, 9), 32, 48)
    assert len(set(lengths.values())) == 2
    for row in rows.values():
        assert row.shape == (row.tokens, 32)
        assert row.unknown == 0
        states = read_states(tmp_path, row, whole_hash=True)
        # The same states at each stage's length, to bfloat16's last place.
        for length in lengths.values():
            with torch.no_grad():
                expected = encode_texts(tokenizer, encoder, [row.text], length)[0]
            torch.testing.assert_close(padded(states, length).float(), expected, rtol=2**-7, atol=1e-4)


def test_without_a_mask_a_text_is_encoded_at_each_stages_length(captioned, model, tmp_path):
    _, rows = run(captioned, model, tmp_path, mask="none")
    story = story_of(captioned)
    lengths = text_lengths(model, (3, 9), 32, 48)
    texts = {story.marked(own) for own in story.captions} | {""}
    assert set(rows) == {text_key(text, length) for text in texts for length in lengths.values()}
    tokenizer, encoder = load_tokenizer(model / "tokenizer"), load_text_encoder(model / "text_encoder")
    for row in rows.values():
        assert row.shape == (row.length, 32)
        ids, mask = tokenize(tokenizer, [row.text], row.length)
        with torch.no_grad():
            seen = encode_ids(encoder, ids, torch.ones_like(mask))[0]
            hidden = encode_ids(encoder, ids, mask)[0]
        states = read_states(tmp_path, row)
        torch.testing.assert_close(states.float(), seen, rtol=2**-7, atol=1e-4)
        assert (states.float() - hidden).abs().max() > 0.01


def test_only_lengths_that_examples_need(captioned, model, tmp_path):
    _, rows = run(captioned, model, tmp_path, mask="none", examples=ExamplesConfig(stages=(3, 18)))
    lengths = text_lengths(model, (3, 18), 32, 48)
    # No film has 18 s: of that length there is the empty text alone.
    assert [row.text for row in rows.values() if row.length == lengths[18] != lengths[3]] in ([], [""])


def test_a_new_caption_makes_its_own_text_anew_and_no_other(captioned, model, caption_writer, tmp_path):
    _, first = run(captioned, model, tmp_path / "out")
    before = {key: (tmp_path / "out" / row.file).stat().st_mtime_ns for key, row in first.items()}
    own = shutil.copytree(captioned, tmp_path / "set")
    films = sorted(row.path for row in read_rows(own / "probe", FilmRow))
    texts = {
        name: [one.text for one in read_storyboard(captioned.parent / "films" / name.replace("mp4", "json")).segments]
        for name in films
    }
    texts[films[0]][1] = "A cat sleeps."
    caption_writer(captioned.parent / "films", own / "segments", own / "captions", texts)
    _, second = run(own, model, tmp_path / "out")
    (fresh,) = set(second) - set(first)
    assert "A cat sleeps." in second[fresh].text
    assert len(set(first) - set(second)) == 1
    kept = set(second) - {fresh}
    assert all((tmp_path / "out" / second[key].file).stat().st_mtime_ns == before[key] for key in kept)
    assert len(list((tmp_path / "out").rglob("*.safetensors"))) == len(second)


def test_a_text_that_is_too_long_is_dropped_with_its_beginning(captioned, model, caption_writer, tmp_path):
    own = shutil.copytree(captioned, tmp_path / "set")
    films = sorted(row.path for row in read_rows(own / "probe", FilmRow))
    texts = {name: ["A cat sleeps.", "The cat " + "sleeps " * 200, " "] for name in films}
    caption_writer(captioned.parent / "films", own / "segments", own / "captions", texts)
    manifest, rows = run(own, model, tmp_path / "out")
    assert all("sleeps sleeps" not in row.text for row in rows.values())
    dropped = read_dropped(tmp_path / "out")
    assert {(one.unit, one.reason) for one in dropped} == {("text", "too long")}
    assert "tokens, but at most" in dropped[0].detail
    assert manifest.account("text").seen == len(rows) + len(dropped)


@pytest.mark.parametrize(
    ("states", "encoder", "message"),
    [
        (torch.zeros(3, 32), None, "states are float32"),
        (torch.zeros(3, 32).bfloat16(), None, "states are bfloat16"),
        ("nan", None, "not finite"),
        ("zero", None, "is damaged"),
        ("zero", "other", "of another text encoder"),
    ],
)
def test_states_are_checked_when_they_are_read(states, encoder, message, captioned, model, tmp_path):
    _, rows = run(captioned, model, tmp_path)
    row = max(rows.values(), key=lambda row: row.tokens)
    if isinstance(states, str):
        states = torch.full_like(load_file(tmp_path / row.file)["states"], torch.nan if states == "nan" else 0)
    save_file({"states": states}, tmp_path / row.file, metadata={"encoder": encoder or row.encoder})
    with pytest.raises(DataError, match=message):
        read_states(tmp_path, row, whole_hash=True)


def test_what_is_missing_is_said(captioned, model, tmp_path):
    with pytest.raises(DataError, match="Run storyreel data captions to its end first"):
        embeddings.run(tmp_path, tmp_path / "out", EmbeddingsConfig(), model=model)
    with pytest.raises(ConfigError, match="mask is some"):
        EmbeddingsConfig(mask="some")
    (tmp_path / "model").mkdir()
    for name in ("storyreel.json", "transformer"):
        source, copy = model / name, tmp_path / "model" / name
        shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
    with pytest.raises(WeightsError, match="has no tokenizer"):
        embeddings.run(captioned / "captions", tmp_path / "out", EmbeddingsConfig(), model=tmp_path / "model")


def test_captions_may_have_more_fields(captioned, tmp_path):
    rows = [json.loads(line) for line in (captioned / "captions" / "rows.jsonl").read_text().splitlines()]
    assert all(set(row) == {"id", "text", "provenance"} for row in rows)
    assert {row["id"] for row in rows} == {row.id for row in read_rows(captioned / "segments", SegmentRow)}
    assert read_manifest(captioned / "captions", "captions").source == "../segments"
