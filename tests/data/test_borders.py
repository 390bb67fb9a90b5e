"""Borders found in films whose borders are known: drawn cartoons, joined."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from storyreel.data.decode import View, all_views
from storyreel.data.film import FilmRow
from storyreel.data.grouping import GroupingConfig, with_scenes
from storyreel.data.joined_toons import (
    JoinedFilm,
    Score,
    flashes_taken_for_borders,
    joined_film,
    score_cuts,
    score_gradual,
)
from storyreel.data.looks import HISTOGRAM_BINS, histogram_of, look_at
from storyreel.data.manifest import read_rows
from storyreel.data.probe import ProbeConfig, run
from storyreel.data.scenes import ScenesConfig, find_shots
from storyreel.data.shots import Shot, shots_between
from storyreel.data.transitions import Border, BorderConfig, find_borders, find_dissolves, find_fades, real_cuts

CONFIG = BorderConfig()


def found_in(film: JoinedFilm, rate: int = 24) -> list[Border]:
    views = (av.VideoFrame.from_ndarray(own, format="rgb24").reformat(format="bgr24") for own in film.frames)
    looks = look_at(
        enumerate(views),
        Fraction(rate),
        adaptive_threshold=CONFIG.adaptive_threshold,
        least_change=CONFIG.least_change,
    )
    return find_borders(looks.thumbs, looks.candidates, rate, CONFIG)


def test_hard_cuts_to_the_frame():
    total = Score(0, 0, 0)
    for seed in (500, 501):
        film = joined_film(seed, 26, 48, 72)
        total += score_cuts(film, found_in(film))
    # n = 50 true cuts.
    assert total.found + total.missed == 50
    assert total.recall >= 0.98
    assert total.precision >= 0.98


def test_dissolves_fades_and_flashes_among_cuts():
    film = joined_film(502, 40, 48, 72, joins=("cut", "cut", "dissolve", "fade"), flash_share=0.3)
    said = found_in(film)
    cuts, fades, dissolves = (
        score_cuts(film, said),
        score_gradual(film, said, "fade"),
        score_gradual(film, said, "dissolve"),
    )
    assert min(cuts.precision, cuts.recall) >= 0.98, cuts
    assert fades.f1 >= 0.98, fades
    assert dissolves.f1 >= 0.7, dissolves
    assert len(film.flashes) >= 8
    assert flashes_taken_for_borders(film, said) <= 1


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), 60])
def test_a_written_film_has_its_cuts_to_the_frame(rate, tmp_path, film_writer):
    film = joined_film(503, 5, 48, 72)
    film_writer(tmp_path / "a.mkv", film.frames, rate)
    run(tmp_path / "a.mkv", tmp_path / "out", ProbeConfig(), workers=1)
    (row,) = read_rows(tmp_path / "out", FilmRow)
    shots = find_shots(tmp_path / "a.mkv", row, ScenesConfig())
    assert [shot.start for shot in shots[1:]] == [own.start for own in film.borders]
    assert shots[-1].stop == row.frames == len(film.frames)


def still(colour, frames=20, seed=0):
    noise = np.random.default_rng(seed).integers(0, 120, (9, 16, 3))
    return np.repeat((noise + colour)[None], frames, axis=0).astype(np.float32).reshape(frames, -1)


def test_black_between_two_shots_is_a_fade_and_its_frames_are_no_shots():
    black = np.zeros((10, 432), np.float32)
    flat = np.concatenate([still(20, 30, 1), black, still(90, 30, 2)])
    assert find_fades(flat, 24, CONFIG) == [Border(30, 40, "fade")]
    shots = shots_between(70, find_fades(flat, 24, CONFIG))
    assert [(shot.start, shot.stop, shot.begins) for shot in shots] == [(0, 30, "start"), (40, 70, "fade")]


def test_black_at_both_ends_is_cut_off():
    black = np.zeros((10, 432), np.float32)
    shots = shots_between(50, find_fades(np.concatenate([black, still(20, 30), black]), 24, CONFIG))
    assert [(shot.start, shot.stop) for shot in shots] == [(10, 40)]


def test_a_film_of_one_colour_has_no_shot():
    assert shots_between(40, find_fades(np.full((40, 432), 99, np.float32), 24, CONFIG)) == []


def test_a_camera_that_moves_or_a_light_that_rises_is_no_dissolve():
    wide = np.random.default_rng(3).integers(0, 255, (9, 80, 3)).astype(np.float32)
    smooth = cv2.blur(wide, (7, 3))
    pan = np.stack([smooth[:, k // 2 : k // 2 + 16] for k in range(100)]).reshape(100, -1)
    assert find_dissolves(pan, 24, CONFIG) == []
    light = still(20, 60, 1) * np.concatenate([np.full(20, 0.5), np.linspace(0.5, 1.4, 20), np.full(20, 1.4)])[:, None]
    assert find_dissolves(light.astype(np.float32), 24, CONFIG) == []


def test_a_dissolve_is_found_where_it_is():
    early, late = still(10, 70, 1), still(90, 70, 2)
    share = np.clip((np.arange(70) - 30) / 12, 0, 1)[:, None].astype(np.float32)
    (border,) = find_dissolves(early * (1 - share) + late * share, 24, CONFIG)
    assert (border.kind, border.start, border.stop) == ("dissolve", 31, 42)


def histograms_of(*settings):
    """A histogram a shot of 8 frames, measured every fourth frame; equal letters are equal settings."""
    table = np.zeros((2 * len(settings), HISTOGRAM_BINS), np.float32)
    for place, name in enumerate(settings):
        table[2 * place : 2 * place + 2, 10 * (ord(name) - ord("a")) + 3] = 1
    return table


@pytest.mark.parametrize(
    ("settings", "seconds", "scenes"),
    [
        ("aab", 8, [0, 0, 1]),
        ("abc", 8, [0, 1, 2]),
        ("aba", 2, [0, 0, 0]),
        ("aba", 4, [0, 1, 2]),
        ("ababac", 2, [0, 0, 0, 0, 0, 1]),
        ("abab", 4, [0, 1, 2, 3]),
    ],
)
def test_shots_alike_are_one_scene_over_short_interludes(settings, seconds, scenes):
    shots = [Shot(start=8 * i, stop=8 * i + 8, scene=0, begins="cut") for i in range(len(settings))]
    grouped = with_scenes(shots, histograms_of(*settings), 4, 8 / seconds, GroupingConfig())
    assert [shot.scene for shot in grouped] == scenes


def test_a_fade_begins_a_scene_even_in_the_same_setting():
    begins = ["start", "fade", "cut"]
    shots = [Shot(start=8 * i, stop=8 * i + 8, scene=0, begins=begins[i]) for i in range(3)]
    assert [own.scene for own in with_scenes(shots, histograms_of(*"aaa"), 4, 8, GroupingConfig())] == [0, 1, 1]


def test_histograms_are_shares():
    picture = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    assert histogram_of(picture).sum() == pytest.approx(1)
    assert histogram_of(picture).shape == (HISTOGRAM_BINS,)


def test_views_have_the_numbers_of_their_frames(tmp_path, film_writer, squares, read_number):
    film_writer(tmp_path / "a.mp4", squares(30))
    run(tmp_path / "a.mp4", tmp_path / "out", ProbeConfig(measure_bars=False), workers=1)
    (row,) = read_rows(tmp_path / "out", FilmRow)
    seen = all_views(tmp_path / "a.mp4", row, View.to_look_at(row, 256))
    assert all(number == read_number(frame.to_ndarray()) for number, frame in seen)


def test_a_jump_of_hue_in_a_grey_picture_is_no_cut():
    flat = np.concatenate([still(60, 30), still(66, 30)])
    assert real_cuts(flat, [30], 24, CONFIG) == []
    assert real_cuts(np.concatenate([still(60, 30, 1), still(60, 30, 2)]), [30], 24, CONFIG) == [30]


@pytest.mark.parametrize("candidates", [[30], [32], [30, 32]])
def test_a_flash_is_no_cut_whichever_side_of_it_is_reported(candidates):
    flat = still(60, 60)
    flat[30:32] = 250
    assert real_cuts(flat, candidates, 24, CONFIG) == []
