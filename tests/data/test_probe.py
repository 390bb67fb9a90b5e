"""Films of every kind: what is said of them, and why some are refused."""

import itertools
from fractions import Fraction

import av
import numpy as np
import pytest

from storyreel.data.decode import View, all_views
from storyreel.data.film import FilmRow, FrameTimes
from storyreel.data.manifest import read_dropped, read_rows
from storyreel.data.probe import ProbeConfig, frame_ticks, run
from storyreel.errors import DataError


def probed(folder, out):
    """(manifest, film by name, refusals by name) of a folder."""
    manifest = run(folder, out, ProbeConfig(), workers=1)
    dropped = read_dropped(out)
    return (
        manifest,
        {row.path: row for row in read_rows(out, FilmRow)},
        {one.detail.split(":")[0]: one for one in dropped},
    )


@pytest.fixture
def films(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), 25, Fraction(30000, 1001), 30, 60])
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_every_rate_has_exact_times(rate, ending, films, tmp_path, film_writer, squares):
    film_writer(films / f"a.{ending}", squares(40), rate)
    _, rows, _ = probed(films, tmp_path / "out")
    film = rows[f"a.{ending}"]
    assert (film.frames, film.variable_rate, film.mended_times, film.decode_errors) == (40, False, 0, 0)
    assert Fraction(film.rate) == pytest.approx(Fraction(rate), rel=1e-3)
    times = FrameTimes.load(tmp_path / "out", film)
    # Matroska counts milliseconds.
    slack = Fraction(0) if ending == "mp4" else Fraction(1, 1000)
    assert all(abs(times.seconds(i) - i / Fraction(rate)) <= slack for i in range(41))
    assert times.frame_at(times.seconds(7)) == 7
    assert times.frame_at(times.seconds(8) - film_tick(film)) == 7


@pytest.mark.parametrize(
    ("ending", "codec"),
    [("webm", "libvpx"), ("avi", "mjpeg"), ("mov", "libx264"), ("ts", "libx264"), ("mpg", "mpeg2video")],
)
def test_other_containers_and_codecs_are_read(ending, codec, films, tmp_path, film_writer, squares):
    film_writer(films / f"a.{ending}", squares(30), 25, codec=codec)
    _, rows, refused = probed(films, tmp_path / "out")
    assert not refused
    film = rows[f"a.{ending}"]
    times = FrameTimes.load(tmp_path / "out", film)
    assert film.frames == 30
    assert all(abs(times.seconds(i) - times.seconds(0) - Fraction(i, 25)) <= Fraction(1, 1000) for i in range(30))


def film_tick(film):
    return Fraction(film.time_base)


def test_a_variable_rate_keeps_each_time(films, tmp_path, film_writer, squares):
    steps = [33, 33, 67, 33, 100, 16, 17] * 6
    ticks = [0, *np.cumsum(steps[:-1]).tolist()]
    film_writer(films / "a.mkv", squares(len(ticks)), 30, ticks=ticks, time_base=Fraction(1, 1000))
    _, rows, _ = probed(films, tmp_path / "out")
    film = rows["a.mkv"]
    assert film.variable_rate
    times = FrameTimes.load(tmp_path / "out", film)
    assert [round(times.seconds(i) * 1000) for i in range(len(ticks))] == ticks


def corner_of(picture):
    """Which corner of a picture is bright: (row, column), 0 or 1 each."""
    rows, columns = picture.shape[0] // 2, picture.shape[1] // 2
    means = picture[: 2 * rows, : 2 * columns].reshape(2, rows, 2, columns, 3).mean(axis=(1, 3, 4))
    return tuple(int(i) for i in np.unravel_index(means.argmax(), (2, 2)))


