"""Frames: the same bytes every time, cuts where they belong, a picture of its own for all that a story can say."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest

from storyreel.errors import GeometryError, StoryboardError
from storyreel.toons.catalogue import FURNITURE_OF, SPECS, can_hide, place_kinds, spec_of
from storyreel.toons.palette import COLLAR, FUR
from storyreel.toons.renderer import StoryRenderer
from storyreel.toons.rooms import DRAW
from storyreel.toons.script import (
    Action,
    Beat,
    Camera,
    CameraKind,
    Character,
    Furniture,
    Mood,
    Place,
    Prop,
    PropBeat,
    PropKind,
    PropTrack,
    Segment,
    Species,
    Story,
    Track,
)

SIZES = [(128, 192), (240, 320)]
MEADOW = Place("garden", 3.0, "sky", "grass", "plain", ())


def one_shot(
    beats: tuple[Beat, ...],
    place: Place = MEADOW,
    camera: Camera | None = None,
    props: tuple[PropTrack, ...] = (),
    character: Character | None = None,
    time_of_day: str = "day",
) -> Story:
    """A story of one segment with one character."""
    actor = character or Character("Tom", "cat", "orange", "blue")
    things = tuple(Prop(track.prop, track.prop, "red") for track in props)
    view = camera or Camera("static", 1.0, 1.0)
    tracks = (Track(actor.name, beats),) if beats else ()
    segment = Segment(0, 0, time_of_day, view, tracks, props)
    return Story(3, "", "", (actor,), (place,), things, (segment,))


def middle(story: Story, height: int = 128, width: int = 192, k: int = 22) -> np.ndarray:
    return StoryRenderer(story, height, width).frame(k)


def assert_all_differ(pictures: dict[str, np.ndarray], share: float) -> None:
    """Any two pictures differ in at least this share of their pixels."""
    names = list(pictures)
    for index, one in enumerate(names):
        for two in names[:index]:
            changed = (pictures[one] != pictures[two]).any(-1).mean()
            assert changed > share, f"{one} and {two} differ in {changed:.5f} of the pixels only"


def test_the_same_story_and_size_give_the_same_bytes(demo: Story):
    frames = [0, 1, 60, 200, 430, 768]
    one, two = StoryRenderer(demo, 128, 192), StoryRenderer(demo, 128, 192)
    forwards = {k: one.frame(k) for k in frames}
    for k in reversed(frames):
        np.testing.assert_array_equal(two.frame(k), forwards[k])


def test_a_stretch_of_frames_is_the_frames_one_by_one(demo: Story):
    renderer = StoryRenderer(demo, 128, 192)
    stretch = renderer.render(44, 54)
    assert stretch.shape == (10, 128, 192, 3)
    assert stretch.dtype == np.uint8
    for index in (0, 4, 5, 9):
        np.testing.assert_array_equal(stretch[index], StoryRenderer(demo, 128, 192).frame(44 + index))


def test_cuts_fall_behind_every_48th_frame(demo: Story):
    renderer = StoryRenderer(demo, 128, 192)
    frames = renderer.render(0, renderer.frames).astype(np.int16)
    assert len(frames) == 48 * len(demo.segments) + 1
    jumps = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    cuts = [48 * i for i in range(1, len(demo.segments)) if demo.starts_scene(i)]
    inside = np.delete(jumps, [48 * i for i in range(1, len(demo.segments))])
    assert min(jumps[cut] for cut in cuts) > inside.max()


def test_a_scene_goes_on_over_the_border_of_its_segments(demo: Story):
    border = next(i for i in range(1, len(demo.segments)) if not demo.starts_scene(i))
    renderer = StoryRenderer(demo, 128, 192)
    before, after = renderer.truth(48 * border), renderer.truth(48 * border + 1)
    assert before.segment == border - 1
    assert after.segment == border
    assert before.scene == after.scene


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_action_looks_different(height: int, width: int):
    pictures = {}
    for action in get_args(Action):
        renderer = StoryRenderer(one_shot((Beat(action, 0, 3, 1.0, 1.0),)), height, width)
        pictures[action] = np.concatenate([renderer.frame(k) for k in (8, 17, 31)])
    assert len(pictures) == 20
    assert_all_differ(pictures, 0.002)


@pytest.mark.parametrize("action", ["walk", "run", "jump", "crash", "hide", "fall"])
def test_who_moves_gets_from_its_start_to_its_end(action: str):
    renderer = StoryRenderer(one_shot((Beat(action, 0, 3, 0.6, 1.5),)), 128, 192)
    way = [renderer.stage.x_at(0, "Tom", seconds) for seconds in np.linspace(0, 3, 25)]
    assert way[0] == pytest.approx(0.6)
    assert way[-1] == pytest.approx(1.5)
    assert all(later >= earlier for earlier, later in pairwise(way))


def test_every_mood_looks_different():
    pictures = {mood: middle(one_shot((Beat("stand", 0, 3, 1.0, 1.0, mood),))) for mood in get_args(Mood)}
    assert_all_differ(pictures, 0.001)


def test_every_species_and_colour_looks_different():
    pictures = {}
    for species in get_args(Species):
        for colour in FUR:
            character = Character("Tom", species, colour, "none")
            pictures[f"{colour} {species}"] = middle(one_shot((Beat("stand", 0, 3, 1.0, 1.0),), character=character))
    assert_all_differ(pictures, 0.004)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_place_looks_different_by_day_and_by_night(demo: Story, height: int, width: int):
    pictures = {}
    for place in demo.places:
        for time_of_day in ("day", "night"):
            story = one_shot((), place, time_of_day=time_of_day)
            pictures[f"{place.kind} by {time_of_day}"] = middle(story, height, width)
    assert len(pictures) == 2 * len(place_kinds())
    assert_all_differ(pictures, 0.5)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_prop_looks_different_in_hand_and_on_the_ground(height: int, width: int):
    pictures = {}
    for kind in get_args(PropKind):
        for name, beat in (("held", PropBeat(0, 3, "Tom")), ("lying", PropBeat(0, 3, None, 1.3, 0.9))):
            story = one_shot((Beat("stand", 0, 3, 1.0, 1.0),), props=(PropTrack(kind, (beat,)),))
            pictures[f"{kind} {name}"] = middle(story, height, width)
    assert len(pictures) == 24
    assert_all_differ(pictures, 0.001)


@pytest.mark.parametrize("kind", ["pie", "cheese", "cake", "fish", "apple"])
def test_every_bite_shows(kind: str):
    pictures = {}
    for bites in range(5):
        track = PropTrack(kind, (PropBeat(0, 3, None, 1.0, 0.9, bites),))
        pictures[str(bites)] = middle(one_shot((), props=(track,), camera=Camera("static", 1.0, 1.0, 2.0, 2.0, 0.8)))
    assert_all_differ(pictures, 0.0005)


@pytest.mark.parametrize("kind", sorted(SPECS))
@pytest.mark.parametrize("time_of_day", ["day", "night"])
def test_every_piece_of_furniture_shows_where_it_stands(kind: str, time_of_day: str):
    home = next(place for place, kinds in FURNITURE_OF.items() if kind in kinds)
    empty = Place(home, 2.0, "sky", "grey", "plain", ())
    spec = spec_of(kind)
    full = replace(empty, furniture=(Furniture(kind, 1.0, spec.colours[0]),))
    changed = (
        middle(one_shot((), full, time_of_day=time_of_day)) != middle(one_shot((), empty, time_of_day=time_of_day))
    ).any(-1)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    middle_x = (columns[0] + columns[-1] + 1) / 2 / 128 + 0.25
    assert middle_x == pytest.approx(1.0, abs=0.2)
    assert changed.sum() > 0.35 * spec.width * spec.height * 128**2
    assert rows[0] / 128 < spec.top + 0.06 + (0.5 if kind == "stump" else 0)


def test_the_catalogue_and_the_drawings_know_the_same_furniture():
    assert set(DRAW) == set(SPECS) == {kind for kinds in FURNITURE_OF.values() for kind in kinds}


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_camera_looks_different(height: int, width: int):
    walk = (Beat("walk", 0, 3, 0.7, 2.0),)
    place = Place(
        "street", 3.0, "sky", "grey", "plain", (Furniture("house", 0.5, "blue"), Furniture("car", 1.6, "red"))
    )
    cameras = {
        "static": Camera("static", 1.0, 1.0),
        "pan": Camera("pan", 0.8, 2.2),
        "zoom_in": Camera("zoom_in", 1.0, 1.0, 1.0, 2.0),
        "zoom_out": Camera("zoom_out", 1.2, 1.2, 2.0, 1.0),
        "close_up": Camera("close_up", 1.3, 1.3, 2.0, 2.0, 0.57),
        "follow": Camera("follow", 1.0, 1.0, 1.4, 1.4, 0.6),
    }
    assert set(cameras) == set(get_args(CameraKind))
    assert_all_differ(
        {name: middle(one_shot(walk, place, camera), height, width) for name, camera in cameras.items()}, 0.3
    )


@pytest.mark.parametrize(("height", "width"), [(128, 192), (480, 720), (120, 320), (200, 100)])
def test_the_view_never_leaves_the_stage_and_keeps_the_frame_s_shape(demo: Story, height: int, width: int):
    renderer = StoryRenderer(demo, height, width)
    for k in range(0, renderer.frames, 5):
        view = renderer.view(k)
        stage = renderer.stage.place(renderer.moment(k)[0])
        assert view.x0 >= 0
        assert view.y0 >= 0
        assert view.x1 <= stage.width + 1e-9
        assert view.y1 <= 1 + 1e-9
        assert view.width / view.height == pytest.approx(width / height)


def test_a_following_camera_keeps_its_character_near_the_middle():
    story = one_shot((Beat("walk", 0, 3, 0.9, 2.1),), camera=Camera("follow", 1.0, 1.0, 1.5, 1.5, 0.6))
    renderer = StoryRenderer(story, 128, 192)
    for k in range(0, 49, 6):
        x = renderer.stage.x_at(0, "Tom", renderer.moment(k)[1])
        assert renderer.view(k).x == pytest.approx(x, abs=0.13)


@pytest.mark.parametrize(
    ("kind", "species"), [(kind, one) for kind in sorted(SPECS) for one in get_args(Species) if can_hide(kind, one)]
)
def test_who_hides_leaves_no_trace(kind: str, species: Species):
    home = next(place for place, kinds in FURNITURE_OF.items() if kind in kinds)
    place = Place(home, 2.0, "sky", "grey", "plain", (Furniture(kind, 1.0, spec_of(kind).colours[0]),))
    hidden = one_shot((Beat("hide", 0, 3, 1.0, 1.0),), place, character=Character("Tom", species, "orange", "red"))
    changed = np.abs(middle(hidden).astype(int) - middle(one_shot((), place))).max(-1)
    assert (changed > 48).mean() < 0.0005


def test_a_smaller_frame_shows_the_same_picture(demo: Story):
    large, small = StoryRenderer(demo, 384, 576).frame(20), StoryRenderer(demo, 128, 192).frame(20)
    shrunk = large.reshape(128, 3, 192, 3, 3).mean((1, 3))
    assert np.abs(shrunk - small).mean() < 6


def test_collars_of_all_colours_differ():
    pictures = {}
    for collar in COLLAR:
        character = Character("Tom", "mouse", "grey", collar)
        pictures[collar] = middle(one_shot((Beat("stand", 0, 3, 1.0, 1.0),), character=character))
    assert_all_differ(pictures, 0.0015)


def test_mistakes_are_named(demo: Story):
    with pytest.raises(GeometryError, match="769"):
        StoryRenderer(demo, 128, 192).frame(769)
    with pytest.raises(GeometryError, match="16 pixels"):
        StoryRenderer(demo, 8, 192)
    with pytest.raises(StoryboardError, match="no segment"):
        StoryRenderer(replace(demo, segments=()), 128, 192)
    with pytest.raises(StoryboardError, match="'plaid'"):
        StoryRenderer(one_shot((), character=Character("Tom", "cat", "plaid", "none")), 128, 192)
    with pytest.raises(StoryboardError, match="'throne'"):
        middle(one_shot((), replace(MEADOW, furniture=(Furniture("throne", 1.0, "red"),))))
