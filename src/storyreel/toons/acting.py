"""Who stands where in which pose, and where each prop is, at a moment of a story: everything of a frame but its pixels."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

from storyreel.errors import StoryboardError
from storyreel.geometry import SEGMENT_SECONDS
from storyreel.toons.cast import BUILD, Figure, Look
from storyreel.toons.catalogue import FEET_Y, HEIGHT, PROP_SIZE, can_hide, spec_of
from storyreel.toons.poses import CRASH_SHARE, SIDE, Clock, Pose, hop_of, pose_of, ring_press, smooth
from storyreel.toons.props import BOTH_HANDS, GRIP
from storyreel.toons.script import Beat, Character, Furniture, Place, Prop, PropBeat, Segment, Story

BLEND_SECONDS = 0.17
LANE_SECONDS = 0.34
HAND_OVER_SECONDS = 0.2
TRAVELLERS = ("walk", "run", "jump", "crash", "hide", "fall")
SWINGERS = ("dance", "peek", "look")
NEAR_HANDED = ("wave", "look", "ring")
"""What is done with the far hand, so that the near one holds what is held."""


@dataclass(frozen=True)
class Actor:
    """A character on stage. `depth` orders drawing (far first); `behind` is the furniture that covers it, if any."""

    character: Character
    figure: Figure
    beat: Beat
    seconds: float
    depth: float
    behind: Furniture | None = None
    bell: tuple[float, float] | None = None


@dataclass(frozen=True)
class Item:
    """A prop on stage: (x, y) is the middle of its lower edge; `mirror` -1 when it is held to the left."""

    prop: Prop
    x: float
    y: float
    depth: float
    bites: int = 0
    holder: str | None = None
    mirror: float = 1.0


@dataclass(frozen=True)
class Station:
    """Where a beat puts a character: its ground y, its depth, what covers it, and what it sits or lies on."""

    y: float
    depth: float
    behind: Furniture | None = None
    on: Furniture | None = None


class Stage:
    """A story's moments. `actors` and `items` are pure functions of (segment, seconds)."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.cast = {character.name: character for character in story.cast}
        self.props = {prop.name: prop for prop in story.props}
        self.looks = {character.name: Look.of(character) for character in story.cast}
        tall_first = sorted(story.cast, key=lambda character: (-HEIGHT[character.species], character.name))
        self._lane = {character.name: FEET_Y + 0.010 * (rank - 1) for rank, character in enumerate(tall_first)}

    def place(self, segment: int) -> Place:
        return self.story.places[self.story.segments[segment].place]

    def beats_of(self, segment: int, name: str) -> tuple[Beat, ...]:
        """The beats of a character in a segment, none when it does not play."""
        for track in self.story.segments[segment].tracks:
            if track.character == name:
                return track.beats
        return ()

    def x_at(self, segment: int, name: str, seconds: float) -> float | None:
        """Where a character is, in stage units; None when it is off stage."""
        found = self._find(segment, name, seconds)
        return None if found is None else self._x(segment, name, found[0], seconds)

    def actors(self, segment: int, seconds: float) -> list[Actor]:
        """Everyone on stage, in the order of the tracks."""
        found = (self._actor(segment, track.character, seconds) for track in self.story.segments[segment].tracks)
        return [actor for actor in found if actor is not None]

    def items(self, segment: int, seconds: float, actors: list[Actor]) -> list[Item]:
        """Every prop on stage, in the order of the tracks."""
        by_name = {actor.character.name: actor for actor in actors}
        items = []
        for track in self.story.segments[segment].props:
            if track.prop not in self.props:
                raise StoryboardError(f"prop {track.prop!r} plays in segment {segment}, but the story has {', '.join(self.props) or 'none'}. Add it.")
            for index, beat in enumerate(track.beats):
                last = index == len(track.beats) - 1
                if beat.start <= seconds and (seconds < beat.end or (last and seconds <= beat.end)):
                    item = self._item(self.props[track.prop], track.beats, index, seconds, by_name)
                    if item is not None:
                        items.append(item)
                    break
        return items

    def _find(self, segment: int, name: str, seconds: float) -> tuple[int, Beat] | None:
        beats = self.beats_of(segment, name)
        for index, beat in enumerate(beats):
            if beat.start <= seconds and (seconds < beat.end or (index == len(beats) - 1 and seconds <= beat.end + 1e-9)):
                return index, beat
        return None

    def _neighbour(self, segment: int, name: str, index: int, step: int) -> tuple[int, Beat] | None:
        """The beat before or after, also over the border of two segments of one scene: (its segment, the beat)."""
        beats = self.beats_of(segment, name)
        if 0 <= index + step < len(beats):
            return segment, beats[index + step]
        other = segment + step
        segments = self.story.segments
        if not 0 <= other < len(segments) or segments[other].scene != segments[segment].scene or segments[other].place != segments[segment].place:
            return None
        there = self.beats_of(other, name)
        if not there:
            return None
        beat = there[-1] if step < 0 else there[0]
        touches = beat.end >= SEGMENT_SECONDS - 0.01 if step < 0 else beat.start <= 0.01
        return (other, beat) if touches else None

    def _x(self, segment: int, name: str, index: int, seconds: float) -> float:
        beat = self.beats_of(segment, name)[index]
        if beat.x_from == beat.x_to:
            return beat.x_from
        before, after = self._neighbour(segment, name, index, -1), self._neighbour(segment, name, index, 1)
        soft_start = before is not None and before[1].x_from == before[1].x_to
        soft_end = after is not None and after[1].x_from == after[1].x_to
        return beat.x_from + (beat.x_to - beat.x_from) * _way(beat, seconds - beat.start, soft_start, soft_end)

    def _clock(self, segment: int, name: str, index: int, seconds: float) -> Clock:
        beat = self.beats_of(segment, name)[index]
        leg = BUILD[self.cast[name].species].leg
        length = max(1e-6, beat.end - beat.start)
        way = abs(self._x(segment, name, index, seconds) - beat.x_from)
        return Clock(
            seconds - beat.start, length, segment * SEGMENT_SECONDS + seconds, (way + abs(beat.x_from)) / leg,
            abs(beat.x_to - beat.x_from) / length / leg, beat.mood,
        )  # fmt: skip

    def _posed(self, segment: int, name: str, index: int, seconds: float) -> Pose:
        beat = self.beats_of(segment, name)[index]
        pose = pose_of(beat.action, self._clock(segment, name, index, seconds))
        moving = beat.x_to != beat.x_from and beat.action in TRAVELLERS
        if moving:
            return pose._replace(turn=math.copysign(pose.turn, beat.x_to - beat.x_from))
        if beat.facing == "viewer":
            return pose if beat.action in SWINGERS else pose._replace(turn=0.0)
        return pose._replace(turn=pose.turn * (1 if beat.facing == "right" else -1))

    def _actor(self, segment: int, name: str, seconds: float) -> Actor | None:
        if name not in self.cast:
            raise StoryboardError(f"{name!r} plays in segment {segment}, but the story's cast is {', '.join(self.cast)}. Add the character.")
        found = self._find(segment, name, seconds)
        if found is None:
            return None
        index, beat = found
        character = self.cast[name]
        pose = self._posed(segment, name, index, seconds)
        station = self._station(segment, name, beat)
        before = self._neighbour(segment, name, index, -1)
        since = seconds - beat.start
        if before is not None:
            other, last = before
            if since < BLEND_SECONDS:
                place = self.beats_of(other, name).index(last)
                pose = self._posed(other, name, place, last.end).blend(pose, smooth(since / BLEND_SECONDS))
            pose, station = _change_lane(pose, self._station(other, name, last), station, beat, since)
        elif beat.action == "hide" and beat.x_from != beat.x_to:
            pose, station = _change_lane(pose, Station(self._lane[name], self._lane[name]), station, beat, since)
        pose = _blinking(pose, name, segment * SEGMENT_SECONDS + seconds)
        pose = self._holding(segment, seconds, name, pose, beat)
        x = self._x(segment, name, index, seconds)
        figure = Figure(self.looks[name], pose, x, station.y)
        bell = None
        if beat.action == "sleep" and station.on is not None and station.on.kind == "bed":
            figure = replace(figure, pose=pose._replace(turn=-abs(pose.turn)))
        if beat.action == "ring":
            figure, bell = _reach_bell(figure, self.place(segment), since)
        if beat.action == "peek":
            figure = _peeking(figure, station)
        return Actor(character, figure, beat, seconds, station.depth, station.behind, bell)

    def _station(self, segment: int, name: str, beat: Beat) -> Station:
        character = self.cast[name]
        lane = self._lane[name]
        if beat.action in ("hide", "peek"):
            return _hiding_place(self.place(segment), character, beat.x_to) or Station(lane, lane)
        if beat.action in ("sit", "eat", "sleep", "laugh", "cry", "look", "wave") and beat.x_from == beat.x_to:
            return _seat(self.place(segment), character, beat, lane)
        return Station(lane, lane)

    def _holding(self, segment: int, seconds: float, name: str, pose: Pose, beat: Beat) -> Pose:
        held = self._held(self.story.segments[segment], seconds, name)
        if held is None:
            return pose
        prop, since = held
        holding = _hold(pose, prop, beat, self.cast[name])
        return pose.blend(holding, smooth(since / HAND_OVER_SECONDS))

    def _held(self, segment: Segment, seconds: float, name: str) -> tuple[Prop, float] | None:
        """The prop that a character holds, and for how long in this segment (a held prop at its start counts as long)."""
        for track in segment.props:
            for index, beat in enumerate(track.beats):
                if beat.holder == name and beat.start <= seconds <= beat.end:
                    fresh = index > 0 and track.beats[index - 1].holder != name
                    return self.props[track.prop], seconds - beat.start if fresh else 9.0
        return None

    def _item(self, prop: Prop, beats: tuple[PropBeat, ...], index: int, seconds: float, actors: dict[str, Actor]) -> Item | None:
        item = _anchored(prop, beats[index], actors)
        since = seconds - beats[index].start
        if item is None or index == 0 or since >= HAND_OVER_SECONDS:
            return item
        before = _anchored(prop, beats[index - 1], actors)
        if before is None:
            return item
        share = smooth(since / HAND_OVER_SECONDS)
        arc = 0.04 * math.sin(math.pi * share)
        return replace(item, x=before.x + (item.x - before.x) * share, y=before.y + (item.y - before.y) * share - arc)


