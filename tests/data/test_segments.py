"""Segments: exact frames by time, shared borders, a second look, windows of 16 s + 1 frames."""

from fractions import Fraction

import av
import numpy as np
import pytest

from storyreel.data import probe, scenes, segments
from storyreel.data.film import FilmRow, FrameTimes
from storyreel.data.manifest import read_dropped, read_rows
from storyreel.data.segments import SegmentRow, SegmentsConfig, second_look, window_frames
from storyreel.data.shots import ShotRow
from storyreel.data.takes import Take, plan_take, read_take, segments_with_gaps, write_take
from storyreel.errors import ConfigError, DataError

SMALL = SegmentsConfig(width=64, height=48, crf=4)


def regular(frames, rate):
    """Times of a film of constant rate."""
    rate = Fraction(rate)
    return FrameTimes(np.arange(frames + 1) * rate.denominator, Fraction(1, rate.numerator))


def build(film, out, shots=None, config=SMALL):
    """Rows, drops and folder of the segments of one film; `shots` (CSV lines) stand for looking at it."""
    probe.run(film, out / "probe", probe.ProbeConfig(), workers=1)
    edited = None
    if shots:
        edited = out / "edited"
        edited.mkdir(parents=True, exist_ok=True)
        (row,) = read_rows(out / "probe", FilmRow)
        (edited / f"{row.id}.csv").write_text("\n".join(["scene,start_frame,stop_frame,begins", *shots]) + "\n")
    scenes.run(out / "probe", out / "scenes", scenes.ScenesConfig(), edited=edited, workers=1)
    segments.run(out / "scenes", out / "segments", config, workers=1)
    return read_rows(out / "segments", SegmentRow), read_dropped(out / "segments"), out / "segments"


def test_a_shot_of_10_seconds_loses_half_a_second_at_each_end():
    take = plan_take(regular(1000, 24), 100, 340)
    assert take.segments == 3
    assert take.start == Fraction(100, 24) + Fraction(1, 2)
    assert len(take.picks) == 145
    assert (take.picks[0], take.picks[-1]) == (112, 328)
    assert take.span(2) == (take.start + 6, take.start + 9)


@pytest.mark.parametrize("rate", ["24000/1001", "25", "30000/1001", "30", "60", "16", "12"])
@pytest.mark.parametrize("seconds", [3, Fraction(49, 16), 5, Fraction(1799, 100), 63, 64])
def test_picks_are_what_the_film_shows_at_each_sixteenth(rate, seconds):
    start = 37
    stop = start + int(-(-Fraction(seconds) * Fraction(rate) // 1))
    times = regular(stop + 50, rate)
    take = plan_take(times, start, stop)
    assert len(take.picks) == 48 * take.segments + 1
    assert take.segments == int((times.seconds(stop) - times.seconds(start)) / 3)
    for place, pick in enumerate(take.picks):
        moment = take.start + Fraction(place, 16)
        assert start <= pick < stop
        assert times.seconds(pick) <= moment
        assert moment < times.seconds(pick + 1) or pick == stop - 1
    # Cropped by the same at both ends.
    assert take.start - times.seconds(start) == times.seconds(stop) - (take.start + 3 * take.segments)


def test_a_shot_of_exactly_3_seconds_is_a_segment_and_borrows_no_frame():
    take = plan_take(regular(500, 16), 48, 96)
    assert take.picks == (*range(48, 96), 95)


def test_less_than_3_seconds_is_no_take():
    with pytest.raises(ValueError, match="no segment"):
        plan_take(regular(500, 24), 0, 71)


def test_a_variable_rate_is_resampled_by_time():
    ticks = np.cumsum([0, *([10] * 200), *([100] * 100)])
    take = plan_take(FrameTimes(ticks, Fraction(1, 1000)), 0, 300)
    assert take.segments == 4
    steps = np.diff(take.picks)
    # 10 ms a frame: 6 frames a sixteenth; 100 ms a frame: each is shown once or twice.
    assert set(steps[:30]) == {6, 7}
    assert set(steps[40:]) == {0, 1}


def test_a_gap_in_the_film_is_found_in_its_segment():
    ticks = np.concatenate([np.arange(30) * 40, 1200 + 1500 + np.arange(151) * 40])
    times = FrameTimes(ticks, Fraction(1, 1000))
    take = plan_take(times, 0, 180)
    gaps = segments_with_gaps(take, times, Fraction(1))
    assert gaps == [number for number in range(take.segments) if 29 in take.picks[48 * number : 48 * number + 49]]
    assert gaps == [0]


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), 25, Fraction(30000, 1001), 60])
@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_written_frames_are_the_picked_ones(rate, ending, tmp_path, film_writer, squares, read_number):
    film = film_writer(tmp_path / f"a.{ending}", squares(int(8 * rate)), rate)
    first, last = int(1.1 * rate), int(7.6 * rate)
    rows, dropped, folder = build(film, tmp_path / "out", [f"0,{first},{last},start"])
    assert dropped == []
    assert [row.number for row in rows] == [0, 1]
    for row in rows:
        frames = list(read_take(folder / row.take, row.first_frame, row.first_frame + 48))
        assert len(frames) == row.frames == 49
        (film_row,) = read_rows(tmp_path / "out/probe", FilmRow)
        times = FrameTimes.load(tmp_path / "out/probe", film_row)
        expected = [times.frame_at(Fraction(row.start_seconds) + Fraction(k, 16)) for k in range(49)]
        assert [read_number(frame) for frame in frames] == expected
        assert (expected[0], expected[-1]) == row.picks


