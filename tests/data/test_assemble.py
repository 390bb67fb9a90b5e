"""Examples in shards: joined by id, read by byte index or by WebDataset, proved by `check`, trained on."""

import importlib.util
import json
import shutil
import tarfile
from itertools import pairwise

import pytest
import torch
from torch.utils.data import DataLoader

from storyreel.data import assemble, check, embeddings, latents
from storyreel.data.assemble import AssembleConfig
from storyreel.data.dataset import ExampleDataset, RankSampler, check_ranks, collate
from storyreel.data.embedding_rows import EmbeddingRow, padded, read_states
from storyreel.data.embeddings import EmbeddingsConfig
from storyreel.data.example_rows import ExampleRow
from storyreel.data.examples import ExamplesConfig
from storyreel.data.latent_clips import batch_indices
from storyreel.data.latent_rows import LatentRow, read_moments
from storyreel.data.manifest import read_dropped, read_manifest, read_rows, write_manifest
from storyreel.data.segments import SegmentRow
from storyreel.data.shards import Place, read_place, write_shards
from storyreel.errors import ConfigError, DataError
from storyreel.models.sizes import ModelSizes
from storyreel.models.text import load_text_encoder, load_tokenizer
from storyreel.sampling.pipeline import load_pipeline

SHORT = ExamplesConfig(stages=(3, 9), validation_share=0.0)


def put_together(root, model, config=None, with_states=True):
    return assemble.run(
        root / "latents",
        root / "assembled",
        config or AssembleConfig(SHORT),
        captions=root / "captions",
        embeddings=root / "embeddings" if with_states else None,
        model=model,
        workers=1,
    )


@pytest.fixture(scope="module")
def encoded(captioned, model, tmp_path_factory):
    """A whole data set but for its examples."""
    root = shutil.copytree(captioned, tmp_path_factory.mktemp("whole") / "set")
    latents.run(root / "segments", root / "latents", latents.LatentsConfig(), model=model, workers=1)
    embeddings.run(root / "captions", root / "embeddings", EmbeddingsConfig(examples=SHORT), model=model, workers=1)
    return root


@pytest.fixture(scope="module")
def whole(encoded, model):
    """With examples of 3 and 9 s; to be read, not changed."""
    put_together(encoded, model)
    return encoded