def _way(beat: Beat, seconds: float, soft_start: bool, soft_end: bool) -> float:
    """Share of a beat's way that is done after so many seconds."""
    length = max(1e-6, beat.end - beat.start)
    share = min(1.0, max(0.0, seconds / length))
    if beat.action == "jump":
        hop, hops, part = hop_of(seconds, length)
        return (hop + smooth((part - 0.2) / 0.65)) / hops
    if beat.action == "crash":
        return min(1.0, (share / CRASH_SHARE)) ** 1.3
    if beat.action == "hide":
        share = min(1.0, share / 0.8)
    if beat.action == "fall":
        return math.sin(min(1.0, seconds / 0.6) * math.pi / 2)
    return _paced(share, 0.14 if soft_start else 0.0, 0.14 if soft_end else 0.0)


def _paced(share: float, start: float, end: float) -> float:
    """Steady pace with a share of speeding up and of slowing down."""
    top = 1 / (1 - start / 2 - end / 2)
    if share < start:
        return top * share * share / (2 * start)
    if share > 1 - end:
        return 1 - top * (1 - share) ** 2 / (2 * end)
    return top * (share - start / 2)


def _blinking(pose: Pose, name: str, story_seconds: float) -> Pose:
    if pose.lids > 0.5 or pose.grin > 0.5 or pose.dizzy > 0.5:
        return pose
    phase = (story_seconds + 0.37 * (sum(map(ord, name)) % 8)) % 2.9
    return pose._replace(lids=1.0) if phase < 0.13 else pose


