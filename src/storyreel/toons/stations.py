"""Where an action plays: on a seat, behind a table, hidden behind something, at a door bell."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

from storyreel.toons.builds import BUILD
from storyreel.toons.cast import Figure
from storyreel.toons.catalogue import HEIGHT, can_hide, spec_of
from storyreel.toons.players import Station
from storyreel.toons.poses import ring_press
from storyreel.toons.script import Beat, Character, Furniture, Place
from storyreel.toons.stance import SIDE, Pose, smooth

LANE_SECONDS = 0.34
DUCK_SECONDS = 0.26
GAP = 0.065
"""What is ducked behind something must not show under it: so much above its foot is as far down as one sees."""
COVER: dict[str, float] = {"bed": 0.52, "flowerbed": 0.5, "bath": 0.85, "letter box": 0.9, "wheelbarrow": 0.85}
"""The share of the height of furniture that covers all of its width, where it is not all of it."""


def change_lane(pose: Pose, before: Station, after: Station, beat: Beat, since: float) -> tuple[Pose, Station]:
    """A hop from one ground to another, then ducking down or looking out; who hides walks first."""
    if before.behind is not None and before.behind == after.behind:
        share = smooth(since / DUCK_SECONDS)
        y, aside = _between(before.y, after.y, share), _between(before.aside, after.aside, share)
        return pose, replace(after, y=y, aside=aside, floor=None if aside else after.floor)
    if abs(before.ground - after.ground) < 0.02 and before.behind == after.behind:
        return pose, after
    wait = 0.8 * (beat.end - beat.start) if beat.action == "hide" and beat.x_from != beat.x_to else 0.0
    share = min(1.0, max(0.0, (since - wait) / LANE_SECONDS))
    leaves, settles = 1 - smooth(share / 0.45), smooth((since - wait - LANE_SECONDS) / DUCK_SECONDS)
    y = _between(before.ground, after.ground, smooth(share))
    y += (before.y - before.ground) * leaves + (after.y - after.ground) * settles
    aside = before.aside * leaves + after.aside * settles
    hop = math.sin(math.pi * share)
    pose = pose._replace(lift=pose.lift + 0.45 * hop, stretch=pose.stretch + 0.08 * hop)
    late = after if share > 0.5 else before
    return pose, replace(late, y=y, aside=aside, floor=None if aside else late.floor)


def _between(one: float, other: float, share: float) -> float:
    return one + (other - one) * share


@functools.lru_cache(maxsize=4096)
def _near(place: Place, x: float, slack: float) -> tuple[Furniture, ...]:
    """Furniture whose middle is within half its width (and some slack) of x, nearest first."""
    reach = [(abs(piece.x - x), piece) for piece in place.furniture]
    hits = [(gap, piece) for gap, piece in reach if gap <= spec_of(piece.kind).width / 2 + slack]
    return tuple(piece for _, piece in sorted(hits, key=lambda hit: hit[0]))


def hiding_place(place: Place, character: Character, beat: Beat) -> Station | None:
    """Behind (for a mouse hole, in) the nearest furniture that is big enough: ducked to hide, looking out to peek."""
    for piece in _near(place, beat.x_to, 0.05):
        if not can_hide(piece.kind, character.species):
            continue
        bottom = spec_of(piece.kind).bottom
        station = Station(bottom - 0.02, bottom - 0.02, bottom - 0.01, piece, floor=bottom - GAP)
        if piece.kind == "mouse hole":
            return replace(station, y=bottom + (0.30 if beat.action == "hide" else 0.06), floor=None)
        if beat.action == "hide":
            return replace(station, y=station.y + 0.75 * HEIGHT[character.species])
        return _peeking(station, piece, character, beat)
    return None


def _peeking(station: Station, piece: Furniture, character: Character, beat: Beat) -> Station:
    """The head over the top of the furniture or, where that is too high, out at its side."""
    spec, build = spec_of(piece.kind), BUILD[character.species]
    top = spec.bottom - spec.height * COVER.get(piece.kind, 1.0)
    if piece.kind != "tent" and top > station.ground - build.head_y - 0.1:
        return replace(station, y=top - build.head[1] * 0.8 + build.head_y)
    left = beat.x_to < piece.x or (beat.x_to == piece.x and beat.facing == "left")
    edge = spec.width * (0.24 if piece.kind == "tent" else 0.40) - build.head_y * 0.2 + 0.05
    return replace(station, aside=piece.x + (-edge if left else edge) - beat.x_to, floor=None)


def seat(place: Place, character: Character, beat: Beat, lane: float) -> Station:
    """Behind a table (sitting or eating), in a bath, or on a seat; else where one stands."""
    build = BUILD[character.species]
    for piece in _near(place, beat.x_to, -0.02):
        spec = spec_of(piece.kind)
        if piece.kind in ("table", "bath") and beat.action in (
            ("sit", "eat") if piece.kind == "table" else ("sit", "laugh", "wave")
        ):
            rim = spec.surface if spec.surface is not None else spec.top + 0.05
            sink = 0.95 * build.leg * 0.9 if beat.action == "sit" else 0.0
            neck = build.head_y - build.head[1] * 0.94 - sink
            y = rim - 0.035 + neck
            return Station(y, y, spec.bottom - 0.01, piece, floor=None if piece.kind == "table" else spec.bottom - GAP)
        if spec.seat is not None and beat.action in ("sit", "sleep"):
            return Station(spec.seat + 0.03, spec.seat + 0.03, lane, on=piece)
    return Station.at(lane)


def reach_bell(figure: Figure, place: Place, since: float) -> tuple[Figure, tuple[float, float] | None]:
    """The far hand on the nearest bell, with a jump where it hangs too high."""
    bells = [
        (piece.x + spec.bell[0], spec.bell[1])
        for piece in place.furniture
        if (spec := spec_of(piece.kind)).bell is not None
    ]
    bells = [bell for bell in bells if abs(bell[0] - figure.x) < 0.5]
    if not bells:
        return figure, None
    bell = min(bells, key=lambda spot: abs(spot[0] - figure.x))
    press = ring_press(since)
    arm = figure.build.arm
    shoulder_y = figure.on_stage(figure.shoulder(False))[1]
    short = max(0.0, shoulder_y - arm * 1.05 - bell[1]) / figure.height
    side = math.copysign(SIDE, bell[0] - figure.x) if abs(bell[0] - figure.x) > 0.02 else figure.pose.turn
    pose = figure.pose._replace(lift=figure.pose.lift + short * smooth(press / 0.6), turn=side)
    figure = replace(figure, pose=pose)
    target, shoulder = figure.from_stage(bell), figure.shoulder(False)
    dx, dy = (target[0] - shoulder[0]) / arm, (target[1] - shoulder[1]) / arm
    reach = min(1.0, 1.25 / max(1e-6, math.hypot(dx, dy)))
    share = 0.7 + 0.3 * press
    pose = pose._replace(far_x=dx * reach * share / abs(side), far_y=dy * reach * share, far_on_face=0.0)
    return replace(figure, pose=pose), bell
