"""The camera: which view shows whom, and for how much of a segment.

camera.py says what a camera sees; here cameras are chosen so that they show what the text tells. A view of zoom z is
1/z high and `ASPECT`/z wide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from storyreel.toons.camera import View, view_at
from storyreel.toons.catalogue import FEET_Y, HALF_WIDTH, HEIGHT, LANDMARKS, spec_of
from storyreel.toons.script import Beat, Camera, CameraKind, Place, Species, Track

ASPECT = 1.5
SECONDS = 3.0
SAMPLES = tuple((i + 0.5) * SECONDS / 15 for i in range(15))
HALF = ASPECT / 2
CLOSE = 1.9
LEAST_SEEN = 0.6
"""The share of a segment for which a character of its text is in view."""
MOST_UNSEEN = 0.1
MOSTLY = 0.6
"""The share of its width that must be inside the view for a character to count as in view."""
WELL = 0.85
"""The same where one can choose."""
GLIMPSE = 0.15
"""The share of its width from which on a character can be noticed."""
"""The share of a segment for which a character that its text leaves out may be in view."""

_LYING = 1.4

CAMERA_SHARES: dict[CameraKind, float] = {
    "static": 0.26, "pan": 0.18, "zoom_in": 0.17, "zoom_out": 0.17, "close_up": 0.30, "follow": 0.06,
}  # fmt: skip


def views(camera: Camera, place: Place, tracks: Sequence[Track]) -> tuple[View, ...]:
    """What a camera sees at each of `SAMPLES`; one that follows keeps the first of the tracks in the middle."""
    first = tracks[0] if tracks else None
    if camera.kind != "follow" and (camera.x_from, camera.zoom_from) == (camera.x_to, camera.zoom_to):
        return (view_at(camera, 0.0, place.width, ASPECT, lambda _: None),) * len(SAMPLES)
    return tuple(
        view_at(camera, seconds, place.width, ASPECT, lambda now: position_at(first, now) if first else None)
        for seconds in SAMPLES
    )


def _beat_at(track: Track, seconds: float) -> Beat | None:
    return next((beat for beat in track.beats if beat.start <= seconds < beat.end and beat.action != "hide"), None)


def position_at(track: Track, seconds: float) -> float | None:
    """Where a character's middle is at a time, or None while it is off stage or out of sight behind something."""
    beat = _beat_at(track, seconds)
    if beat is None:
        return None
    return beat.x_from + (beat.x_to - beat.x_from) * (seconds - beat.start) / (beat.end - beat.start)


def share_in_view(seen: Sequence[View], track: Track, species: Species, at_least: float = MOSTLY) -> float:
    """The share of a segment, 0 to 1, for which at least a share of a character's width is inside the views."""
    top, count = FEET_Y - HEIGHT[species], 0
    for seconds, view in zip(SAMPLES, seen, strict=True):
        beat = _beat_at(track, seconds)
        if beat is None:
            continue
        x = beat.x_from + (beat.x_to - beat.x_from) * (seconds - beat.start) / (beat.end - beat.start)
        half = HALF_WIDTH[species] * (_LYING if beat.action in ("fall", "sleep", "crash") else 1.0)
        if min(view.x1, x + half) - max(view.x0, x - half) >= at_least * 2 * half:
            count += min(view.y1, FEET_Y) - max(view.y0, top) >= 0.5 * (FEET_Y - top)
    return count / len(SAMPLES)


