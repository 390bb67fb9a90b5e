"""Super-resolution with a real architecture of spandrel at a tiny size, its weights random or chosen."""

import importlib.util
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from storyreel.data import build, probe, scenes, segments
from storyreel.data.build import BuildConfig, Enlarging
from storyreel.data.decode import View, all_views
from storyreel.data.film import FilmRow
from storyreel.data.manifest import read_dropped, read_rows, record_path
from storyreel.data.model_file import check_file
from storyreel.data.segments import SegmentRow, SegmentsConfig
from storyreel.data.takes import read_take, take_frames
from storyreel.errors import ConfigError, DataError, WeightsError

if importlib.util.find_spec("spandrel") is None:
    pytest.skip("needs spandrel: pip install '.[upscale]'", allow_module_level=True)

from spandrel.architectures.Compact import Compact
from spandrel.architectures.DnCNN import DnCNN

from storyreel.data import upscale
from storyreel.data.super_resolution import enlarge, model_at_work
from storyreel.data.upscale import EnlargedRow, UpscaleConfig

LARGE = {"width": 96, "height": 72}


def write_weights(path, nearest=False, scale=2, seed=0):
    """A compact network of two inner layers; `nearest`: with a last layer of zeros it repeats each pixel."""
    torch.manual_seed(seed)
    model = Compact(num_feat=8, num_conv=2, upscale=scale)
    with torch.no_grad():
        last = model.body[-1]
        for parameter in last.parameters():
            parameter.mul_(0 if nearest else 3)
    save_file({name: own.contiguous() for name, own in model.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights") / "compact.safetensors")


def prepared(film, out):
    """The steps before, of one shot."""
    probe.run(film, out / "probe", probe.ProbeConfig(), workers=1)
    scenes.run(out / "probe", out / "scenes", scenes.ScenesConfig(), workers=1)
    return out


def enlarged(out, weights, **options):
    upscale.run(out / "scenes", out / "upscale", UpscaleConfig(**LARGE, **options), model=weights, workers=1)
    return read_rows(out / "upscale", EnlargedRow)


@pytest.mark.parametrize("size", [(48, 64), (33, 47)])
@pytest.mark.parametrize("tile", [16, 17, 40])
def test_tiles_give_what_the_whole_picture_gives(weights, size, tile):
    model = model_at_work(str(weights), "", "cpu", "float32")
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    whole = enlarge(model, picture, 1000, 0)
    assert whole.shape == (2 * size[0], 2 * size[1], 3)
    # Four layers of 3 x 3 see four pixels far.
    tiled = enlarge(model, picture, tile, 4)
    assert np.abs(tiled.astype(int) - whole).max() <= 1
    assert (tiled == whole).mean() > 0.999
    assert np.abs(enlarge(model, picture, tile, 0).astype(int) - whole).max() > 3


def test_no_tile_is_larger_than_asked_for(weights):
    model = model_at_work(str(weights), "", "cpu", "float32")
    seen = []
    model.model.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[2:]))
    enlarge(model, np.zeros((100, 130, 3), np.uint8), 32, 8)
    assert len(seen) == 4 * 5
    assert max(max(shape) for shape in seen) == 48


def test_a_small_shot_is_enlarged_and_segments_show_it(tmp_path, film_writer, squares):
    """A model that repeats pixels makes nearly what Lanczos makes, in the same frames."""
    out = prepared(film_writer(tmp_path / "a.mp4", squares(150)), tmp_path / "out")
    (row,) = enlarged(out, write_weights(tmp_path / "nearest.safetensors", nearest=True))
    assert (row.frames, row.size, row.scale) == (97, (64, 48), 2)
    config = SegmentsConfig(**LARGE, crf=4)
    segments.run(out / "scenes", out / "plain", config, workers=1)
    segments.run(out / "scenes", out / "segments", config, upscaled=out / "upscale", workers=1)
    plain, own = (read_rows(out / name, SegmentRow) for name in ("plain", "segments"))
    assert [one.id for one in own] == [one.id for one in plain]
    assert [one.picks for one in own] == [one.picks for one in plain]
    for number in (0, 50, 96):
        a, b = (next(read_take(out / name / plain[0].take, number, number)) for name in ("plain", "segments"))
        assert a.shape == b.shape == (72, 96, 3)
        difference = a.astype(float) - b
        assert abs(difference.mean()) < 0.5
        assert 0.5 < np.abs(difference).mean() < 8