def _change_lane(pose: Pose, before: Station, after: Station, beat: Beat, since: float) -> tuple[Pose, Station]:
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


def _hiding_place(place: Place, character: Character, x: float) -> Station | None:
    for piece in _near(place, x, 0.05):
        if can_hide(piece.kind, character.species):
            bottom = spec_of(piece.kind).bottom
            return Station(bottom - 0.02, bottom - 0.01, piece)
    return None


def _seat(place: Place, character: Character, beat: Beat, lane: float) -> Station:
    """Behind a table (sitting or eating), in a bath, or on a seat; else where one stands."""
    build = BUILD[character.species]
    for piece in _near(place, beat.x_to, -0.02):
        spec = spec_of(piece.kind)
        if piece.kind in ("table", "bath") and beat.action in (("sit", "eat") if piece.kind == "table" else ("sit", "laugh", "wave")):
            rim = spec.surface if spec.surface is not None else spec.top + 0.05
            sink = 0.95 * build.leg * 0.9 if beat.action == "sit" else 0.0
            neck = build.head_y - build.head[1] * 0.94 - sink
            return Station(rim - 0.035 + neck, spec.bottom - 0.01, piece)
        if spec.seat is not None and beat.action in ("sit", "sleep"):
            return Station(spec.seat + 0.03, lane, on=piece)
    return Station(lane, lane)