@pytest.mark.parametrize(("rotation", "corner"), [(0, (0, 0)), (90, (1, 0)), (180, (1, 1)), (270, (0, 1))])
def test_a_rotated_film_stands_upright(rotation, corner, films, tmp_path, film_writer):
    picture = np.full((48, 96, 3), 60, np.uint8)
    picture[:24, :48] = 240
    film_writer(films / "a.mp4", [picture] * 5, rotation=rotation)
    _, rows, _ = probed(films, tmp_path / "out")
    film = rows["a.mp4"]
    assert film.rotation == rotation
    view = View.to_look_at(film, 256)
    assert (view.width, view.height) == ((96, 48) if rotation % 180 == 0 else (48, 96))
    _, frame = next(all_views(films / "a.mp4", film, view))
    # Counter-clockwise by 90 degrees takes the upper left corner to the lower left.
    assert corner_of(frame.to_ndarray(format="rgb24")) == corner


def test_pixels_that_are_not_square(films, tmp_path, film_writer, squares):
    film_writer(films / "a.mp4", squares(5, 48, 64), aspect=Fraction(4, 3))
    _, rows, _ = probed(films, tmp_path / "out")
    film = rows["a.mp4"]
    assert film.sample_aspect == "4/3"
    # 64 pixels of 4:3 are 85.3 square ones.
    assert (View.to_look_at(film, 256).width, View.to_look_at(film, 256).height) == (86, 48)
    # 72 x 48 is 3:2: of 85.3 x 48 it needs 72 square ones, 54 of the film's own.
    assert View.to_fill(film, 72, 48).box == (4, 0, 54, 48)


@pytest.mark.parametrize(("top", "left"), [(10, 0), (0, 12), (8, 8), (0, 0)])
def test_black_bars_are_measured(top, left, films, tmp_path, film_writer, squares):
    height, width = 96, 128
    frames = [np.zeros((height, width, 3), np.uint8) for _ in range(30)]
    for frame, inner in zip(frames, squares(30, 96, 128, seed=3), strict=True):
        frame[top : height - top, left : width - left] = inner[top : height - top, left : width - left].clip(60)
    film_writer(films / "a.mp4", frames)
    _, rows, _ = probed(films, tmp_path / "out")
    x, y, wide, high = rows["a.mp4"].box
    for found, true in ((y, top), (height - y - high, top), (x, left), (width - x - wide, left)):
        assert (found == 0) if true == 0 else (true <= found <= true + 4)


def test_a_dark_film_loses_nothing(films, tmp_path, film_writer):
    film_writer(films / "a.mp4", [np.full((48, 64, 3), 8, np.uint8)] * 10)
    assert probed(films, tmp_path / "out")[1]["a.mp4"].box == (0, 0, 64, 48)


def test_interlaced_frames_lose_their_combs(films, tmp_path, film_writer, squares):
    film = squares(12, 96, 128)
    woven = []
    for early, late in itertools.pairwise(film):
        frame = np.roll(early, 0, axis=1).copy()
        frame[1::2] = np.roll(late, 12, axis=1)[1::2]
        woven.append(frame)
    film_writer(films / "a.mp4", woven, 25, interlaced=True)
    _, rows, _ = probed(films, tmp_path / "out")
    row = rows["a.mp4"]
    assert row.interlaced
    view = View.to_look_at(row, 256)
    numbered = list(all_views(films / "a.mp4", row, view))
    assert [number for number, _ in numbered] == list(range(len(woven)))
    comb = [np.abs(np.diff(pixels.astype(float), axis=0)).mean() for pixels in (woven[5], numbered[5][1].to_ndarray())]
    assert comb[1] < 0.7 * comb[0]


def test_colours_come_out_as_they_went_in(films, tmp_path, film_writer):
    picture = np.zeros((48, 96, 3), np.uint8)
    for place, colour in enumerate([(200, 40, 40), (40, 200, 40), (40, 40, 200), (128, 128, 128)]):
        picture[:, 24 * place : 24 * place + 24] = colour
    film_writer(films / "a.mp4", [picture] * 5)
    _, rows, _ = probed(films, tmp_path / "out")
    _, frame = next(all_views(films / "a.mp4", rows["a.mp4"], View.to_look_at(rows["a.mp4"], 256)))
    shown = frame.to_ndarray()[:, :, ::-1]
    for place in range(4):
        inner = np.s_[8:40, 24 * place + 8 : 24 * place + 16]
        assert np.abs(shown[inner].astype(int) - picture[inner]).max() < 12


