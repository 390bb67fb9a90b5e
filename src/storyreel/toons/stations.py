"""Where an action plays: on a seat, behind a table, hidden behind something, at a door bell."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

from storyreel.toons.builds import BUILD
from storyreel.toons.cast import Figure
from storyreel.toons.catalogue import can_hide, spec_of
from storyreel.toons.players import Station
from storyreel.toons.poses import ring_press
from storyreel.toons.script import Beat, Character, Furniture, Place
from storyreel.toons.stance import SIDE, Pose, smooth

LANE_SECONDS = 0.34


def change_lane(pose: Pose, before: Station, after: Station, beat: Beat, since: float) -> tuple[Pose, Station]:
    """A hop from one ground to another; who hides walks first."""
    if abs(before.y - after.y) < 0.02 and before.behind == after.behind:
        return pose, after
    wait = 0.8 * (beat.end - beat.start) if beat.action == "hide" and beat.x_from != beat.x_to else 0.0
    share = (since - wait) / LANE_SECONDS
    if share >= 1:
        return pose, after
    share = max(0.0, share)
    hop = math.sin(math.pi * share)
    y = before.y + (after.y - before.y) * smooth(share)
    pose = pose._replace(lift=pose.lift + 0.45 * hop, stretch=pose.stretch + 0.08 * hop)
    late = after if share > 0.5 else before
    return pose, Station(y, late.depth, late.behind)


@functools.lru_cache(maxsize=4096)
def _near(place: Place, x: float, slack: float) -> tuple[Furniture, ...]:
    """Furniture whose middle is within half its width (and some slack) of x, nearest first."""
    reach = [(abs(piece.x - x), piece) for piece in place.furniture]
    hits = [(gap, piece) for gap, piece in reach if gap <= spec_of(piece.kind).width / 2 + slack]
    return tuple(piece for _, piece in sorted(hits, key=lambda hit: hit[0]))


def hiding_place(place: Place, character: Character, beat: Beat) -> Station | None:
    """Behind the nearest furniture that is big enough; in a mouse hole so low that nothing, or a face, shows."""
    for piece in _near(place, beat.x_to, 0.05):
        if can_hide(piece.kind, character.species):
            bottom = spec_of(piece.kind).bottom
            if piece.kind == "mouse hole":
                return Station(bottom + (0.30 if beat.action == "hide" else 0.06), bottom - 0.01, piece)
            return Station(bottom - 0.02, bottom - 0.01, piece)
    return None


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
            return Station(rim - 0.035 + neck, spec.bottom - 0.01, piece)
        if spec.seat is not None and beat.action in ("sit", "sleep"):
            return Station(spec.seat + 0.03, lane, on=piece)
    return Station(lane, lane)


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


def peeking(figure: Figure, station: Station, facing: str) -> Figure:
    """The head over the top of the furniture, or, where it is tall, out at its side."""
    piece = station.behind
    if piece is None:
        return figure
    spec, build, pose = spec_of(piece.kind), figure.build, figure.pose
    if piece.kind == "mouse hole":
        return figure
    if spec.top > station.y - build.head_y - 0.1:
        rise = station.y - build.head_y - (spec.top - build.head[1] * 0.8)
        return replace(figure, y=station.y - rise)
    side = -1 if figure.x < piece.x or (figure.x == piece.x and facing == "left") else 1
    edge = spec.width * (0.24 if piece.kind == "tent" else 0.40)
    x = piece.x + side * (edge - build.head_y * 0.2 + 0.05)
    return replace(figure, x=x, pose=pose._replace(lean=13 * side * figure.mirror))