def test_a_take_is_what_the_model_makes_of_the_frames(tmp_path, film_writer, squares):
    """At twice the film's size nothing is scaled after the model, which here repeats each pixel."""
    out = prepared(film_writer(tmp_path / "a.mp4", squares(80)), tmp_path / "out")
    model = write_weights(tmp_path / "nearest.safetensors", nearest=True)
    upscale.run(out / "scenes", out / "upscale", UpscaleConfig(width=128, height=96), model=model, workers=1)
    (row,) = read_rows(out / "upscale", EnlargedRow)
    (film,) = read_rows(out / "probe", FilmRow)
    view = View.to_enlarge(film, 128, 96)
    assert view is not None
    pictures = {number: own.to_ndarray(format="rgb24") for number, own in all_views(tmp_path / "a.mp4", film, view)}
    light = {number: 16 + own @ [0.2126, 0.7152, 0.0722] * 219 / 255 for number, own in pictures.items()}
    take = [frame.to_ndarray()[:96].reshape(48, 2, 64, 2) for frame in take_frames(out / "upscale" / row.take, 0, 48)]
    assert len(take) == 49
    # The shot's 80 frames lose 1/6 s at each end: take frame 0 shows frame 4, and frame 48 shows frame 76.
    for place, number in ((0, 4), (48, 76)):
        assert np.ptp(take[place], axis=(1, 3)).max() <= 1
        assert np.abs(take[place].mean(axis=(1, 3)) - light[number]).max() < 1.5


def test_what_is_large_enough_or_short_stays(tmp_path, film_writer, squares, weights):
    films = tmp_path / "films"
    films.mkdir()
    film_writer(films / "large.mp4", squares(80, height=72, width=96))
    film_writer(films / "short.mp4", squares(40))
    out = prepared(films, tmp_path / "out")
    assert enlarged(out, weights) == []
    assert sorted((one.unit, one.reason) for one in read_dropped(out / "upscale")) == [
        ("shot", "large enough"),
        ("shot", "short"),
    ]
    config = SegmentsConfig(**LARGE)
    with_step = segments.run(out / "scenes", out / "1", config, upscaled=out / "upscale", workers=1)
    without = segments.run(out / "scenes", out / "2", config, workers=1)
    assert with_step.content == without.content


@pytest.mark.parametrize(("aspect", "rotation", "size"), [("1", 0, (64, 48)), ("2", 0, (72, 48)), ("1", 90, (48, 36))])
def test_square_pixels_and_upright(aspect, rotation, size):
    fields = {"box": (0, 0, 64, 48), "sample_aspect": aspect, "rotation": rotation, "interlaced": False}
    film = FilmRow.model_construct(**fields)
    target = (96, 64) if aspect == "2" else (96, 72)
    view = View.to_enlarge(film, *target)
    assert view is not None
    assert (view.width, view.height) == size
    assert View.to_enlarge(film, 32, 24 if aspect == "1" else 22) is None


def test_the_model_file_is_an_ingredient(tmp_path, film_writer, squares, weights):
    out = prepared(film_writer(tmp_path / "a.mp4", squares(80)), tmp_path / "out")
    (row,) = enlarged(out, weights)
    first = (out / "upscale" / row.take).read_bytes()
    stamp = (out / "upscale" / row.take).stat().st_mtime_ns
    enlarged(out, weights)
    assert (out / "upscale" / row.take).stat().st_mtime_ns == stamp
    other = write_weights(tmp_path / "other.safetensors", seed=1)
    enlarged(out, other)
    assert (out / "upscale" / row.take).read_bytes() != first
    enlarged(out, weights)
    assert (out / "upscale" / row.take).read_bytes() == first


