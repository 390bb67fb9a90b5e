"""Staging: the deeds of a shot become beats, tracks, props in hands, and a camera that shows everyone told of."""

from __future__ import annotations

from dataclasses import dataclass, replace

from storyreel.toons.catalogue import FEET_Y, HALF_WIDTH
from storyreel.toons.deeds import ENTERING, LASTING, LEAVING, TRAVELLING, Deed, Phases, in_order, names_in
from storyreel.toons.framing import HALF, SECONDS, Framing, choose_camera
from storyreel.toons.properties import PropLog
from storyreel.toons.script import Action, Beat, Camera, Mood, PropTrack, Species, Track
from storyreel.toons.world import Facing, Stance, World

_WEIGHTS = {
    "in": 1.0, "runin": 0.8, "doorin": 1.0, "out": 1.1, "runout": 0.9, "doorout": 1.0, "to": 0.9,
    "runto": 0.8, "roam": 1.3, "dash": 1.0, "wander": 2.4, "flee": 2.0, "chase": 2.0, "race": 2.0, "hide": 0.9,
    "get": 1.0, "put": 1.0, "give": 1.2,
    "eat": 1.6, "sleep": 1.6, "dance": 1.6, "peek": 1.6, "ring": 1.4, "look": 1.0, "watch": 1.0,
}  # fmt: skip
_LONGEST_HIDE = 0.8
_FASTEST = {"walk": 0.55, "run": 1.1}


class StagingFailed(Exception):
    """A shot that no camera can show as its text tells it; the grammar tries it in another way."""


@dataclass(frozen=True)
class Told:
    """A deed as it was staged: the side from or to which it goes, the furniture that it needs, what is held meanwhile.

    `still` when it was going on before the shot.
    """

    deed: Deed
    side: str = ""
    furniture: str = ""
    holding: str = ""
    still: bool = False


@dataclass(frozen=True)
class StagedShot:
    """A shot ready to be drawn and worded. `left_to_right` are those in view who are there from the start."""

    camera: Camera
    tracks: tuple[Track, ...]
    props: tuple[PropTrack, ...]
    told: tuple[tuple[Told, ...], ...]
    in_view: tuple[str, ...]
    left_to_right: tuple[str, ...]
    lasting: tuple[tuple[str, str], ...]

    def bystander(self, name: str) -> Told:
        """What to tell of one who does nothing new."""
        return Told(Deed(name, dict(self.lasting).get(name) or "watch"), still=True)


def stage_shot(world: World, phases: Phases) -> StagedShot:
    """Plays one shot of the scene that is open in `world`, which afterwards is in the state at the shot's end.

    StagingFailed when no camera can show it.
    """
    return _Director(world, phases).play()


