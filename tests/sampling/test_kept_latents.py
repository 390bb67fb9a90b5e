import copy

import pytest
import torch

from storyreel.sampling import kept_latents
from storyreel.sampling.batch import sample_latents
from storyreel.sampling.kept_latents import sample_or_load, weights_hash

SETTINGS = {"steps": 2, "guidance": 2.0, "solver": "ddim", "max_text_tokens": 24, "seed": 7}
TEXTS = [["the cat eats the pie."], ["a mouse runs."], ["the mouse sleeps."]]


@pytest.fixture
def made(monkeypatch):
    """How many videos each call made."""
    counts = []

    def counted(pipeline, texts, **settings):
        counts.append(len(texts))
        return sample_latents(pipeline, texts, **settings)

    monkeypatch.setattr(kept_latents, "sample_latents", counted)
    return counts


def test_what_is_there_is_not_made_again(pipeline, tmp_path, made):
    expected = sample_latents(pipeline, TEXTS, **SETTINGS)
    for _ in range(2):
        torch.testing.assert_close(sample_or_load(pipeline, TEXTS, tmp_path, **SETTINGS), expected)
    assert made == [3]
    assert not list(tmp_path.glob("*.part"))


def test_a_lost_or_damaged_clip_is_made_alone_with_its_own_noise(pipeline, tmp_path, made):
    expected = sample_or_load(pipeline, TEXTS, tmp_path, **SETTINGS)
    kept = {file: file.read_bytes() for file in tmp_path.iterdir()}
    for file, content in kept.items():
        file.write_bytes(content[: len(content) // 2])
        torch.testing.assert_close(sample_or_load(pipeline, TEXTS, tmp_path, **SETTINGS), expected)
    first, last = sample_or_load(pipeline, TEXTS[:1], tmp_path, **SETTINGS), SETTINGS | {"seed": 9}
    torch.testing.assert_close(first, expected[:1])
    torch.testing.assert_close(sample_or_load(pipeline, TEXTS[2:], tmp_path, **last), expected[2:])
    assert made == [3, 1, 1, 1]


def test_clips_that_are_not_neighbours_are_made_apart(pipeline, tmp_path, made):
    middle = SETTINGS | {"seed": 8}
    sample_or_load(pipeline, TEXTS[1:2], tmp_path, **middle)
    expected = sample_latents(pipeline, TEXTS, **SETTINGS)
    torch.testing.assert_close(sample_or_load(pipeline, TEXTS, tmp_path, **SETTINGS), expected)
    assert made == [1, 1, 1]


def test_other_settings_or_weights_are_other_clips_but_not_another_decoder(pipeline, tmp_path, made):
    sample_or_load(pipeline, TEXTS, tmp_path, **SETTINGS)
    sample_or_load(pipeline, TEXTS, tmp_path, **SETTINGS | {"guidance": 3.0})
    other = copy.copy(pipeline)
    other.vae = copy.deepcopy(pipeline.vae)
    with torch.no_grad():
        next(other.vae.parameters()).add_(1)
    sample_or_load(other, TEXTS, tmp_path, **SETTINGS)
    assert made == [3, 3]
    trained = copy.deepcopy(pipeline.text_encoder)
    assert weights_hash(trained) == weights_hash(pipeline.text_encoder)
    with torch.no_grad():
        next(trained.parameters()).add_(1)
    assert weights_hash(trained) != weights_hash(pipeline.text_encoder)
    assert weights_hash(trained.double()) != weights_hash(trained.float())