def test_neighbours_share_one_frame_to_the_bit(tmp_path, film_writer, squares):
    film = film_writer(tmp_path / "a.mp4", squares(240), 24)
    rows, _, folder = build(film, tmp_path / "out", ["0,0,240,start"])
    assert [row.follows for row in rows] == [None, rows[0].id, rows[1].id]
    early, late = (list(read_take(folder / row.take, row.first_frame, row.first_frame + 48)) for row in rows[:2])
    assert np.array_equal(early[-1], late[0])
    assert not np.array_equal(early[-2], late[0])


def test_every_segment_begins_with_a_key_frame(tmp_path, film_writer, squares):
    film = film_writer(tmp_path / "a.mp4", squares(240), 24)
    rows, _, folder = build(film, tmp_path / "out", ["0,0,240,start"])
    with av.open(str(folder / rows[0].take)) as container:
        keys = [number for number, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    assert keys == [0, 48, 96, 144]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_windows_have_16_frames_a_second_and_one(count, tmp_path, film_writer, squares):
    film = film_writer(tmp_path / "a.mp4", squares(320), 24)
    rows, _, folder = build(film, tmp_path / "out", ["0,0,150,start", "1,150,320,cut"])
    assert [row.number for row in rows] == [0, 1, 0, 1]
    window = list(window_frames(folder, rows[:count]))
    assert len(window) == 16 * 3 * count + 1
    whole = list(read_take(folder / rows[0].take, 0, 96))
    assert np.array_equal(window[: 48 * min(count, 2) + 1], whole[: 48 * min(count, 2) + 1])
    if count == 3:
        # The new shot begins at its own first frame of the segment; frame 96 stays the old shot's last.
        assert np.array_equal(window[97:], list(read_take(folder / rows[2].take, 1, 48)))


def test_short_shots_are_dropped_with_the_reason(tmp_path, film_writer, squares):
    film = film_writer(tmp_path / "a.mp4", squares(200), 24)
    shots = ["0,0,40,start", "0,40,100,cut", "0,104,200,fade"]
    rows, dropped, folder = build(film, tmp_path / "out", shots)
    assert [(one.unit, one.reason, one.detail) for one in dropped] == [
        ("shot", "short", "the shot lasts 1.67 s, under 2 s"),
        ("shot", "short", "the shot lasts 2.50 s, under 3 s"),
    ]
    assert len(rows) == 1
    manifest = segments.read_manifest(folder, "segments")
    assert (manifest.account("shot").seen, manifest.account("shot").kept) == (3, 1)


def test_a_cut_that_was_missed_is_seen_in_the_second_look(tmp_path, film_writer, squares):
    film = film_writer(tmp_path / "a.mp4", [*squares(100, seed=1), *squares(160, seed=2)], 24)
    rows, dropped, folder = build(film, tmp_path / "out", ["0,0,260,start"])
    (one,) = dropped
    assert (one.unit, one.reason) == ("segment", "cut inside")
    assert [row.number for row in rows] == [0, 2]
    assert [row.follows for row in rows] == [None, None]
    assert second_look(folder / rows[0].take, SMALL) != []


def test_detected_segments_hold_no_cut(tmp_path, film_writer, squares):
    film = film_writer(tmp_path / "a.mp4", [own for seed in (1, 2, 3) for own in squares(100, seed=seed)], 24)
    rows, dropped, folder = build(film, tmp_path / "out")
    assert len(rows) == 3
    assert dropped == []
    assert [second_look(folder / row.take, SMALL) for row in rows] == [[], [], []]
    assert len({shot.id for shot in read_rows(tmp_path / "out/scenes", ShotRow)} & {row.shot for row in rows}) == 3


def test_the_same_take_twice_is_the_same_file(tmp_path, film_writer, squares):
    film = film_writer(tmp_path / "a.mp4", squares(100), 24)
    folders = [build(film, tmp_path / name, ["0,0,100,start"])[2] for name in ("1", "2")]
    files = [{path.relative_to(own): path.read_bytes() for path in own.rglob("*") if path.is_file()} for own in folders]
    assert files[0] == files[1]


def test_the_picture_keeps_its_shape_and_loses_its_bars(tmp_path, film_writer):
    frames = []
    for number in range(80):
        frame = np.zeros((96, 192, 3), np.uint8)
        frame[12:84] = 100
        yy, xx = np.mgrid[0:96, 0:192]
        frame[(yy - 48) ** 2 + (xx - 96) ** 2 < 24**2] = 200 + number % 2
        frames.append(frame)
    film = film_writer(tmp_path / "a.mp4", frames)
    rows, _, folder = build(film, tmp_path / "out", ["0,0,80,start"], SegmentsConfig(width=96, height=64, crf=4))
    picture = next(read_take(folder / rows[0].take, 10, 10))
    assert picture.shape == (64, 96, 3)
    assert picture[:2].min() > 60
    disc = picture[..., 0] > 150
    across, down = disc[32].sum(), disc[:, 48].sum()
    assert abs(int(across) - int(down)) <= 2
    # 72 lines without bars become 64 (a little less for the soft edges).
    assert across == pytest.approx(48 * 64 / 72, abs=4)


def test_a_changed_film_or_shot_makes_its_own_segments_anew_and_no_others(tmp_path, film_writer, squares):
    film = film_writer(tmp_path / "a.mp4", squares(320), 24)
    rows, _, folder = build(film, tmp_path / "out", ["0,0,150,start", "1,150,320,cut"])
    before = {row.take: (folder / row.take).stat().st_mtime_ns for row in rows}
    changed, _, _ = build(film, tmp_path / "out", ["0,0,160,start", "1,160,240,cut", "2,240,320,cut"])
    assert {row.take for row in changed}.isdisjoint({rows[-1].take})
    again, _, _ = build(film, tmp_path / "out", ["0,0,150,start", "0,150,320,cut"])
    assert [row.id for row in again] == [row.id for row in rows]
    stamps = {row.take: (folder / row.take).stat().st_mtime_ns for row in again}
    # Only the scene of the second shot changes: no pixel depends on it.
    build(film, tmp_path / "out", ["0,0,150,start", "1,150,320,cut"])
    assert {row.take: (folder / row.take).stat().st_mtime_ns for row in again} == stamps
    assert stamps != before


def test_a_contact_sheet_shows_segments_scenes_and_drops(tmp_path, film_writer, squares):
    film = film_writer(tmp_path / "a <b>.mp4", squares(320), 24)
    rows, _, folder = build(film, tmp_path / "out", ["0,0,150,start", "1,150,310,cut", "1,310,320,cut"])
    page = (folder / "sheets" / f"{rows[0].film}.html").read_text()
    assert "a &lt;b&gt;.mp4" in page
    assert page.count("<figure") == len(rows) == 4
    assert "Scene 0" in page
    assert "Scene 1" in page
    assert "under 2 s" in page
    for row in rows:
        assert (folder / row.thumb).read_bytes()[:2] == b"\xff\xd8"
        assert f"../{row.thumb}" in page


def test_a_film_that_is_gone_is_told(tmp_path, film_writer, squares):
    film = film_writer(tmp_path / "a.mp4", squares(100), 24)
    probe.run(film, tmp_path / "out/probe", probe.ProbeConfig(), workers=1)
    scenes.run(tmp_path / "out/probe", tmp_path / "out/scenes", scenes.ScenesConfig(), workers=1)
    film.unlink()
    with pytest.raises(DataError, match="is gone or has changed"):
        segments.run(tmp_path / "out/scenes", tmp_path / "out/segments", SMALL, workers=1)


@pytest.mark.parametrize("change", [{"width": 63}, {"height": 16}, {"crf": 52}])
def test_sizes_that_h264_cannot_have(change):
    with pytest.raises(ConfigError):
        SegmentsConfig(**{"width": 64, "height": 48, "crf": 4, **change})


def test_a_take_that_the_film_cannot_fill_is_not_written(tmp_path):
    take = Take(Fraction(0), 1, tuple(range(49)))
    views = ((k, av.VideoFrame(64, 48, "yuv420p")) for k in range(20))
    assert write_take(tmp_path / "a.mp4", views, take.picks, 64, 48, 4) == 20
    assert list(tmp_path.iterdir()) == []
