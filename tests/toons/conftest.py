"""A hand-made story for the drawing tests: every place, action, prop, mood and camera in sixteen segments.

Some records are written as plain strings where script.py has literals; the renderer does not mind.
"""

from __future__ import annotations

import pytest

from storyreel.toons.script import (
    Beat,
    Camera,
    Character,
    Furniture,
    Place,
    Prop,
    PropBeat,
    PropTrack,
    Segment,
    Story,
    Track,
)

CAST = (
    Character("Tom", "cat", "orange", "blue"),
    Character("Pip", "mouse", "grey", "red"),
    Character("Rex", "dog", "brown", "green"),
    Character("Flo", "rabbit", "white", "purple"),
    Character("Quackers", "duck", "yellow", "cyan"),
)


def _place(kind: str, width: float, wall: str, floor: str, pattern: str, *furniture: tuple[str, float, str]) -> Place:
    return Place(kind, width, wall, floor, pattern, tuple(Furniture(*piece) for piece in furniture))  # type: ignore[arg-type]


PLACES = (
    _place("kitchen", 2.6, "mint", "blue", "dots", ("mouse hole", 0.22, "brown"), ("stove", 0.55, "red"), ("sink",
    1.0, "cream"),
           ("window", 1.0, "brown"), ("table", 1.55, "brown"), ("cupboard", 1.52, "honey"), ("fridge", 2.0, "white"),
           ("door", 2.36, "blue")),
    _place("living room", 2.6, "peach", "honey", "stripes", ("bookcase", 0.36, "brown"), ("sofa", 0.95, "teal"),
    ("picture", 0.95, "red"),
           ("fireplace", 1.6, "stone"), ("television", 2.15, "brown"), ("lamp", 2.46, "yellow"), ("clock", 1.6,
           "blue")),
    _place("bedroom", 2.2, "lilac", "plum", "hearts", ("wardrobe", 0.34, "honey"), ("bed", 1.05, "blue"),
    ("bedside table", 1.6, "brown"),
           ("window", 1.35, "white"), ("toy chest", 1.95, "red"), ("mirror", 0.8, "yellow")),
    _place("bathroom", 2.2, "sky", "grey", "plain", ("toilet", 0.3, "white"), ("basin", 0.66, "white"), ("mirror",
    0.66, "blue"),
           ("bath", 1.3, "pink"), ("towel rail", 1.84, "red"), ("laundry basket", 2.0, "honey")),
    _place("garden", 2.6, "sky", "grass", "hills", ("shed", 0.4, "red"), ("flowerbed", 0.95, "pink"), ("back door",
    1.6, "green"),
           ("bush", 2.15, "leaf"), ("apple tree", 2.4, "leaf")),
    _place("street", 3.0, "lemon", "grey", "plain", ("house", 0.45, "blue"), ("lamp post", 0.95, "green"),
    ("front door", 1.4, "red"),
           ("letter box", 1.85, "red"), ("shop", 2.3, "purple"), ("car", 2.5, "yellow")),
    _place("beach", 2.6, "sky", "sand", "hills", ("palm", 0.4, "leaf"), ("parasol", 1.0, "red"), ("sandcastle", 1.45,
    "honey"),
           ("boat", 1.95, "blue"), ("deck chair", 0.95, "yellow"), ("rock", 2.4, "stone")),
    _place("forest", 2.6, "mint", "moss", "peaks", ("pine", 0.3, "fir"), ("tent", 0.85, "red"), ("oak", 1.45,
    "autumn"), ("log", 1.1, "brown"),
           ("mushroom", 1.8, "red"), ("rock", 2.15, "stone"), ("stump", 1.45, "brown")),
)  # fmt: skip

PROPS = tuple(
    Prop(kind, kind, colour)  # type: ignore[arg-type]
    for kind, colour in (
        ("pie", "red"), ("cheese", "blue"), ("ball", "red"), ("book", "green"), ("cake", "pink"), ("fish", "blue"),
        ("flower", "purple"),
        ("balloon", "red"), ("umbrella", "yellow"), ("key", "yellow"), ("drum", "blue"), ("apple", "green"),
    )
)  # fmt: skip


