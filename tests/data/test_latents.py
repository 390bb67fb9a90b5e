"""Latents of segments: those of the whole take, windows that the layout can have, and nothing that is not checked."""

import shutil

import av
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from storyreel.data import latents
from storyreel.data.latent_rows import LatentRow, Moments, read_moments, window_moments
from storyreel.data.latents import LatentsConfig
from storyreel.data.manifest import read_manifest, read_rows
from storyreel.data.segments import SegmentRow
from storyreel.data.takes import write_take
from storyreel.errors import ConfigError, DataError, GeometryError, WeightsError
from storyreel.geometry import TokenLayout
from storyreel.models.vae import decode_stream, encode, encode_stream, load_vae


@pytest.fixture(scope="module")
def encoded(captioned, model, tmp_path_factory):
    """The step's folder."""
    out = tmp_path_factory.mktemp("latents")
    latents.run(captioned / "segments", out, LatentsConfig(), model=model, workers=1)
    return out


@pytest.fixture(scope="module")
def take(tmp_path_factory, squares):
    """A take of three segments, and its rows."""
    folder = tmp_path_factory.mktemp("take")
    views = [av.VideoFrame.from_ndarray(own, format="rgb24").reformat(64, 48, "yuv420p") for own in squares(145)]
    write_take(folder / "a.mp4", enumerate(views), range(145), 64, 48, 10)
    common = {"film": "f", "shot": "s", "take": "a.mp4", "frames": 49, "picks": (0, 0), "thumb": ""}
    rows, before = [], None
    for number in range(3):
        start, stop = str(3 * number), str(3 * number + 3)
        own = {"id": f"s{number}", "number": number, "first_frame": 48 * number, "follows": before}
        rows.append(SegmentRow(**common, **own, start_seconds=start, stop_seconds=stop))
        before = f"s{number}"
    return folder / "a.mp4", rows


def pixels_of(path, first, last):
    return torch.stack(list(latents._pixels(path, first, last)), dim=2)


@pytest.mark.parametrize("frames", [1, 9, 17, 49, 97])
def test_a_stream_equals_the_whole_encode(model, frames):
    vae = load_vae(model / "vae").eval()
    pixels = torch.rand(1, 3, frames, 16, 24, generator=torch.Generator().manual_seed(frames)) * 2 - 1
    mean, logvar = encode(vae, pixels)
    parts = list(encode_stream(vae, iter(pixels.unbind(2)), frames))
    assert torch.equal(torch.cat([own for own, _ in parts], dim=2), mean)
    assert torch.equal(torch.cat([own for _, own in parts], dim=2), logvar)
    assert max(own.shape[2] for own, _ in parts) <= 3
    with pytest.raises(ValueError, match=f"{frames} frames came, but {frames + 8} were promised"):
        list(encode_stream(vae, iter(pixels.unbind(2)), frames + 8))


def test_latents_of_a_chain_are_those_of_the_whole_take(model, take):
    path, rows = take
    vae = load_vae(model / "vae").eval()
    mean, logvar = (own[0].transpose(0, 1).bfloat16() for own in encode(vae, pixels_of(path, 0, 144)))
    found = {row.id: (own, spread) for row, own, spread in latents.encode_chain(vae, path, rows)}
    assert [own.shape for own, _ in found.values()] == [(13, 4, 6, 8)] * 3
    assert torch.equal(found["s0"][0], mean[:13])
    for number in (1, 2):
        own, spread = found[f"s{number}"]
        assert torch.equal(own[1:], mean[12 * number + 1 : 12 * number + 13])
        assert torch.equal(spread[1:], logvar[12 * number + 1 : 12 * number + 13])
        # The first one stands for one frame alone, as that of any video.
        head, _ = encode(vae, pixels_of(path, 48 * number, 48 * number))
        assert torch.equal(own[:1], head[0].transpose(0, 1).bfloat16())
        assert not torch.equal(own[:1], mean[12 * number : 12 * number + 1])


def test_a_window_from_the_first_segment_is_the_encoding_of_its_frames(encoded, captioned, model):
    rows = {row.id: row for row in read_rows(encoded, LatentRow)}
    vae = load_vae(model / "vae").eval()
    chains = {}
    for row in read_rows(captioned / "segments", SegmentRow):
        chains.setdefault(row.shot, []).append(row)
    longest = max(chains.values(), key=len)
    assert len(longest) >= 2
    window = window_moments(encoded, [rows[row.id] for row in longest])
    assert window.mean.shape[0] == 12 * len(longest) + 1
    path = captioned / "segments" / longest[0].take
    mean, logvar = encode(vae, pixels_of(path, 0, 48 * len(longest)))
    assert torch.equal(window.mean, mean[0].transpose(0, 1).bfloat16())
    assert torch.equal(window.logvar, logvar[0].transpose(0, 1).bfloat16())