def shows_landmark(seen: Sequence[View], place: Place) -> bool:
    """Whether at every moment something that makes the place unmistakable is mostly in view."""
    marks = [(item.x, spec_of(item.kind)) for item in place.furniture if item.kind in LANDMARKS[place.kind]]
    for view in (seen[0], seen[len(seen) // 2], seen[-1]):
        if not any(
            min(view.x1, x + spec.width / 2) - max(view.x0, x - spec.width / 2) >= 0.5 * spec.width
            and min(view.y1, spec.bottom) - max(view.y0, spec.top) >= 0.4 * spec.height
            for x, spec in marks
        ):
            return False
    return True


@dataclass(frozen=True)
class Framing:
    """What a camera must cope with: the stage, who must be seen, and who must not."""

    place: Place
    middle: float
    seen: Sequence[Track]
    unseen: Sequence[Track]
    species: Mapping[str, Species]

    def suits(self, camera: Camera) -> bool:
        """Whether a camera shows everyone it must for long enough, nobody else, a landmark, and no end of the world."""
        zoom = max(camera.zoom_from, camera.zoom_to)
        actions = {beat.action for track in self.seen for beat in track.beats}
        # Heads come out on either side of what they hide behind, and up out of a close view in a jump.
        if (zoom > 1.3 and "peek" in actions) or (zoom > 1.4 and actions & {"jump", "ring", "crash"}):
            return False
        seen = views(camera, self.place, (*self.seen, *self.unseen))
        least = 0.85 if camera.kind == "close_up" else LEAST_SEEN + 0.05
        return (
            all(share_in_view(seen, track, self.species[track.character], WELL) >= least for track in self.seen)
            and all(
                share_in_view(seen, track, self.species[track.character], GLIMPSE) <= MOST_UNSEEN
                for track in self.unseen
            )
            and shows_landmark(seen, self.place)
            and (camera.kind == "follow" or all(self._starts_and_ends_in(seen, track) for track in self.seen))
        )

    def _starts_and_ends_in(self, seen: Sequence[View], track: Track) -> bool:
        """Whether one who does not come or go by the sides is in view at the beginning and at the end."""
        for moment, view in ((0, seen[0]), (-1, seen[-1])):
            x = position_at(track, SAMPLES[moment])
            outside = track.beats[0].x_from if moment == 0 else track.beats[-1].x_to
            if x is not None and abs(outside - self.middle) < HALF and not view.x0 < x < view.x1:
                return False
        return True


def clamp_middle(place: Place, x: float, zoom: float = 1.0) -> float:
    """The nearest middle of a view of a zoom that stays on the stage."""
    half = HALF / zoom
    return min(place.width - half, max(half, x))


def choose_camera(framing: Framing, middle_to: float, before: Camera | None, rng: Random) -> Camera | None:
    """A camera that suits: it goes on from the one before when it can. None when no camera suits.

    `middle_to` is where the middle of the action is at the end: when it is not `framing.middle`, the camera follows.
    """
    if abs(middle_to - framing.middle) > 0.05:
        camera = _camera("follow", framing.place, framing.middle, middle_to, 1.0, 1.0)
        return camera if framing.suits(camera) else None
    kinds = list(CAMERA_SHARES)
    order = sorted(kinds, key=lambda kind: rng.random() ** (1 / CAMERA_SHARES[kind]), reverse=True)
    for kind in (*order, "static"):
        for camera in _candidates(kind, framing, before, rng):
            if framing.suits(camera):
                return camera
    return None


def _camera(kind: CameraKind, place: Place, x_from: float, x_to: float, zoom_from: float, zoom_to: float) -> Camera:
    x_from, x_to = clamp_middle(place, x_from, zoom_from), clamp_middle(place, x_to, zoom_to)
    y = max(0.5, 0.94 - 0.5 / max(zoom_from, zoom_to))
    return Camera(kind, round(x_from, 3), round(x_to, 3), round(zoom_from, 3), round(zoom_to, 3), round(y, 3))


def _candidates(kind: CameraKind, framing: Framing, before: Camera | None, rng: Random) -> list[Camera]:
    """Cameras of a kind to try, the best first: those that go on from the camera before come first."""
    place, middle = framing.place, framing.middle
    last = (before.x_to, before.zoom_to) if before else None
    starts = [last] if last and last[1] < CLOSE - 0.2 else []
    centre = _centre(framing.seen, middle)
    fresh = 1.0 if rng.random() < 0.6 else 1.2
    starts.append((middle if fresh == 1.0 else centre, fresh))
    starts.append((middle, 1.0))
    found: list[Camera] = []
    for x, zoom in starts:
        if kind == "static":
            found.append(_camera(kind, place, x, x, zoom, zoom))
        elif kind == "pan":
            for step in _pan_steps(framing.seen, rng):
                found.append(_camera(kind, place, x, x + step, zoom, zoom))
                found.append(_camera(kind, place, x - step, x, zoom, zoom))
        elif kind == "zoom_in":
            found += [_camera(kind, place, x, centre, zoom, zoom * by) for by in (1.5, 1.35)]
        elif kind == "zoom_out":
            found += [_camera(kind, place, centre, middle, 1.0 * by, 1.0) for by in (1.5, 1.35)]
        elif kind == "close_up":
            found += [_camera(kind, place, centre, centre, by, by) for by in (CLOSE, 1.7)]
        elif kind == "follow":
            found += _following(framing, zoom)
    return [camera for camera in found if _moves_enough(camera)]


def _pan_steps(tracks: Sequence[Track], rng: Random) -> tuple[float, ...]:
    """How far a panning camera may go: with those who move, never against them."""
    way = sum(track.beats[-1].x_to - track.beats[0].x_from for track in tracks)
    if abs(way) > 0.2:
        return (0.3, 0.2) if way > 0 else (-0.3, -0.2)
    first = rng.choice((0.3, -0.3))
    return (first, -first, first * 0.7, -first * 0.7)


def _centre(tracks: Sequence[Track], middle: float) -> float:
    ends = [(beat.x_from, beat.x_to) for track in tracks for beat in track.beats[-1:]]
    xs = [x for pair in ends for x in pair if abs(x - middle) < HALF]
    return (min(xs) + max(xs)) / 2 if xs else middle


def _following(framing: Framing, zoom: float) -> list[Camera]:
    """Cameras that go along with one who walks within the view."""
    if len(framing.seen) != 1:
        return []
    beats = framing.seen[0].beats
    first, last = beats[0].x_from, beats[-1].x_to
    close = max(zoom, 1.35)
    # Who comes in from the side must be seen to do so, which a camera that follows from the start would hide.
    if abs(last - first) < 0.3 or abs(first - framing.middle) > HALF - 0.1:
        return []
    return [_camera("follow", framing.place, first, last, close, close)]


def _moves_enough(camera: Camera) -> bool:
    """Whether what a camera is said to do can be noticed."""
    if camera.kind in ("pan", "follow"):
        return abs(camera.x_to - camera.x_from) >= 0.15
    return camera.kind not in ("zoom_in", "zoom_out") or abs(camera.zoom_to / camera.zoom_from - 1) >= 0.25
