import pytest

from storyreel.toons.apple_pie import apple_pie
from storyreel.toons.framing import GLIMPSE, LEAST_SEEN, MOST_UNSEEN, share_in_view, shows_landmark, views
from storyreel.toons.grammar import make_story
from storyreel.toons.script import Beat, Camera, Track

SEEDS = range(2000, 2150)


@pytest.mark.parametrize("segments", [1, 3, 21])
def test_the_camera_shows_exactly_those_of_the_text(segments):
    for story in [*(make_story(seed, segments) for seed in SEEDS), apple_pie()]:
        species = {own.name: own.species for own in story.cast}
        for number, own in enumerate(story.segments):
            place = story.places[own.place]
            seen = views(own.camera, place, own.tracks)
            assert shows_landmark(seen, place), (story.seed, number)
            assert 1 <= len(own.characters_in_view) <= 3
            for track in own.tracks:
                kind = species[track.character]
                if track.character in own.characters_in_view:
                    assert share_in_view(seen, track, kind) >= LEAST_SEEN, (story.seed, number, track.character)
                else:
                    assert share_in_view(seen, track, kind, GLIMPSE) <= MOST_UNSEEN, (
                        story.seed,
                        number,
                        track.character,
                    )
            for view in seen:
                assert -1e-6 <= view.x0 < view.x1 <= place.width + 1e-6


def test_share_in_view_counts_the_time_inside():
    place = make_story(0, 1).places[0]
    walk = Track("Pip", (Beat("walk", 0, 3, 0.75, 0.75 + 1.5, "calm", "right"),))
    seen = views(Camera("static", 0.75, 0.75), place, (walk,))
    assert share_in_view(seen, walk, "mouse") == pytest.approx(0.5, abs=0.07)
    assert share_in_view(seen, Track("Pip", (Beat("hide", 0, 3, 0.75, 0.75),)), "mouse") == 0