def test_where_the_autoencoder_begins_anew_every_window_is_the_encoding_of_its_frames(
    captioned, model_writer, tmp_path
):
    model = model_writer(tmp_path / "model", window=24)
    latents.run(captioned / "segments", tmp_path / "out", LatentsConfig(), model=model, workers=1)
    vae = load_vae(model / "vae").eval()
    assert latents.begins_anew(vae)
    rows = {row.id: row for row in read_rows(tmp_path / "out", LatentRow)}
    segments = {row.id: row for row in read_rows(captioned / "segments", SegmentRow)}
    pairs = [(segments[row.follows], row) for row in segments.values() if row.follows in segments]
    assert pairs
    for pair in [*pairs, *((row,) for row in segments.values())]:
        window = window_moments(tmp_path / "out", [rows[row.id] for row in pair])
        first = pair[0].first_frame
        pixels = pixels_of(captioned / "segments" / pair[0].take, first, first + 48 * len(pair))
        for given, expected in zip((window.mean, window.logvar), encode(vae, pixels), strict=True):
            assert torch.equal(given, expected[0].transpose(0, 1).bfloat16())


@pytest.mark.parametrize("count", [1, 2, 3])
def test_windows_have_the_layouts_latents_across_shots_too(count, encoded, model):
    rows = sorted(read_rows(encoded, LatentRow), key=lambda row: row.id)[:count]
    window = window_moments(encoded, rows)
    layout = TokenLayout.for_video(3 * count, 32, 48, mini_batch=16, max_text_tokens=160)
    assert window.mean.shape == (layout.latents, 4, 4, 6)
    frames = torch.cat(list(decode_stream(load_vae(model / "vae").eval(), window.mean.transpose(0, 1)[None])), dim=2)
    assert frames.shape == (1, 3, 48 * count + 1, 32, 48)


def test_rows_say_what_was_kept(encoded, captioned):
    manifest = read_manifest(encoded, "latents")
    segments = read_rows(captioned / "segments", SegmentRow)
    assert manifest.account("segment").kept == len(segments) == 6
    assert {row.id for row in read_rows(encoded, LatentRow)} == {row.id for row in segments}
    assert {row.shape for row in read_rows(encoded, LatentRow)} == {(13, 4, 4, 6)}
    assert {"takes", "items"} == {path.name for path in encoded.iterdir() if path.is_dir()}


def test_another_autoencoder_makes_all_anew_and_the_same_one_nothing(captioned, model, model_writer, tmp_path):
    def times():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}

    own = tmp_path / "out"
    first = latents.run(captioned / "segments", own, LatentsConfig(), model=model, workers=1)
    before = times()
    moved = shutil.copytree(model, tmp_path / "moved")
    assert latents.run(captioned / "segments", own, LatentsConfig(), model=moved, workers=1) == first
    assert {path: own for path, own in times().items() if path in before} == before
    other = model_writer(tmp_path / "other", seed=1)
    assert latents.run(captioned / "segments", own, LatentsConfig(), model=other, workers=1).content != first.content
    assert not any(times()[path] == own for path, own in before.items())


def test_an_estimate_comes_before_the_start(captioned, model, tmp_path):
    told = []
    run = {"model": model, "workers": 1, "on_estimate": told.append}
    latents.run(captioned / "segments", tmp_path, LatentsConfig(), **run)
    (guess,) = told
    assert (guess.items, guess.unit) == (6, "segments")
    written = sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors"))
    assert guess.bytes <= written < 1.1 * guess.bytes + 2000
    assert guess.seconds > 0
    assert guess.free_bytes > 0
    latents.run(captioned / "segments", tmp_path, LatentsConfig(), **run)
    assert len(told) == 1
    record = next((tmp_path / "items").glob("*.json"))
    record.write_text(record.read_text().replace('"fingerprint": "', '"fingerprint": "0'))
    latents.run(captioned / "segments", tmp_path, LatentsConfig(), **run)
    assert 0 < told[-1].items < 6, "what is stale counts, too"