class _Director:
    """The making of one shot: everybody's beats so far and the whereabouts of props."""

    def __init__(self, world: World, phases: Phases) -> None:
        self.world, self.rng = world, world.rng
        there = set(world.stances)
        self.phases = phases = self._with_entrances(in_order(phases))
        self.beats: dict[str, list[Beat]] = {name: [] for name in (*world.stances, *names_in(phases))}
        self.lasting = tuple((name, stance.lasting) for name, stance in world.stances.items() if stance.lasting)
        self.props = PropLog(world)
        self.told: list[list[Told]] = []
        self.middle_from = world.middle
        self.there = there

    def play(self) -> StagedShot:
        """Every phase in turn, then the camera."""
        start = 0.0
        for phase, end in zip(self.phases, self._ends(), strict=True):
            self._play_phase(phase, start, end)
            start = end
        order = (*names_in(self.phases), *self.beats)
        tracks = tuple(Track(name, tuple(self.beats[name])) for name in dict.fromkeys(order) if self.beats[name])
        props = self.props.tracks()
        camera, seen = self._camera(tracks)
        self.world.camera = camera
        xs = {name: self.beats[name][0].x_from for name in seen if name in self.there}
        left_to_right = tuple(sorted(xs, key=lambda name: xs[name]))
        return StagedShot(camera, tracks, props, tuple(map(tuple, self.told)), seen, left_to_right, self.lasting)

    def _with_entrances(self, phases: Phases) -> Phases:
        """The phases with an entrance for whoever is not there yet; one who peeks has been hiding there."""
        world = self.world
        coming = []
        for name in names_in(phases):
            first = next(deed for phase in phases for deed in phase if deed.who == name)
            if name in world.stances or first.verb in ENTERING:
                continue
            spot = world.spot_for(first)
            if first.verb == "peek" and spot and abs(spot.x - world.middle) < HALF - 0.15:
                world.stances[name] = Stance(spot.x, lasting="hide")
            else:
                coming.append(Deed(name, "in", mood=first.mood if first.mood in ("sad", "happy") else "calm"))
        return ((*coming,), *phases) if coming else phases

    def _ends(self) -> list[float]:
        weights = [max(_WEIGHTS.get(deed.verb, 1.2) for deed in phase) for phase in self.phases]
        lengths = [SECONDS * weight / sum(weights) for weight in weights]
        for i, phase in enumerate(self.phases):
            spare = lengths[i] - _LONGEST_HIDE
            if any(deed.verb == "hide" for deed in phase) and spare > 0 and len(lengths) > 1:
                lengths = [
                    _LONGEST_HIDE if j == i else own + spare / (len(lengths) - 1) for j, own in enumerate(lengths)
                ]
        return [round(sum(lengths[: i + 1]), 2) for i in range(len(lengths) - 1)] + [SECONDS]

    def _play_phase(self, phase: tuple[Deed, ...], start: float, end: float) -> None:
        self.told.append([])
        travellers = [deed for deed in phase if deed.verb in TRAVELLING]
        if travellers:
            self._travel(travellers, start, end)
        for deed in phase:
            if deed.verb not in TRAVELLING:
                self._do(self._possible(deed), start, end)
        for name in list(self.world.stances):
            if all(deed.who != name for deed in phase):
                self._idle(name, start, end)

    def _possible(self, deed: Deed) -> Deed:
        """The deed, or what comes nearest to it in this place and with what is there."""
        world = self.world
        spot = world.spot_for(deed)
        looks = replace(deed, verb="look", what="", whom="")
        if deed.verb in ("hide", "peek", "ring") and (spot is None or abs(spot.x - world.middle) > HALF - 0.15):
            return looks
        if deed.verb == "get" and (holder := world.held.get(deed.what)) in world.stances and holder != deed.who:
            return replace(deed, whom=holder)
        if deed.verb in ("get", "eat", "put", "give") and world.held.get(deed.what) != deed.who:
            if world.lying_here(deed.what):
                return deed if deed.verb in ("get", "eat") else replace(looks, what=deed.what)
            return looks
        if deed.verb in ("look", "wave", "give", "to", "runto") and deed.whom and deed.whom not in world.stances:
            return replace(deed, whom="")
        if deed.verb in ("doorin", "doorout") and (spot is None or abs(spot.x - world.middle) > HALF - 0.15):
            return replace(deed, verb="in" if deed.verb == "doorin" else "out")
        if deed.verb == "crash" and spot and abs(spot.x - world.middle) > HALF:
            return replace(deed, verb="fall")
        return deed

    def _do(self, deed: Deed, start: float, end: float) -> None:
        if deed.verb in ENTERING:
            self._enter(deed, start, end)
        elif deed.verb in LEAVING:
            self._leave(deed, start, end)
        elif deed.verb in ("to", "runto"):
            self._move(deed, self._beside(deed), start, end)
        elif deed.verb in ("roam", "dash"):
            self._cross(deed, start, end)
        else:
            self._act(deed, start, end)

    def _enter(self, deed: Deed, start: float, end: float) -> None:
        world, rng = self.world, self.rng
        spot = world.spot_for(deed) if deed.verb == "doorin" else None
        later = [own for phase in self.phases[len(self.told) :] for own in phase if own.who == deed.who]
        goal = self._goal(later[0], entering=True) if later and later[0].verb not in LEAVING else None
        side = rng.choice((-1, 1))
        if spot is None and goal is not None:
            side = -1 if goal < world.middle else 1
        elif world.stances:
            crowd = sum(stance.x for stance in world.stances.values()) / len(world.stances)
            side = -1 if crowd > world.middle else 1
        if goal is None:
            goal = (spot.x + 0.3 * rng.choice((-1, 1))) if spot else world.middle + side * rng.uniform(0.15, 0.45)
        goal = world.free_x(goal, deed.who)
        x_from = spot.x if spot else world.edge_x(deed.who, side)
        world.stances[deed.who] = Stance(x_from)
        self.props.show_held(deed.who, start)
        arrival = self._arrival(deed.action, x_from, goal, start, end)
        self._beat(deed.who, deed.action, start, arrival, goal, deed.mood)
        self._idle(deed.who, arrival, end)
        self._tell(deed, side="left" if side < 0 else "right", furniture=spot.furniture if spot else "")

    def _leave(self, deed: Deed, start: float, end: float) -> None:
        world, stance = self.world, self.world.stances[deed.who]
        spot = world.spot_for(deed)
        others = [other.x for name, other in world.stances.items() if name != deed.who]
        side = 1 if stance.x > world.middle else -1
        if others and self.rng.random() < 0.7:
            side = 1 if stance.x > sum(others) / len(others) else -1
        before = [told.side for told in self.told[-1] if told.deed.verb in LEAVING]
        if before:
            side = -1 if before[0] == "left" else 1
        goal = spot.x if spot else world.edge_x(deed.who, side)
        needs = min(end - start, abs(goal - stance.x) / _FASTEST["run" if deed.action == "run" else "walk"])
        self._idle(deed.who, start, round(end - needs, 2))
        self._beat(deed.who, deed.action, round(end - needs, 2), end, goal, deed.mood)
        self.props.hide_held(deed.who, end)
        self._tell(deed, side="left" if side < 0 else "right", furniture=spot.furniture if spot else "")
        del world.stances[deed.who]

    def _cross(self, deed: Deed, start: float, end: float) -> None:
        world, stance = self.world, self.world.stances[deed.who]
        side = -1 if stance.x > world.middle else 1
        goal = world.free_x(world.middle + side * self.rng.uniform(0.35, 0.5), deed.who)
        if abs(goal - stance.x) < 0.25:
            goal = world.free_x(world.middle - side * 0.5, deed.who)
        self._move(deed, goal, start, end)

    def _move(self, deed: Deed, goal: float, start: float, end: float) -> None:
        x = self.world.stances[deed.who].x
        arrival = self._arrival(deed.action, x, goal, start, end)
        self._beat(deed.who, deed.action, start, arrival, goal, deed.mood)
        self._idle(deed.who, arrival, end)
        self._tell(deed, side="left" if goal < x else "right")

    def _travel(self, deeds: list[Deed], start: float, end: float) -> None:
        """All run along the stage in a row, the first ahead, and the camera goes with them."""
        world = self.world
        ends = (HALF, world.place.width - HALF)
        goal = max(ends, key=lambda x: abs(x - world.middle))
        way = 1 if goal > world.middle else -1
        length = min(abs(goal - world.middle), (end - start) * _FASTEST["run"])
        world.middle = round(world.middle + way * length, 3)
        room = 0.0 if len(deeds) == 1 else 0.2
        opens = world.camera is None and start == 0
        for place_in_row, deed in enumerate(deeds):
            offset = way * (room - place_in_row * 2 * room)
            if opens:
                world.stances[deed.who].x = round(self.middle_from + offset, 3)
            self._beat(deed.who, deed.action, start, end, round(world.middle + offset, 3), deed.mood)
            self._tell(deed, side="left" if way < 0 else "right")

    def _act(self, deed: Deed, start: float, end: float) -> None:
        """A deed at a spot: first the way there, then the deed."""
        world, stance = self.world, self.world.stances[deed.who]
        goal, begin, spot = self._goal(deed), start, world.spot_for(deed)
        if goal is not None and abs(goal - stance.x) > 0.03:
            pace: Action = "run" if deed.verb in ("hide", "crash") or deed.mood in ("scared", "angry") else "walk"
            begin = round(min(self._arrival(pace, stance.x, goal, start, end), start + 0.6 * (end - start)), 2)
            self._beat(deed.who, pace, start, begin, goal, deed.mood)
        furniture = spot.furniture if spot and deed.verb in ("hide", "crash", "ring") else ""
        if spot and deed.verb in ("sit", "sleep") and abs(stance.x - spot.x) < 0.2:
            furniture = spot.furniture
        self.props.play(deed, begin, end)
        self._beat(deed.who, deed.action, begin, end, stance.x, deed.mood, self._facing(deed))
        stance.lasting = deed.verb if deed.verb in LASTING else ""
        self._tell(deed, furniture=furniture)

    def _goal(self, deed: Deed, entering: bool = False) -> float | None:
        """Where a deed must be done, or None when it is done where one stands."""
        world = self.world
        spot = world.spot_for(deed)
        here = world.stances[deed.who].x if deed.who in world.stances else world.middle
        if deed.verb == "give" or (deed.verb in ("to", "runto", "get") and deed.whom):
            return self._beside(deed)
        if spot is None or deed.verb in ("look", "doorin", "doorout"):
            return None
        if deed.verb == "crash":
            gap = HALF_WIDTH[world.species(deed.who)]
            return round(spot.x + (gap if spot.x < here else -gap), 3)
        if deed.verb == "ring":
            return world.free_x(spot.x + 0.36, deed.who)
        if deed.verb in ("hide", "peek"):
            return spot.x
        if deed.verb == "eat" and spot.y != FEET_Y:
            return world.free_x(spot.x, deed.who)
        if deed.verb in ("sit", "sleep"):
            free = world.free_x(spot.x, deed.who)
            return free if abs(free - spot.x) < 0.15 and (entering or abs(free - here) < 0.6) else None
        if deed.verb == "put":
            near = spot.x + (-0.2 if here < spot.x else 0.2)
            return world.free_x(near, deed.who) if abs(spot.x - world.middle) < 0.4 else None
        return world.free_x(spot.x + (-0.17 if here < spot.x else 0.17), deed.who)

    def _beside(self, deed: Deed) -> float:
        """Next to the character or prop to which a deed goes, on the nearer side."""
        world = self.world
        x = world.stances[deed.who].x if deed.who in world.stances else world.middle
        if deed.whom in world.stances:
            target = world.stances[deed.whom].x
            gap = HALF_WIDTH[world.species(deed.who)] + HALF_WIDTH[world.species(deed.whom)] + 0.06
        else:
            lying = world.lying_here(deed.what)
            target, gap = (lying.x, 0.17) if lying else (world.middle, 0.0)
        return world.free_x(target + (-gap if x < target else gap), deed.who, ignoring=(deed.whom,))

    def _beat(
        self, who: str, action: Action, start: float, end: float, x_to: float, mood: Mood, facing: Facing | None = None
    ) -> None:
        """Adds a beat, or lengthens the one before when nothing changes."""
        if end - start < 0.02:
            return
        stance, beats = self.world.stances[who], self.beats[who]
        if abs(x_to - stance.x) > 0.01:
            facing = "right" if x_to > stance.x else "left"
        look = facing or stance.facing
        last = beats[-1] if beats else None
        if (
            last
            and last.action == action
            and last.x_from == x_to
            and (last.x_to, last.mood, last.facing) == (x_to, mood, look)
        ):
            beats[-1] = replace(last, end=end)
        else:
            beats.append(Beat(action, last.end if last else start, end, stance.x, x_to, mood, look))
        stance.x, stance.lasting = x_to, action if action in LASTING else ""
        if look != "viewer":
            stance.facing = look

    def _idle(self, who: str, start: float, end: float) -> None:
        """Time goes by for one who does nothing new."""
        stance = self.world.stances[who]
        last = self.beats[who][-1] if self.beats[who] else None
        mood: Mood = last.mood if last else "calm"
        action: Action = "stand"
        if stance.lasting == "sleep":
            action, mood = "sleep", "sleepy"
        elif stance.lasting == "hide":
            action, mood = "hide", "scared"
        elif stance.lasting == "sit":
            action = "sit"
        elif last and last.action in ("fall", "crash", "cry", "dance", "laugh"):
            action = last.action
        look = last.facing if last and action == last.action else self._toward(who)
        self._beat(who, action, start, end, stance.x, mood, look)

    def _toward(self, who: str) -> Facing:
        """To the nearest of the others, or where one looked before."""
        stances = self.world.stances
        others = [stance.x for name, stance in stances.items() if name != who and stance.lasting != "hide"]
        if not others:
            return stances[who].facing
        nearest = min(others, key=lambda x: abs(x - stances[who].x))
        return "right" if nearest > stances[who].x else "left"

    def _facing(self, deed: Deed) -> Facing:
        world = self.world
        x = world.stances[deed.who].x
        target = None
        if deed.whom in world.stances:
            target = world.stances[deed.whom].x
        elif (
            deed.verb in ("get", "eat", "put", "look", "ring", "crash")
            and (spot := world.spot_for(deed))
            and abs(spot.x - x) > 0.02
        ):
            target = spot.x
        if target is not None:
            return "right" if target > x else "left"
        if deed.verb in ("wave", "dance", "laugh", "cry", "peek") and (
            len(world.stances) == 1 or self.rng.random() < 0.5
        ):
            return "viewer"
        return self._toward(deed.who)

    def _arrival(self, action: Action, x_from: float, x_to: float, start: float, end: float) -> float:
        speed = _FASTEST["run" if action == "run" else "walk"]
        return round(min(end, start + max(0.3, abs(x_to - x_from) / speed)), 2)

    def _tell(self, deed: Deed, side: str = "", furniture: str = "") -> None:
        held = [prop for prop, name in self.world.held.items() if name == deed.who]
        earlier = [told.deed.verb for phase in self.told for told in phase if told.deed.who == deed.who]
        still = (earlier[-1] if earlier else dict(self.lasting).get(deed.who)) == deed.verb
        self.told[-1].append(Told(deed, side, furniture, held[0] if held else "", still))

    def _camera(self, tracks: tuple[Track, ...]) -> tuple[Camera, tuple[str, ...]]:
        """A camera and the names of those whom it shows; those who merely stand by may be left out of its view."""
        partners = (deed.whom for phase in self.phases for deed in phase if deed.whom in self.beats)
        doers = tuple(dict.fromkeys((*names_in(self.phases), *partners)))
        hidden = {track.character for track in tracks if all(beat.action == "hide" for beat in track.beats)}
        acting = [track for track in tracks if track.character in doers]
        others = [track for track in tracks if track.character not in doers and track.character not in hidden]
        away = [track for track in tracks if track.character in hidden and track.character not in doers]
        choices = [(acting + others, away)]
        if others:
            choices.insert(0 if self.rng.random() < 0.5 else 1, (acting, others + away))
        species: dict[str, Species] = {name: own.species for name, own in self.world.cast.items()}
        for seen, unseen in choices:
            framing = Framing(self.world.place, self.middle_from, seen, unseen, species)
            camera = choose_camera(framing, self.world.middle, self.world.camera, self.rng)
            if camera is not None:
                return camera, tuple(track.character for track in seen)
        raise StagingFailed(f"no camera shows {', '.join(doers)} in the {self.world.kind}")
