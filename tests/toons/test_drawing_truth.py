"""Ground truth and memory probes, checked against the pixels themselves."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from storyreel.toons.palette import COLLAR
from storyreel.toons.renderer import StoryRenderer
from storyreel.toons.script import Beat, Camera, Character, Furniture, Place, Segment, Story, Track
from storyreel.toons.truth import CharacterTruth

SIZE = (128, 192)


def without(story: Story, name: str) -> Story:
    """The story without one character."""
    segments = tuple(
        replace(segment, tracks=tuple(track for track in segment.tracks if track.character != name))
        for segment in story.segments
    )
    return replace(story, segments=segments)


def of(renderer: StoryRenderer, k: int, name: str) -> CharacterTruth:
    return next(one for one in renderer.truth(k).characters if one.name == name)


def garden_story(beats: tuple[Beat, ...], camera: Camera, place: Place | None = None) -> Story:
    place = place or Place("garden", 3.0, "sky", "grass", "plain", ())
    cast = (Character("Tom", "cat", "orange", "blue"), Character("Pip", "mouse", "grey", "red"))
    return Story(1, "", "", cast, (place,), (), (Segment(0, 0, "day", camera, (Track("Tom", beats),), ()),))


@pytest.mark.parametrize("name", ["Tom", "Pip", "Rex", "Flo", "Quackers"])
def test_boxes_hold_the_pixels_of_their_character(demo: Story, name: str):
    bare = replace(demo, segments=tuple(replace(segment, props=()) for segment in demo.segments))
    calm = [k for k in range(4, 769, 40) if k % 48 > 3]
    renderer = StoryRenderer(bare, *SIZE)
    absent = StoryRenderer(without(bare, name), *SIZE)
    seen = 0
    for k in calm:
        truth = of(renderer, k, name)
        segment = bare.segments[renderer.moment(k)[0]]
        if segment.camera.kind == "follow":
            continue
        changed = (renderer.frame(k) != absent.frame(k)).any(-1)
        if truth.box is None:
            continue
        seen += 1
        x0, y0, x1, y1 = truth.box
        inside = changed[y0:y1, x0:x1]
        others = [one for one in renderer.truth(k).characters if one.visible and one.name != name]
        if not others and truth.fraction > 0.99:
            assert inside.any(0)[1:-1].all(), f"frame {k}: a column of the box holds nothing of {name}"
            assert inside.any(1)[1:-1].all(), f"frame {k}: a row of the box holds nothing of {name}"
        assert inside.mean() > 0.2
    assert seen


def test_out_of_view_is_not_visible():
    story = garden_story((Beat("stand", 0, 3, 2.7, 2.7),), Camera("static", 0.75, 0.75))
    truth = of(StoryRenderer(story, *SIZE), 20, "Tom")
    assert (truth.visible, truth.box, truth.fraction) == (False, None, 0.0)
    assert truth.action == "stand"
    assert truth.points["head"][0] > SIZE[1]


def test_off_stage_has_no_action():
    story = garden_story((Beat("walk", 1, 3, 0.5, 1.0),), Camera("static", 0.75, 0.75))
    renderer = StoryRenderer(story, *SIZE)
    early, late = of(renderer, 8, "Tom"), of(renderer, 30, "Tom")
    assert (early.visible, early.action, early.points) == (False, None, {})
    assert late.visible
    assert late.fraction == 1.0
    assert of(renderer, 30, "Pip").visible is False


def test_the_fraction_falls_as_a_character_leaves_the_frame():
    story = garden_story((Beat("walk", 0, 3, 1.0, 2.0),), Camera("static", 0.75, 0.75))
    renderer = StoryRenderer(story, *SIZE)
    fractions = [of(renderer, k, "Tom").fraction for k in range(0, 49, 4)]
    assert fractions[0] == 1.0
    assert fractions[-1] == 0.0
    assert any(0.2 < fraction < 0.8 for fraction in fractions)


@pytest.mark.parametrize("kind", ["bush", "shed"])
def test_hiding_makes_invisible_and_peeking_shows_a_part(kind: str):
    place = Place("garden", 3.0, "sky", "grass", "plain", (Furniture(kind, 1.0, "red" if kind == "shed" else "leaf"),))
    beats = (Beat("hide", 0, 1.5, 1.0, 1.0), Beat("peek", 1.5, 3, 1.0, 1.0))
    renderer = StoryRenderer(garden_story(beats, Camera("static", 1.0, 1.0), place), *SIZE)
    hidden, peeking = of(renderer, 20, "Tom"), of(renderer, 44, "Tom")
    assert (hidden.visible, hidden.fraction) == (False, 0.0)
    assert 0.1 < peeking.fraction < 0.8
    assert peeking.visible


def test_a_mouse_vanishes_in_its_hole_and_peeks_out_of_it():
    place = Place("kitchen", 2.0, "mint", "blue", "dots", (Furniture("mouse hole", 0.8, "brown"),))
    beats = (Beat("run", 0, 1, 1.3, 0.8, "scared"), Beat("hide", 1, 2, 0.8, 0.8), Beat("peek", 2, 3, 0.8, 0.8))
    story = garden_story((), Camera("static", 0.75, 0.75), place)
    story = replace(story, segments=(replace(story.segments[0], tracks=(Track("Pip", beats),)),))
    renderer = StoryRenderer(story, *SIZE)
    assert of(renderer, 10, "Pip").fraction == 1.0
    assert of(renderer, 28, "Pip").visible is False
    assert 0.2 < of(renderer, 46, "Pip").fraction < 0.95


def test_the_truth_names_place_time_and_camera_and_is_json(demo: Story):
    renderer = StoryRenderer(demo, *SIZE)
    truth = renderer.truth(48 * 4 + 30)
    assert (truth.segment, truth.scene, truth.place, truth.time_of_day) == (4, 4, "living room", "night")
    record = json.loads(truth.to_json())
    assert record["place"] == "living room"
    assert record["camera"] == list(truth.camera)
    assert [one["name"] for one in record["characters"]] == [one.name for one in demo.cast]
    book = next(prop for prop in truth.props if prop.name == "book")
    assert (book.visible, book.holder) == (True, "Rex")


def test_props_change_hands(demo: Story):
    renderer = StoryRenderer(demo, *SIZE)
    holders = [
        next(prop for prop in renderer.truth(336 + k).props if prop.name == "flower").holder for k in (4, 20, 45)
    ]
    assert holders == [None, "Flo", "Quackers"]


@pytest.mark.parametrize("action", ["stand", "walk", "run", "sit", "wave", "dance"])
def test_a_collar_changes_pixels_of_its_character_alone(action: str):
    story = garden_story(
        (Beat(action, 0, 3, 0.6, 0.9 if action in ("walk", "run") else 0.6),), Camera("static", 0.75, 0.75)
    )
    other = replace(story, cast=(replace(story.cast[0], collar="white"), story.cast[1]))
    renderer = StoryRenderer(story, *SIZE)
    for k in (5, 15, 25, 35, 45):
        changed = (StoryRenderer(other, *SIZE).frame(k) != renderer.frame(k)).any(-1)
        box = of(renderer, k, "Tom").box
        assert box is not None
        x0, y0, x1, y1 = box
        assert changed[y0:y1, x0:x1].any()
        assert changed.sum() == changed[y0:y1, x0:x1].sum()
        assert changed.sum() < 0.2 * (x1 - x0) * (y1 - y0)


@pytest.mark.parametrize("species", ["cat", "mouse", "dog", "rabbit", "duck"])
@pytest.mark.parametrize("collar", [name for name in COLLAR if name != "none"])
def test_the_collar_s_colour_is_at_its_rig_point(species: str, collar: str):
    story = garden_story((Beat("stand", 0, 3, 0.75, 0.75),), Camera("static", 0.75, 0.75))
    story = replace(story, cast=(Character("Tom", species, "grey", collar),))
    renderer = StoryRenderer(story, *SIZE)
    x, y = of(renderer, 12, "Tom").points["collar"]
    np.testing.assert_allclose(renderer.frame(12)[int(y), int(x)], COLLAR[collar], atol=2)


def test_the_wall_s_colour_changes_the_wall_and_no_character():
    beats = (Beat("stand", 0, 3, 0.75, 0.75),)
    one = Place("bedroom", 2.0, "mint", "plum", "dots", (Furniture("bed", 1.4, "blue"),))
    two = replace(one, wall_colour="rose")
    camera = Camera("static", 0.75, 0.75)
    first, second = (StoryRenderer(garden_story(beats, camera, place), *SIZE) for place in (one, two))
    changed = (first.frame(9) != second.frame(9)).any(-1)
    assert changed[6:50, 20:60].mean() > 0.9
    assert not changed[90:, 8:].any(), "only the end wall may change below the wall"
    head_x, head_y = of(first, 9, "Tom").points["head"]
    assert not changed[int(head_y) - 10 : int(head_y) + 8, int(head_x) - 10 : int(head_x) + 10].any()


def test_two_stays_at_a_place_look_the_same(demo: Story):
    """A place seen again after others has the same wallpaper, furniture and chance details."""
    empty = replace(demo.segments[0], tracks=(), props=())
    other = replace(demo.segments[1], tracks=(), props=())
    story = replace(demo, segments=(empty, other, replace(empty, scene=2)))
    renderer = StoryRenderer(story, *SIZE)
    np.testing.assert_array_equal(renderer.frame(20), renderer.frame(96 + 20))