def _beat(
    action: str, start: float, end: float, x: float, to: float | None = None, mood: str = "calm", facing: str = "right"
) -> Beat:
    return Beat(action, start, end, x, x if to is None else to, mood, facing)  # type: ignore[arg-type]


def _track(name: str, *beats: Beat) -> Track:
    return Track(name, beats)


def _held(prop: str, holder: str, start: float = 0.0, end: float = 3.0, bites: int = 0) -> PropTrack:
    return PropTrack(prop, (PropBeat(start, end, holder, bites=bites),))


def _segment(
    scene: int, place: int, time: str, camera: Camera, tracks: list[Track], props: list[PropTrack] | None = None
) -> Segment:
    return Segment(scene, place, time, camera, tuple(tracks), tuple(props or ()))  # type: ignore[arg-type]


SEGMENTS = (
    _segment(0, 0, "day", Camera("static", 1.45, 1.45), [
        _track("Tom", _beat("eat", 0, 3, 1.5, mood="happy", facing="viewer")),
        _track("Pip", _beat("peek", 0, 1.5, 0.22), _beat("walk", 1.5, 3, 0.9, 1.15)),
    ], [PropTrack("pie", (PropBeat(0, 1, None, 1.7, 0.65, 1), PropBeat(1, 2, None, 1.7, 0.65, 2), PropBeat(2, 3,
    None, 1.7, 0.65, 3)))]),
    _segment(1, 5, "day", Camera("pan", 0.9, 1.5), [
        _track("Pip", _beat("walk", 0, 1.4, 0.9, 1.45), _beat("ring", 1.4, 3, 1.52, facing="right")),
        _track("Flo", _beat("walk", 0, 3, 2.3, 1.9, "happy", "left")),
    ], [_held("umbrella", "Flo")]),
    _segment(2, 4, "day", Camera("follow", 1.3, 1.3, 1.3, 1.3, 0.6), [
        _track("Pip", _beat("run", 0, 3, 2.3, 0.5, "scared")),
        _track("Tom", _beat("run", 0.4, 3, 2.5, 0.9, "angry")),
    ], [_held("cheese", "Pip")]),
    _segment(3, 0, "day", Camera("static", 1.7, 1.7), [
        _track("Tom", _beat("crash", 0, 3, 1.5, 2.4, "surprised")),
        _track("Pip", _beat("laugh", 0, 3, 1.3, facing="right")),
    ], [_held("pie", "Pip", bites=2)]),
    _segment(4, 1, "night", Camera("zoom_in", 1.3, 1.0, 1.0, 1.8, 0.6), [
        _track("Rex", _beat("sit", 0, 3, 0.95, mood="sleepy", facing="viewer")),
        _track("Tom", _beat("dance", 0, 3, 1.55, mood="happy", facing="viewer")),
    ], [_held("book", "Rex")]),
    _segment(5, 2, "night", Camera("static", 1.1, 1.1), [
        _track("Tom", _beat("sleep", 0, 3, 0.95)),
        _track("Flo", _beat("look", 0, 3, 1.75, facing="left")),
    ], [PropTrack("key", (PropBeat(0, 3, None, 1.6, 0.49),))]),
    _segment(6, 3, "day", Camera("close_up", 1.3, 1.3, 1.9, 1.9, 0.6), [
        _track("Quackers", _beat("sit", 0, 1.5, 1.3, mood="happy", facing="viewer"), _beat("wave", 1.5, 3, 1.3,
        mood="happy", facing="viewer")),
    ], [PropTrack("ball", (PropBeat(0, 3, None, 1.75, 0.9),))]),
    _segment(7, 6, "day", Camera("zoom_out", 1.3, 1.3, 1.9, 1.0, 0.6), [
        _track("Flo", _beat("pick_up", 0, 1.2, 1.3), _beat("give", 1.2, 3, 1.3, mood="happy")),
        _track("Quackers", _beat("stand", 0, 2, 1.65, mood="surprised", facing="left"), _beat("stand", 2, 3, 1.65,
        mood="happy", facing="left")),
        _track("Rex", _beat("jump", 0, 3, 0.5, 1.0, "happy")),
    ], [PropTrack("flower", (PropBeat(0, 0.5, None, 1.42, 0.9), PropBeat(0.5, 2.0, "Flo"), PropBeat(2.0, 3.0,
    "Quackers"))), _held("balloon", "Rex")]),
    _segment(8, 7, "night", Camera("pan", 0.8, 1.8), [
        _track("Rex", _beat("walk", 0, 3, 0.5, 1.6, "scared")),
        _track("Pip", _beat("hide", 0, 1.4, 1.6, 1.8, "scared"), _beat("peek", 1.4, 3, 1.8)),
    ], [_held("drum", "Rex")]),
    _segment(8, 7, "night", Camera("static", 1.8, 1.8), [
        _track("Rex", _beat("fall", 0, 3, 1.6, 1.9, "surprised")),
        _track("Pip", _beat("peek", 0, 3, 1.8)),
    ]),
    _segment(9, 4, "night", Camera("static", 1.6, 1.6), [
        _track("Flo", _beat("hide", 0, 1.5, 1.9, 2.15, "scared"), _beat("peek", 1.5, 3, 2.15)),
        _track("Rex", _beat("cry", 0, 3, 1.25, mood="sad", facing="viewer")),
    ], [PropTrack("apple", (PropBeat(0, 3, None, 1.6, 0.9, 1),))]),
    _segment(10, 5, "night", Camera("static", 1.0, 1.0), [
        _track("Quackers", _beat("put_down", 0, 1.5, 0.75), _beat("cry", 1.5, 3, 0.75, mood="sad")),
        _track("Tom", _beat("stand", 0, 3, 1.2, mood="angry", facing="left")),
    ], [PropTrack("cake", (PropBeat(0, 0.7, "Quackers"), PropBeat(0.7, 3, None, 0.95, 0.9, 1)))]),
    _segment(11, 6, "night", Camera("zoom_in", 1.0, 1.4, 1.0, 1.4, 0.7), [
        _track("Tom", _beat("eat", 0, 3, 1.2, mood="happy", facing="viewer")),
        _track("Pip", _beat("stand", 0, 3, 1.62, mood="sad", facing="left")),
    ], [PropTrack("fish", (PropBeat(0, 1.2, "Tom"), PropBeat(1.2, 2.2, "Tom", bites=1), PropBeat(2.2, 3, "Tom",
    bites=2)))]),
    _segment(12, 1, "day", Camera("close_up", 1.5, 1.5, 1.8, 1.8, 0.7), [
        _track("Pip", _beat("stand", 0, 1, 1.4, mood="happy"), _beat("stand", 1, 2, 1.4, mood="angry"),
        _beat("stand", 2, 3, 1.4, mood="scared")),
        _track("Rex", _beat("laugh", 0, 3, 1.72, facing="left")),
    ]),
    _segment(13, 2, "day", Camera("static", 1.2, 1.2), [
        _track("Flo", _beat("jump", 0, 3, 0.7, 1.5, "happy")),
        _track("Quackers", _beat("sleep", 0, 3, 1.85, facing="left")),
    ], [_held("cheese", "Flo")]),
    _segment(14, 3, "night", Camera("static", 1.0, 1.0), [
        _track("Tom", _beat("look", 0, 3, 0.9, mood="surprised")),
        _track("Pip", _beat("walk", 0, 3, 0.3, 1.4, "happy")),
    ], [_held("key", "Tom"), _held("cake", "Pip")]),
)  # fmt: skip

DEMO = Story(7, "All at once", "Everything happens.", CAST, PLACES, PROPS, SEGMENTS)


@pytest.fixture(scope="session")
def demo() -> Story:
    """The hand-made story: 16 segments, 769 frames."""
    return DEMO