def test_a_disk_that_is_too_small_is_told_at_once(captioned, model, tmp_path, monkeypatch):
    monkeypatch.setattr(latents, "free_bytes", lambda folder: 1000)
    with pytest.raises(DataError, match=r"latents needs about .* KiB, but the disk of .* has 1 KiB left"):
        latents.run(captioned / "segments", tmp_path, LatentsConfig(), model=model, workers=1)


def spoil(path, row, **changes):
    tensors = load_file(path)
    metadata = {"encoder": changes.pop("encoder", row.encoder)}
    save_file(tensors | {f"{row.id}.{name}": value for name, value in changes.items()}, path, metadata=metadata)


def wrong(shape=(13, 4, 4, 6), dtype=torch.bfloat16, value=0.0):
    tensor = torch.zeros(shape, dtype=dtype)
    tensor.flatten()[5] = value
    return tensor


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": wrong((12, 4, 4, 6))}, r"mean is bfloat16 \[12, 4, 4, 6\], but bfloat16 \[13, 4, 4, 6\]"),
        ({"logvar": wrong(dtype=torch.float32)}, "logvar is float32"),
        ({"mean": wrong(value=float("nan"))}, "mean reaches from nan"),
        ({"mean": wrong(value=float("inf"))}, "mean reaches from 0 to inf"),
        ({"mean": wrong(value=-150.0)}, "must lie in -100 to 100"),
        ({"logvar": wrong(value=90.0)}, "must lie in -60 to 60"),
        ({"encoder": "another"}, "is of another autoencoder"),
        ({"mean": wrong()}, "is damaged"),
    ],
)
def test_latents_are_checked_when_they_are_read(changes, message, encoded, tmp_path):
    (row, *_) = read_rows(encoded, LatentRow)
    own = shutil.copytree(encoded, tmp_path / "own")
    assert read_moments(own, row, whole_hash=True).mean.shape == row.shape
    spoil(own / row.file, row, **changes)
    with pytest.raises(DataError, match=message):
        read_moments(own, row, whole_hash=True)


def test_a_file_that_is_gone_or_cut_short_is_told(encoded, tmp_path):
    (row, *_) = read_rows(encoded, LatentRow)
    with pytest.raises(DataError, match="Run storyreel data latents again"):
        read_moments(tmp_path, row)
    cut = tmp_path / row.file
    cut.parent.mkdir(parents=True)
    cut.write_bytes((encoded / row.file).read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read"):
        read_moments(tmp_path, row)


def test_a_sample_is_mean_and_spread():
    moments = Moments(torch.full((13, 4, 2, 2), 2.0).bfloat16(), torch.full((13, 4, 2, 2), 2.0).bfloat16())
    noise = torch.randn(13, 4, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(moments.sample(noise), 2 + np.e * noise)


def test_latents_that_are_not_finite_are_dropped(captioned, model, tmp_path, monkeypatch):
    broken = load_vae(model / "vae").eval()
    broken.encoder.conv_out.conv.bias.data.fill_(torch.nan)
    monkeypatch.setattr(latents, "vae_at_work", lambda *_: broken)
    manifest = latents.run(captioned / "segments", tmp_path, LatentsConfig(), model=model, workers=1)
    assert (manifest.account("segment").kept, manifest.account("segment").dropped) == (0, 6)
    assert "not finite" in (tmp_path / "dropped.jsonl").read_text()


def test_sizes_and_models_that_do_not_fit_are_refused(captioned, model, tmp_path):
    with pytest.raises(ConfigError, match="dtype is float16"):
        LatentsConfig(dtype="float16")
    with pytest.raises(WeightsError, match="cannot be read"):
        latents.run(captioned / "segments", tmp_path, LatentsConfig(), model=tmp_path, workers=1)
    manifest = read_manifest(captioned / "segments", "segments")
    small = manifest.model_copy(update={"config": {**manifest.config, "height": 36}})
    with pytest.raises(GeometryError, match="height is 36 pixels"):
        latents.latent_shape(small, model)
    small = manifest.model_copy(update={"config": {**manifest.config, "height": 40}})
    with pytest.raises(GeometryError, match="multiples of the patch"):
        latents.latent_shape(small, model)


def test_chains_break_where_a_segment_is_missing(take):
    _, rows = take
    assert [len(chain) for chain in latents._chains(rows, alone=False)] == [3]
    assert [len(chain) for chain in latents._chains(rows, alone=True)] == [1, 1, 1]
    rows = [rows[0], rows[2].model_copy(update={"follows": None})]
    assert [[row.id for row in chain] for chain in latents._chains(rows, alone=False)] == [["s0"], ["s2"]]
