import time
from collections import Counter
from itertools import pairwise

import pytest

from storyreel.errors import ConfigError
from storyreel.toons.catalogue import EDIBLE, FEET_Y, place_kinds
from storyreel.toons.deeds import parse_shot
from storyreel.toons.grammar import make_story
from storyreel.toons.interludes import VIGNETTES
from storyreel.toons.names import CAST
from storyreel.toons.plots import PLOTS
from storyreel.toons.script import Action, CameraKind, PropKind

LENGTHS = (1, 2, 3, 6, 10, 21)


@pytest.fixture(scope="module")
def stories():
    return [make_story(seed, LENGTHS[seed % len(LENGTHS)]) for seed in range(400)]


def test_every_plot_and_vignette_can_be_read():
    assert len(PLOTS) >= 10
    for plot in PLOTS:
        roles, things = dict.fromkeys("abc", "Pip"), {letter: options[0] for letter, options in plot.things.items()}
        for scene in plot.scenes:
            assert scene.place in plot.places
            for shot in scene.shots:
                parse_shot(shot.removeprefix("*"), roles, things)
    for vignette in VIGNETTES:
        for shot in vignette.shots:
            parse_shot(shot, dict.fromkeys("def", "Pip"), {"Q": "pie"} if vignette.things else {})


def test_a_notation_that_names_nobody_is_refused():
    with pytest.raises(ValueError, match="'z run'"):
        parse_shot("z run", {"a": "Pip"}, {})
    with pytest.raises(ValueError, match="neither a role nor a thing"):
        parse_shot("a get X", {"a": "Pip"}, {})


def test_length_and_determinism(stories):
    for seed, story in enumerate(stories):
        assert len(story.segments) == LENGTHS[seed % len(LENGTHS)]
        assert story.seed == seed
    assert (
        make_story(11, 21) == stories[11]
        if len(stories[11].segments) == 21
        else make_story(11, 21) == make_story(11, 21)
    )
    assert make_story(3, 6) != make_story(4, 6)


def test_no_story_without_segments():
    with pytest.raises(ConfigError, match="segments is 0"):
        make_story(0, 0)


def test_scenes_are_one_to_five_segments_in_one_place_at_one_time(stories):
    for story in stories:
        scenes = Counter(own.scene for own in story.segments)
        assert max(scenes.values()) <= 5
        assert list(scenes) == list(range(len(scenes)))
        for before, own in pairwise(story.segments):
            if own.scene == before.scene:
                assert (own.place, own.time_of_day) == (before.place, before.time_of_day)
            else:
                assert own.scene == before.scene + 1


def test_tracks_have_no_gaps_and_stay_in_time(stories):
    for story in stories:
        for own in story.segments:
            for track in own.tracks:
                assert track.beats[0].start >= 0
                assert track.beats[-1].end <= 3
                for before, beat in pairwise(track.beats):
                    assert beat.start == before.end
                    assert beat.x_from == pytest.approx(before.x_to, abs=0.011)
                assert all(beat.end > beat.start for beat in track.beats)
                moved = [beat.action for beat in track.beats]
                assert len(moved) <= 6, moved


def test_positions_and_props_go_on_within_a_scene(stories):
    for story in stories:
        for before, own in pairwise(story.segments):
            if own.scene != before.scene:
                continue
            ends = {track.character: track.beats[-1] for track in before.tracks if track.beats[-1].end == 3}
            for track in own.tracks:
                last, first = ends.get(track.character), track.beats[0]
                # Two moves on end can be an exit and a return.
                if last and first.start == 0 and (last.x_from == last.x_to or first.x_from == first.x_to):
                    assert first.x_from == pytest.approx(last.x_to, abs=0.011), (story.seed, track.character)
            lying = {track.prop: track.beats[-1] for track in before.props if track.beats[-1].end == 3}
            for track in own.props:
                first = track.beats[0]
                if track.prop in lying and first.start == 0:
                    assert (first.holder, first.x, first.y) == (
                        lying[track.prop].holder,
                        lying[track.prop].x,
                        lying[track.prop].y,
                    )
                    assert first.bites == lying[track.prop].bites


def test_props_are_held_by_somebody_present_and_only_food_is_bitten(stories):
    for story in stories:
        kinds = {prop.name: prop.kind for prop in story.props}
        for own in story.segments:
            there = {track.character: (track.beats[0].start, track.beats[-1].end) for track in own.tracks}
            hands = []
            for track in own.props:
                for before, beat in pairwise(track.beats):
                    assert beat.start == before.end
                    assert beat.bites >= before.bites
                for beat in track.beats:
                    assert beat.bites == 0 or kinds[track.prop] in EDIBLE
                    if beat.holder is None:
                        assert 0.3 < beat.y <= FEET_Y
                    else:
                        start, end = there[beat.holder]
                        assert start - 0.02 <= beat.start < beat.end <= end + 0.02
                        hands.append((beat.holder, beat.start, beat.end))
            for holder, start, end in hands:
                assert not any(
                    holder == other and start < stop and begin < end
                    for other, begin, stop in hands
                    if (other, begin, stop) != (holder, start, end)
                )


def test_places_come_back_unchanged_and_are_built_once(stories):
    gaps = Counter()
    for story in stories:
        kinds = [place.kind for place in story.places]
        assert len(set(kinds)) == len(kinds)
        last: dict[int, int] = {}
        for number, own in enumerate(story.segments):
            if own.place in last and own.scene != story.segments[number - 1].scene:
                gaps[number - last[own.place] - 1] += 1
            last[own.place] = number
    assert min(gaps) == 1
    assert max(gaps) >= 12
    assert all(gaps[gap] for gap in range(1, 9)), gaps


def test_everything_is_used_about_equally_often(stories):
    used = {name: Counter() for name in ("place", "character", "action", "camera", "time", "count")}
    props = Counter()
    for story in stories:
        for own in story.segments:
            used["place"][story.places[own.place].kind] += 1
            used["character"].update(own.characters_in_view)
            used["action"].update(action for _, action in own.actions)
            used["camera"][own.camera.kind] += 1
            used["time"][own.time_of_day] += 1
            used["count"][len(own.characters_in_view)] += 1
        props.update(prop.kind for prop in story.props)

    def shares(counter):
        total = sum(counter.values())
        return {key: value / total for key, value in counter.items()}

    for name, everything in (("place", place_kinds()), ("character", [role.name for role in CAST])):
        for key in everything:
            assert 0.75 < shares(used[name])[key] * len(everything) < 1.3, (name, key, shares(used[name]))
    for kind in PropKind.__args__:
        assert 0.4 < shares(props)[kind] * 12 < 1.7, shares(props)
    for action in Action.__args__:
        assert 0.01 < shares(used["action"])[action] < 0.18, (action, shares(used["action"]))
    for camera in CameraKind.__args__:
        assert 0.02 < shares(used["camera"])[camera] < 0.36, shares(used["camera"])
    assert 0.42 < shares(used["time"])["day"] < 0.58
    assert set(used["count"]) == {1, 2, 3}
    assert {name for story in stories for name in story.schemas} == {*(plot.name for plot in PLOTS), "vignette"}


def test_a_minute_of_story_is_made_at_once():
    make_story(0, 21)
    best = min(_seconds_for(seed) for seed in range(20))
    assert best < 0.03


def _seconds_for(seed):
    start = time.process_time()
    make_story(seed, 21)
    return time.process_time() - start
