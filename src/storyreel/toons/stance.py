"""A pose of a character as plain numbers, the moment that it belongs to, and what a mood does to a face."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from storyreel.toons.script import Mood

TAU = 2 * math.pi


SIDE = 0.8
"""The turn of a character that faces left (-) or right (+); 0 faces the viewer."""


class Pose(NamedTuple):
    """One drawing of a character.

    Heights and head offsets in character heights, hands in arm lengths from their shoulder (or,
    with weight `_on_face` 1, in
    head radii from the middle of the head), feet in leg lengths from where they rest, angles in degrees.
    """

    turn: float = SIDE
    lift: float = 0.0
    drop: float = 0.0
    roll: float = 0.0
    lean: float = 0.0
    stretch: float = 1.0
    head_x: float = 0.0
    head_y: float = 0.0
    head_tilt: float = 0.0
    near_x: float = 0.1
    near_y: float = 0.92
    near_on_face: float = 0.0
    far_x: float = -0.05
    far_y: float = 0.92
    far_on_face: float = 0.0
    far_in_front: float = 0.0
    near_foot_x: float = 0.0
    near_foot_y: float = 0.0
    far_foot_x: float = 0.0
    far_foot_y: float = 0.0
    tail: float = 0.0
    ears: float = 0.0
    brow: float = 0.0
    brow_y: float = 0.0
    lids: float = 0.0
    wide: float = 1.0
    pupil: float = 1.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    smile: float = 0.35
    mouth: float = 0.0
    grin: float = 0.0
    dizzy: float = 0.0
    tears: float = 0.0
    sweat: float = 0.0
    stars: float = 0.0
    snore: float = 0.0
    notes: float = 0.0
    dust: float = 0.0
    chime: float = 0.0

    def blend(self, other: Pose, share: float) -> Pose:
        """This pose with `share` (0 to 1) of another."""
        return Pose(*[one + (two - one) * share for one, two in zip(self, other, strict=True)])


@dataclass(frozen=True)
class Clock:
    """Where in a beat a moment is: seconds since its start, its length, the story's time, the way of the feet.

    `steps` is the way gone so far in leg lengths, `speed` its change a second (0 when the beat does not move).
    """

    seconds: float
    length: float
    story_seconds: float
    steps: float = 0.0
    speed: float = 0.0
    mood: Mood = "calm"

    @property
    def share(self) -> float:
        return min(1.0, self.seconds / self.length) if self.length else 1.0

    def wave(self, hertz: float, shift: float = 0.0) -> float:
        return math.sin(TAU * (hertz * self.story_seconds + shift))


MOODS: dict[Mood, dict[str, float]] = {
    "calm": {},
    "happy": {"smile": 1.0, "mouth": 0.45, "brow_y": 0.25},
    "sad": {"smile": -0.8, "brow": -0.9, "brow_y": 0.1, "ears": 0.9, "lids": 0.25, "head_y": 0.015, "gaze_y": 0.6},
    "angry": {
        "smile": -0.7,
        "brow": 1.0,
        "brow_y": -0.35,
        "ears": 0.35,
        "lids": 0.2,
        "head_y": 0.01,
        "head_x": 0.02,
        "pupil": 0.8,
    },
    "scared": {
        "smile": -0.6,
        "mouth": 0.4,
        "brow": -0.7,
        "brow_y": 0.5,
        "ears": 0.7,
        "wide": 1.22,
        "pupil": 0.55,
        "sweat": 1.0,
    },
    "surprised": {"smile": -0.15, "mouth": 0.75, "brow_y": 0.9, "wide": 1.25, "pupil": 0.7, "ears": -0.3},
    "sleepy": {"smile": 0.1, "lids": 0.62, "ears": 0.5, "head_y": 0.012, "brow_y": -0.1},
}


def smooth(share: float) -> float:
    """0 to 1 with soft ends."""
    share = min(1.0, max(0.0, share))
    return share * share * (3 - 2 * share)