def _hold(pose: Pose, prop: Prop, beat: Beat, character: Character) -> Pose:
    """The pose with hands that hold a prop, where the action leaves them free."""
    if beat.action in ("eat", "give", "pick_up", "put_down", "sleep", "crash"):
        return pose._replace(far_in_front=1.0)
    turn = abs(pose.turn)
    if prop.kind in BOTH_HANDS or _too_big(prop, character):
        if character.species == "mouse" and beat.action in ("stand", "walk", "run", "jump", "dance", "laugh", "look"):
            return pose._replace(near_x=-0.85, near_y=-1.16, near_on_face=1.0, far_x=0.5, far_y=-1.16, far_on_face=1.0)
        if beat.action in ("wave", "ring"):
            return pose
        return pose._replace(near_x=-0.52 + 0.78 * turn, near_y=1.42, near_on_face=1.0, far_x=0.52 + 0.5 * turn, far_y=1.38, far_on_face=1.0)
    if beat.action in NEAR_HANDED:
        return pose._replace(near_x=0.9, near_y=0.5, near_on_face=0.0)
    if prop.kind in ("umbrella", "balloon"):
        return pose._replace(far_x=1.0 + 0.15 * turn, far_y=0.72, far_on_face=1.0)
    return pose._replace(far_x=1.0, far_y=0.35, far_on_face=0.0, far_in_front=1.0)


def _too_big(prop: Prop, character: Character) -> bool:
    """A mouse carries on its head what others hold in one hand."""
    return character.species == "mouse" and prop.kind in ("cheese", "fish", "apple")


def _anchored(prop: Prop, beat: PropBeat, actors: dict[str, Actor]) -> Item | None:
    """Where a prop beat puts a prop; None when its holder is off stage."""
    if beat.holder is None:
        return Item(prop, beat.x, beat.y, 0.95 if beat.y > FEET_Y - 0.06 else 0.87, beat.bites)
    actor = actors.get(beat.holder)
    if actor is None:
        return None
    figure = actor.figure
    near, far = figure.on_stage(figure.hand(True)), figure.on_stage(figure.hand(False))
    action = actor.beat.action
    if (prop.kind in BOTH_HANDS or _too_big(prop, actor.character)) and action not in ("wave", "ring"):
        x, y = (near[0] + far[0]) / 2, (near[1] + far[1]) / 2
    elif action == "eat":
        x, y = (near[0] + far[0]) / 2, (near[1] + far[1]) / 2
    else:
        x, y = near if action in NEAR_HANDED else far
    grip_x, grip_y = GRIP[prop.kind]
    if action == "eat":
        grip_y = -PROP_SIZE[prop.kind][1] * 0.25
    return Item(prop, x - grip_x * figure.mirror, y - grip_y, actor.depth, beat.bites, beat.holder, figure.mirror)


def _reach_bell(figure: Figure, place: Place, since: float) -> tuple[Figure, tuple[float, float] | None]:
    """The far hand on the nearest bell, with a jump where it hangs too high."""
    bells = [(piece.x + spec.bell[0], spec.bell[1]) for piece in place.furniture if (spec := spec_of(piece.kind)).bell is not None]
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


def _peeking(figure: Figure, station: Station) -> Figure:
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
    side = -1 if figure.x < piece.x or (figure.x == piece.x and pose.turn < 0) else 1
    x = piece.x + side * (spec.width / 2 - build.head[0] * 0.15)
    return replace(figure, x=x, pose=pose._replace(lean=14 * side * figure.mirror))
