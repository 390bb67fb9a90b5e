"""Who stands where in which pose, and where each prop is, at a moment: everything of a frame but its pixels."""

from __future__ import annotations

import math
from dataclasses import replace

from storyreel.errors import StoryboardError
from storyreel.geometry import SEGMENT_SECONDS
from storyreel.toons.builds import BUILD
from storyreel.toons.cast import Figure, Look
from storyreel.toons.catalogue import FEET_Y, HEIGHT
from storyreel.toons.holding import anchored, hold
from storyreel.toons.players import Actor, Item, Station
from storyreel.toons.poses import CRASH_SHARE, hop_of, pose_of
from storyreel.toons.script import Beat, Place, Prop, PropBeat, Segment, Story
from storyreel.toons.stance import Clock, Pose, smooth
from storyreel.toons.stations import change_lane, hiding_place, reach_bell, seat

BLEND_SECONDS = 0.17
HAND_OVER_SECONDS = 0.2
TRAVELLERS = ("walk", "run", "jump", "crash", "hide", "fall")
SWINGERS = ("dance", "peek", "look")


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
                raise StoryboardError(
                    f"prop {track.prop!r} plays in segment {segment}, but the story has "
                    f"{', '.join(self.props) or 'none'}. Add it."
                )
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
            if beat.start <= seconds and (
                seconds < beat.end or (index == len(beats) - 1 and seconds <= beat.end + 1e-9)
            ):
                return index, beat
        return None

    def _neighbour(self, segment: int, name: str, index: int, step: int) -> tuple[int, Beat] | None:
        """The beat before or after, also over the border of two segments of one scene: (its segment, the beat)."""
        beats = self.beats_of(segment, name)
        if 0 <= index + step < len(beats):
            return segment, beats[index + step]
        other = segment + step
        segments = self.story.segments
        if (
            not 0 <= other < len(segments)
            or segments[other].scene != segments[segment].scene
            or segments[other].place != segments[segment].place
        ):
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
        return beat.x_from + (beat.x_to - beat.x_from) * way(beat, seconds - beat.start, soft_start, soft_end)

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
            raise StoryboardError(
                f"{name!r} plays in segment {segment}, but the story's cast is {', '.join(self.cast)}. Add it."
            )
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
            pose, station = change_lane(pose, self._station(other, name, last), station, beat, since)
        elif beat.action == "hide" and beat.x_from != beat.x_to:
            pose, station = change_lane(pose, Station.at(self._lane[name]), station, beat, since)
        pose = _blinking(pose, name, segment * SEGMENT_SECONDS + seconds)
        pose = self._holding(segment, seconds, name, pose, beat)
        x = self._x(segment, name, index, seconds) + station.aside
        if station.aside:
            pose = pose._replace(lean=60 * station.aside * (-1 if pose.turn < 0 else 1))
        figure = Figure(self.looks[name], pose, x, station.y)
        bell = None
        if beat.action == "sleep" and station.on is not None and station.on.kind == "bed":
            figure = replace(figure, pose=pose._replace(turn=-abs(pose.turn)))
        if beat.action == "ring":
            figure, bell = reach_bell(figure, self.place(segment), since)
        return Actor(character, figure, beat, seconds, station.depth, station.behind, station.floor, bell)

    def _station(self, segment: int, name: str, beat: Beat) -> Station:
        character = self.cast[name]
        lane = self._lane[name]
        if beat.action in ("hide", "peek"):
            return hiding_place(self.place(segment), character, beat) or Station.at(lane)
        if beat.action in ("sit", "eat", "sleep", "laugh", "cry", "look", "wave") and beat.x_from == beat.x_to:
            return seat(self.place(segment), character, beat, lane)
        return Station.at(lane)

    def _holding(self, segment: int, seconds: float, name: str, pose: Pose, beat: Beat) -> Pose:
        held = self._held(self.story.segments[segment], seconds, name)
        if held is None:
            return pose
        prop, since = held
        holding = hold(pose, prop, beat, self.cast[name])
        return pose.blend(holding, smooth(since / HAND_OVER_SECONDS))

    def _held(self, segment: Segment, seconds: float, name: str) -> tuple[Prop, float] | None:
        """The prop that a character holds, and for how long (one held from the segment's start counts as long)."""
        for track in segment.props:
            for index, beat in enumerate(track.beats):
                if beat.holder == name and beat.start <= seconds <= beat.end:
                    fresh = index > 0 and track.beats[index - 1].holder != name
                    return self.props[track.prop], seconds - beat.start if fresh else 9.0
        return None

    def _item(
        self, prop: Prop, beats: tuple[PropBeat, ...], index: int, seconds: float, actors: dict[str, Actor]
    ) -> Item | None:
        item = anchored(prop, beats[index], actors)
        since = seconds - beats[index].start
        if item is None or index == 0 or since >= HAND_OVER_SECONDS:
            return item
        before = anchored(prop, beats[index - 1], actors)
        if before is None:
            return item
        share = smooth(since / HAND_OVER_SECONDS)
        arc = 0.04 * math.sin(math.pi * share)
        return replace(item, x=before.x + (item.x - before.x) * share, y=before.y + (item.y - before.y) * share - arc)


def _blinking(pose: Pose, name: str, story_seconds: float) -> Pose:
    if pose.lids > 0.5 or pose.grin > 0.5 or pose.dizzy > 0.5:
        return pose
    phase = (story_seconds + 0.37 * (sum(map(ord, name)) % 8)) % 2.9
    return pose._replace(lids=1.0) if phase < 0.13 else pose


def way(beat: Beat, seconds: float, soft_start: bool, soft_end: bool) -> float:
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