@pytest.fixture
def own(whole, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(whole, tmp_path / "set")


def length(model, seconds):
    return ModelSizes.read(model).layout(seconds, 32, 48).text_tokens


def test_an_example_holds_what_was_made_of_its_segments(whole, model):
    rows = {row.id: row for row in read_rows(whole / "latents", LatentRow)}
    states = {row.text: row for row in read_rows(whole / "embeddings", EmbeddingRow)}
    for seconds, count in ((3, 6), (9, 2)):
        examples = ExampleDataset(whole / "assembled", seconds, length(model, seconds))
        assert len(examples) == count
        for row, example in zip(examples.rows, map(examples.__getitem__, range(count)), strict=True):
            moments = [read_moments(whole / "latents", rows[own]) for own in row.segments]
            expected = torch.cat([one.mean[place > 0 :] for place, one in enumerate(moments)])
            assert torch.equal(example.moments.mean, expected)
            assert example.moments.mean.shape == (4 * seconds + 1, 4, 4, 6)
            assert torch.equal(example.moments.logvar[0], moments[0].logvar[0])
            assert example.states is not None
            assert example.states.shape == (seconds // 3, length(model, seconds), 32)
            for place, text in enumerate(row.texts):
                expected = padded(read_states(whole / "embeddings", states[text]), length(model, seconds))
                assert torch.equal(example.states[place], expected)
        empty = examples.empty_states()
        assert torch.equal(empty, padded(read_states(whole / "embeddings", states[""]), length(model, seconds)))


def test_a_new_scene_begins_where_the_scene_changes(whole):
    rows = [row for row in read_rows(whole / "assembled", ExampleRow) if row.seconds == 9]
    marks = [pair for row in rows for pair in zip(row.ends, row.starts[1:], strict=False)]
    assert all(ends == starts for ends, starts in marks)
    assert {starts for _, starts in marks} == {True, False}
    for row in rows:
        for text, starts, ends in zip(row.texts, row.starts, row.ends, strict=True):
            assert text.startswith("<start_scene> ") == starts
            assert text.endswith(" <end_scene>") == ends


def test_texts_lie_in_the_shards_once_for_all_stages(whole):
    for shard in (whole / "assembled" / "shards" / "texts").glob("*.tar"):
        with tarfile.open(shard) as tar:
            names = tar.getnames()
        assert len(names) == len(set(names)) == 4  # three texts and the empty one


def test_shards_are_what_webdataset_reads(whole):
    tariterators = pytest.importorskip("webdataset.tariterators")
    samples = []
    for path in sorted((whole / "assembled" / "shards" / "train" / "09s").glob("*.tar")):
        with path.open("rb") as file:
            samples += tariterators.group_by_keys(
                {**one, "__url__": ""} for one in tariterators.tar_file_iterator(file)
            )
    rows = {row.id: row for row in read_rows(whole / "assembled", ExampleRow) if row.seconds == 9}
    assert {sample["__key__"] for sample in samples} == set(rows)
    for sample in samples:
        facts = json.loads(sample["json"])
        assert facts["texts"] == list(rows[facts["id"]].texts)
        assert sample["safetensors"] == read_place(whole / "assembled", rows[facts["id"]].place)


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="needs pyarrow")
def test_the_table_says_what_the_rows_say(whole):
    from pyarrow import parquet

    table = parquet.read_table(whole / "assembled" / "metadata" / "examples.parquet").to_pylist()
    rows = read_rows(whole / "assembled", ExampleRow)
    assert [(one["id"], tuple(one["texts"]), one["offset"]) for one in table] == [
        (row.id, row.texts, row.place.offset) for row in rows
    ]


def test_without_embeddings_examples_have_texts_alone(own, model):
    put_together(own, model, with_states=False)
    example = ExampleDataset(own / "assembled", 9, length(model, 9))[0]
    assert example.states is None
    assert len(example.texts) == 3
    assert not (own / "assembled" / "shards" / "texts").exists()
    assert check.run(own / "assembled", model).is_good


def test_a_lost_segment_takes_its_examples_and_no_others(own, model):
    before = {row.id: row for row in read_rows(own / "assembled", ExampleRow)}
    gone = next(row for row in before.values() if row.seconds == 9).segments[1]
    manifest = read_manifest(own / "captions", "captions")
    for record in (own / "captions" / "items").glob(f"{gone}.json"):
        record.unlink()
    from storyreel.data.manifest import ItemRecord

    records = [ItemRecord.model_validate_json(path.read_bytes()) for path in (own / "captions" / "items").iterdir()]
    common = {"config": manifest.config, "versions": manifest.versions, "source": manifest.source}
    write_manifest(own / "captions", step="captions", rows_unit="caption", records=records, **common)
    told = put_together(own, model)
    after = {row.id: row for row in read_rows(own / "assembled", ExampleRow)}
    assert set(before) - set(after) == {row.id for row in before.values() if gone in row.segments}
    other = next(row for row in after.values() if row.seconds == 9)
    assert after[other.id] == before[other.id]
    assert told.account("segment at 9 s").dropped == 3
    assert {(one.id, one.reason) for one in read_dropped(own / "assembled")} >= {(gone, "no caption")}
    report = check.run(own / "assembled", model)
    assert report.is_good
    assert report.left_out == {
        "segment at 3 s: no caption": 1,
        "segment at 9 s: left over": 2,
        "segment at 9 s: no caption": 1,
    }


def test_shards_are_cut_by_size_and_hold_the_same(own, model):
    before = [row.model_dump(exclude={"place", "states", "empty"}) for row in read_rows(own / "assembled", ExampleRow)]
    put_together(own, model, AssembleConfig(SHORT, shard_bytes=10_000))
    after = read_rows(own / "assembled", ExampleRow)
    assert [row.model_dump(exclude={"place", "states", "empty"}) for row in after] == before
    assert len({row.place.shard for row in after if row.seconds == 3}) == 6
    assert check.run(own / "assembled", model).is_good


def test_places_are_where_tarfile_finds_the_members(tmp_path):
    groups = [
        [(f"{number}.{ending}", bytes([number]) * size)]
        for number, size in enumerate((0, 1, 512, 513, 4000))
        for ending in ("a",)
    ]
    places = write_shards(tmp_path, "x", groups, 3000)
    assert [place.shard for (place,) in places] == ["x-000.tar"] * 3 + ["x-001.tar", "x-002.tar"]
    for (place,), ((name, data),) in zip(places, groups, strict=True):
        assert read_place(tmp_path, place) == data
        with tarfile.open(tmp_path / place.shard) as tar:
            assert tar.getmember(name).offset_data == place.offset
    assert write_shards(tmp_path, "none", [], 10) == []
    assert not (tmp_path / "none-000.tar").exists()
    with pytest.raises(DataError, match="ends before byte"):
        read_place(tmp_path, Place("x-002.tar", 512, 10**6))


def test_films_of_two_data_sets_are_not_mixed(own, captioned, model):
    with pytest.raises(DataError, match="is of the segments in"):
        assemble.run(
            own / "latents", own / "x", AssembleConfig(SHORT),
            captions=captioned / "captions", embeddings=None, model=model,
        )  # fmt: skip


def test_check_says_that_all_is_well(whole, model):
    done = []
    report = check.run(whole / "assembled", model, on_item=lambda *own: done.append(own))
    assert report.is_good
    assert report.left_out == {}
    assert report.statistics["films"] == "2"
    assert report.statistics["9 s, train"] == "2 examples, 0.01 h"
    assert done == [(number, 8) for number in range(9)]
    assert json.loads(check.as_json(report))["findings"] == []
    assert check.run(whole / "assembled", model, batch=4).left_out == {"example at 9 s: fewer than a batch of 4": 2}


def spoiled(own, change):
    """Rewrites the rows and all that vouches for them, as a bug would."""
    folder = own / "assembled"
    lines = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    change(next(line for line in lines if line["seconds"] == 9))
    from storyreel.data.fingerprint import canonical, hash_of_file

    (folder / "rows.jsonl").write_text("".join(canonical(line) + "\n" for line in lines))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["rows_sha256"] = hash_of_file(folder / "rows.jsonl")
    (folder / "manifest.json").write_text(json.dumps(manifest))


CHANGES = [
    (lambda row: row.update(seconds=18), "18 s are"),
    (lambda row: row.update(shape=[36, *row["shape"][1:]]), "its latents are"),
    (lambda row: row["segments"].pop(), "it has 2 segments"),
    (lambda row: row["tokens"].pop(), "it has 2 counts of tokens"),
    (lambda row: row["tokens"].clear(), "it has 0 counts of tokens"),
    (lambda row: row["states"].pop(), "it has 2 texts with states"),
    (lambda row: row["texts"].__setitem__(0, " "), "text 1 is empty"),
    (lambda row: row["starts"].__setitem__(0, not row["starts"][0]), "text 1 has other scene marks"),
    (lambda row: row["ends"].__setitem__(0, not row["starts"][1]), "the next one does not agree"),
    (lambda row: row["tokens"].__setitem__(0, 999), "a text has 999 tokens"),
    (lambda row: row["states"].reverse(), "states are of another text"),
    (lambda row: row["states"][0].update(shape=[900, 32]), "states of a text are"),
    (lambda row: row["place"].__setitem__(1, 0), "there is no member"),
    (lambda row: row.update(sha256="0" * 64), "is damaged"),
    (lambda row: row.update(split="validation"), "it is in train and validation"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES, ids=[message for _, message in CHANGES])
def test_check_finds_what_is_wrong(change, message, own, model):
    spoiled(own, change)
    report = check.run(own / "assembled", model)
    assert any(message in one.what for one in report.findings), report.findings


def test_check_finds_a_damaged_byte_and_another_model(own, model):
    row = next(row for row in read_rows(own / "assembled", ExampleRow) if row.seconds == 9)
    path = own / "assembled" / row.place.shard
    data = bytearray(path.read_bytes())
    data[row.place.offset + row.place.bytes - 1] ^= 1
    path.write_bytes(data)
    (one,) = check.run(own / "assembled", model).findings
    assert one.example == row.id
    assert "is damaged" in one.what
    from storyreel.assets import DEMO_MODEL

    report = check.run(own / "assembled", DEMO_MODEL)
    assert not report.is_good
    assert any("9 s are [37, 32, 4, 6] for this model" in one.what for one in report.findings)


@pytest.fixture(scope="module")
def shorts(whole, model):
    return ExampleDataset(whole / "assembled", 3, length(model, 3))


@pytest.mark.parametrize("ranks", [1, 2])
def test_ranks_share_each_batch_and_every_epoch_holds_all(ranks, shorts):
    samplers = [RankSampler(shorts, 4, seed=7, rank=rank, ranks=ranks) for rank in range(ranks)]
    batches = [[own for sampler in samplers for own in sampler.at(step)] for step in range(9)]
    expected = batch_indices(6, 4, 7)
    assert batches == [next(expected).tolist() for _ in batches]
    flat = [own for batch in batches for own in batch]
    assert all(sorted(flat[start : start + 6]) == list(range(6)) for start in range(0, 36, 6))
    assert flat[:6] != flat[6:12]


def test_an_order_goes_on_where_it_stopped_on_other_ranks_too(shorts):
    whole_run = [RankSampler(shorts, 2, seed=1).at(step) for step in range(8)]
    state = json.loads(json.dumps(RankSampler(shorts, 2, seed=1).state_dict(3)))
    later = [RankSampler(shorts, 2, seed=1, rank=rank, ranks=2) for rank in range(2)]
    for sampler in later:
        sampler.load_state_dict(state)
    pairs = [next(iter(sampler)) for sampler in later]
    assert [own for pair in pairs for own in pair] == whole_run[3]
    with pytest.raises(DataError, match="the checkpoint's seed is 1, but here it is 2"):
        RankSampler(shorts, 2, seed=2).load_state_dict(state)


def test_ranks_that_would_wait_for_ever_are_refused(shorts):
    with pytest.raises(ConfigError, match=r"batch is 3, .* Try 4"):
        RankSampler(shorts, 3, ranks=2)
    with pytest.raises(ConfigError, match="rank is 2"):
        RankSampler(shorts, 4, rank=2, ranks=2)
    with pytest.raises(DataError, match="a batch is 8 examples, but there are 6"):
        RankSampler(shorts, 8, ranks=2)
    state = RankSampler(shorts, 2).state_dict(0)
    check_ranks([state, dict(state)])
    with pytest.raises(DataError, match="rank 1 has count 5, but rank 0 has 6"):
        check_ranks([state, {**state, "count": 5}])


def test_an_example_that_is_not_there_is_told(whole, model):
    with pytest.raises(DataError, match="has no train example of 63 s, but train at 3 s, train at 9 s"):
        ExampleDataset(whole / "assembled", 63, 100)


def test_a_training_step_on_latents_and_states(whole, model):
    """From the data set by DataLoader to a gradient in every parameter that a first step reaches."""
    from storyreel.training.diffusion import add_noise, per_latent, weighted_error

    torch.manual_seed(0)
    transformer = load_pipeline(model, device="cpu", dtype=torch.float32).transformer.requires_grad_(True).train()
    layout = transformer.layout_for(9, 32, 48, ModelSizes.read(model).max_text_tokens)
    examples = ExampleDataset(whole / "assembled", 9, layout.text_tokens)
    sampler = RankSampler(examples, 2)
    batch = next(iter(DataLoader(examples, batch_sampler=sampler, collate_fn=collate)))
    latents_ = batch.moments.sample(torch.randn(batch.moments.mean.shape))
    alpha_bar = per_latent(torch.full((2, layout.segments), 0.5), layout)
    noisy, target = add_noise(latents_, torch.randn_like(latents_), alpha_bar)
    prediction = transformer(noisy, batch.states.float(), torch.tensor([500, 500]), layout)
    weighted_error(prediction, target, torch.ones(2, layout.latents)).backward()
    assert prediction.shape == latents_.shape
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in transformer.parameters())


def test_a_training_step_as_storyreel_train_takes_it(whole, model):
    """The trainer's own batches and step: texts through its own tokenizer and encoder."""
    from storyreel.training.config import DiffusionRun, OptimiserConfig
    from storyreel.training.transformer import Batches, _Stepper

    transformer = load_pipeline(model, device="cpu", dtype=torch.float32).transformer.requires_grad_(True).train()
    layout = transformer.layout_for(9, 32, 48, 160)
    clips = ExampleDataset(whole / "assembled", 9, layout.text_tokens).clips()
    run = DiffusionRun(
        name="tiny", seconds=9, height=32, width=48, max_text_tokens=160, latents_folder="", vae_folder="",
        transformer={}, text_encoder={}, optimiser=OptimiserConfig(), steps=1, batch=2, text_dropout=0.5,
    )  # fmt: skip
    encoder = load_text_encoder(model / "text_encoder").train()
    batches = Batches(run, clips, load_tokenizer(model / "tokenizer"), layout, torch.device("cpu"))
    (inputs,) = batches.at(0, torch.tensor([0, 1]), torch.float32)
    before = [p.detach().clone() for p in transformer.parameters()]
    losses = [float(_Stepper(transformer, encoder, layout)(inputs)["loss"])]
    with torch.no_grad():
        for p in (*transformer.parameters(), *encoder.parameters()):
            if p.grad is not None:
                p -= 1e-3 * p.grad / p.grad.norm().clamp(min=1e-12)
                p.grad = None
    losses.append(float(_Stepper(transformer, encoder, layout)(inputs)["loss"]))
    assert losses[1] < losses[0]
    assert any(not torch.equal(old, new) for old, new in zip(before, transformer.parameters(), strict=True))


def test_segments_are_all_there(whole):
    rows = read_rows(whole / "segments", SegmentRow)
    used = [own for row in read_rows(whole / "assembled", ExampleRow) if row.seconds == 9 for own in row.segments]
    assert sorted(used) == [row.id for row in rows]
    for before, after in pairwise(row for row in read_rows(whole / "assembled", ExampleRow) if row.seconds == 9):
        assert before.film != after.film