def test_what_cannot_be_used_is_refused_one_by_one(films, tmp_path, film_writer, sound_writer, squares):
    good = film_writer(films / "good.mp4", squares(30), sound=True)
    (films / "copy.mp4").write_bytes(good.read_bytes())
    (films / "empty.mp4").write_bytes(b"")
    (films / "cut.mp4").write_bytes(good.read_bytes()[:600])
    (films / "noise.avi").write_bytes(np.random.default_rng(0).bytes(5000))
    (films / "notes.txt").write_text("no film, and not counted as one")
    sound_writer(films / "sound.m4a")
    manifest, rows, refused = probed(films, tmp_path / "out")
    assert set(rows) == {"copy.mp4"}
    assert rows["copy.mp4"].audio_streams == 1
    reasons = {name: one.reason for name, one in refused.items()}
    assert reasons.pop("good.mp4 is a copy of copy.mp4") == "copy"
    assert reasons == {
        "empty.mp4": "empty", "cut.mp4": "unreadable", "noise.avi": "unreadable", "sound.m4a": "no video"
    }  # fmt: skip
    account = manifest.account("film")
    assert (account.seen, account.kept, account.dropped) == (6, 1, 5)


def test_a_film_without_its_end_gives_what_it_has(films, tmp_path, film_writer, squares):
    noise = np.random.default_rng(1)
    frames = [(frame ^ noise.integers(0, 64, frame.shape, np.uint8)) for frame in squares(48, 96, 128)]
    whole = film_writer(tmp_path / "whole.ts", frames).read_bytes()
    (films / "part.ts").write_bytes(whole[: len(whole) // 2])
    _, rows, _ = probed(films, tmp_path / "out")
    assert 10 < rows["part.ts"].frames < 40
    with av.open(str(films / "part.ts")) as container:
        assert rows["part.ts"].frames >= sum(1 for _ in container.decode(video=0)) - 1


def test_a_damaged_film_goes_on_behind_the_damage(films, tmp_path, film_writer, squares):
    data = bytearray(film_writer(tmp_path / "whole.ts", squares(200, 96, 128)).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = np.random.default_rng(2).bytes(2000)
    (films / "hurt.ts").write_bytes(bytes(data))
    _, rows, _ = probed(films, tmp_path / "out")
    assert rows["hurt.ts"].frames > 120


@pytest.mark.parametrize(
    ("stamps", "expected", "mended"),
    [
        ([0, 10, 20], [0, 10, 20, 30], 0),
        ([None, None, None], [0, 40, 80, 120], 3),
        ([0, None, 20, 30], [0, 10, 20, 30, 40], 1),
        ([0, 10, 10, 30, 40], [0, 10, 20, 30, 40, 50], 1),
        ([5], [5, 45], 0),
    ],
)
def test_missing_and_repeated_time_stamps_are_mended(stamps, expected, mended):
    ticks, count = frame_ticks(stamps, 0, Fraction(1, 1000), Fraction(25))
    assert (ticks.tolist(), count) == (expected, mended)


def test_a_raw_stream_without_time_stamps_is_read(films, tmp_path, film_writer, squares):
    film_writer(films / "a.h264", squares(30), 25)
    _, rows, _ = probed(films, tmp_path / "out")
    film = rows["a.h264"]
    times = FrameTimes.load(tmp_path / "out", film)
    assert film.frames == 30
    assert all(times.seconds(i) == Fraction(i, 25) for i in range(31))


def test_a_picture_that_changes_its_size_is_refused(films, tmp_path, film_writer, squares):
    small = film_writer(tmp_path / "a.ts", squares(10, 48, 64)).read_bytes()
    large = film_writer(tmp_path / "b.ts", squares(10, 96, 128)).read_bytes()
    (films / "both.ts").write_bytes(small + large)
    _, _, refused = probed(films, tmp_path / "out")
    assert refused["both.ts"].reason == "size changes"


def test_no_films(films, tmp_path):
    with pytest.raises(DataError, match="holds no film"):
        run(films, tmp_path / "out", ProbeConfig())
    with pytest.raises(DataError, match="there is no"):
        run(tmp_path / "nowhere", tmp_path / "out", ProbeConfig())