def test_segments_follow_what_was_enlarged(tmp_path, film_writer, squares, weights):
    film = film_writer(tmp_path / "a.mp4", squares(80))
    config = BuildConfig(upscale=UpscaleConfig(**LARGE), segments=SegmentsConfig(**LARGE))
    out = tmp_path / "out"
    told = []
    made = build.run(film, out, config, enlarging=Enlarging(weights, workers=1), workers=1, on_estimate=told.append)
    assert list(made) == ["probe", "scenes", "upscale", "segments"]
    assert (told[0].items, told[0].unit) == (49, "frames")
    plain = build.run(film, tmp_path / "plain", BuildConfig(segments=config.segments), workers=1)
    assert plain["segments"].content != made["segments"].content
    again = build.run(film, out, BuildConfig(segments=config.segments), workers=1)
    assert again["segments"].content == plain["segments"].content


def test_another_size_or_other_shots_are_told(tmp_path, film_writer, squares, weights):
    out = prepared(film_writer(tmp_path / "a.mp4", squares(80)), tmp_path / "out")
    (row,) = enlarged(out, weights)
    with pytest.raises(DataError, match="pictures of 96x72, but the segments are to be 64x48"):
        segments.run(out / "scenes", out / "s", SegmentsConfig(64, 48), upscaled=out / "upscale", workers=1)
    record_path(out / "upscale", row.id).unlink()
    with pytest.raises(DataError, match="other shots than these"):
        segments.run(out / "scenes", out / "s", SegmentsConfig(**LARGE), upscaled=out / "upscale", workers=1)


def test_files_that_could_run_code_are_refused_with_the_way_out(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match=r"is not \.safetensors.*weights_only=True"):
        check_file(tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="there is no model file"):
        check_file(tmp_path / "model.safetensors")


def test_models_that_cannot_serve(tmp_path):
    cases = {
        "torn": (b"\0" * 40, "cannot be read"),
        "unknown": ({"a": torch.zeros(1)}, "no architecture that spandrel knows"),
        "denoiser": (DnCNN(in_nc=3, out_nc=3, nc=8, nb=5).state_dict(), "does not enlarge"),
        "grey": (Compact(num_in_ch=1, num_out_ch=1, num_feat=8, num_conv=2, upscale=2).state_dict(), "1 channels"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / f"{name}.safetensors"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            save_file({key: own.contiguous() for key, own in content.items()}, path)
        with pytest.raises(WeightsError, match=message):
            model_at_work(str(path), "", "cpu", "float32")


# Forks what it kills, so that the libraries are imported once.
SCRIPT = """
import os, random, signal, sys, time, warnings
from pathlib import Path
import spandrel, torch
from storyreel.data import upscale

torch.set_num_threads(1)
warnings.filterwarnings("ignore", message=".*fork.*")
out, weights, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
chance, killed = random.Random(0), 0
for _ in range(8):
    child = os.fork()
    if not child:
        try:
            config = upscale.UpscaleConfig(width=96, height=72)
            upscale.run(out / "scenes", out / "upscale", config, model=weights, workers=1)
        finally:
            os._exit(0)
    time.sleep(chance.uniform(0.02, 0.3) * seconds)
    os.kill(child, signal.SIGKILL)
    killed += os.waitpid(child, 0)[1] == signal.SIGKILL
print(killed)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_again_and_again(tmp_path, film_writer, squares, weights):
    film = film_writer(tmp_path / "a.mp4", [own for seed in (1, 2, 3) for own in squares(80, seed=seed)])
    start = time.monotonic()
    enlarged(prepared(film, tmp_path / "unbroken"), weights)
    seconds = time.monotonic() - start
    out = prepared(film, tmp_path / "killed")
    command = [sys.executable, "-c", SCRIPT, str(out), str(weights), str(seconds)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout) >= 2
    assert len(enlarged(out, weights)) == 3
    files = [
        {path.relative_to(own): path.read_bytes() for path in (own / "upscale").rglob("*") if path.is_file()}
        for own in (out, tmp_path / "unbroken")
    ]
    assert files[0] == files[1]


@pytest.mark.parametrize("change", [{"tile": 8}, {"margin": -1}, {"dtype": "float8"}])
def test_configurations_that_cannot_be(change):
    with pytest.raises(ConfigError):
        UpscaleConfig(**change)
