"""The state of a story between shots: who stands where, who holds what, what lies where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

from storyreel.toons.catalogue import FEET_Y, HALF_WIDTH, MAX_BITES
from storyreel.toons.deeds import ENTERING, TRAVELLING, Deed, Phases, names_in
from storyreel.toons.framing import HALF, clamp_middle, shows_landmark, views
from storyreel.toons.script import Camera, Character, Place, PlaceKind, PropKind, Species, TimeOfDay
from storyreel.toons.sets import Spot, build_place, crash_spot, door_of, hiding_spot, seat_of, table_of

REACH = 0.52
"""How far from the middle of the action anybody stands, so that one wide view holds all."""
MOST_BITTEN = MAX_BITES - 2
"""So many bites leave enough to see what it is."""
APART = 0.30
"""The least distance between the middles of two characters."""

Facing = Literal["left", "right", "viewer"]


@dataclass
class Stance:
    """Where a character is in the present scene, and what it goes on doing until it does something else."""

    x: float
    facing: Facing = "right"
    lasting: str = ""


@dataclass
class Lying:
    """A prop that nobody holds."""

    place: PlaceKind
    x: float
    y: float


@dataclass
class World:
    """Everything that must still be true in the next shot."""

    cast: dict[str, Character]
    rng: Random
    places: dict[PlaceKind, Place] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    lying: dict[str, Lying] = field(default_factory=dict)
    bites: dict[str, int] = field(default_factory=dict)
    stances: dict[str, Stance] = field(default_factory=dict)
    kind: PlaceKind = "kitchen"
    time: TimeOfDay = "day"
    scene: int = -1
    middle: float = HALF
    kept_free: tuple[tuple[str, float], ...] = ()
    camera: Camera | None = None

    @property
    def place(self) -> Place:
        return self.places[self.kind]

    def copy(self) -> World:
        """The same state, which can go another way; places and the source of chance are shared."""
        return replace(
            self,
            held=dict(self.held),
            lying=dict(self.lying),
            bites=dict(self.bites),
            stances={name: replace(stance) for name, stance in self.stances.items()},
        )

    def species(self, name: str) -> Species:
        return self.cast[name].species

    def visit(self, kind: PlaceKind) -> Place:
        """The place of a kind: a story has one, built when it is first needed."""
        if kind not in self.places:
            self.places[kind] = build_place(kind, self.rng)
        return self.places[kind]

    def lay(self, prop: PropKind, kind: PlaceKind) -> None:
        """Puts a new prop in a place: on a low table if there is one, else on the ground."""
        place = self.visit(kind)
        table = table_of(place)
        others = [lying.x for lying in self.lying.values() if lying.place == kind]
        if table and table.y and all(abs(x - table.x) > 0.2 for x in others):
            self.lying[prop] = Lying(kind, round(table.x + self.rng.uniform(-0.1, 0.1), 3), table.y)
            return
        seat = seat_of(place) or door_of(place)
        base = seat.x if seat else place.width / 2
        x = max(
            (base + self.rng.uniform(-0.5, 0.5) for _ in range(6)),
            key=lambda x: min((abs(x - o) for o in others), default=0.0),
        )
        self.lying[prop] = Lying(kind, round(min(place.width - 0.35, max(0.35, x)), 3), FEET_Y)

    def open_scene(self, kind: PlaceKind, time: TimeOfDay, shots: Sequence[Phases]) -> None:
        """A cut: everybody who does not come in later stands where the first shot needs them."""
        self.visit(kind)
        self.kind, self.time, self.scene, self.camera = kind, time, self.scene + 1, None
        self.stances = {}
        self.middle = self._middle_for(shots)
        self.kept_free = tuple(dict.fromkeys(self._fixed_spots(shots)))
        first: dict[str, Deed] = {}
        for phase in shots[0]:
            for deed in phase:
                first.setdefault(deed.who, deed)
        for name in names_in(shots[0]):
            if first[name].verb not in ENTERING:
                self.stances[name] = self._first_stance(first[name])

    def _first_stance(self, deed: Deed) -> Stance:
        spot = self.spot_for(deed)
        if deed.verb in TRAVELLING:
            pref = self.middle
        elif spot and deed.verb in ("get", "ring", "hide", "crash"):
            pref = spot.x + self.rng.choice((-0.35, 0.35))
        else:
            pref = spot.x if spot else self.middle + self.rng.uniform(-REACH, REACH)
        x = self.free_x(pref, deed.who)
        lasting = deed.verb if deed.verb in ("sit", "sleep") else "hide" if deed.verb == "peek" and spot else ""
        return Stance(spot.x if lasting == "hide" and spot else x, "right" if x < self.middle else "left", lasting)

    def _fixed_spots(self, shots: Sequence[Phases]) -> Iterator[tuple[str, float]]:
        """(name, x) of each spot that one character must have for itself in a scene, up to the first chase."""
        for phases in shots:
            deeds = [deed for phase in phases for deed in phase]
            if any(deed.verb in TRAVELLING for deed in deeds):
                return
            for deed in deeds:
                spot = self.spot_for(deed)
                if spot and deed.verb in ("hide", "peek", "crash"):
                    yield deed.who, spot.x

    def _middle_for(self, shots: Sequence[Phases]) -> float:
        """The middle of the spots that a scene needs, somewhat shifted, with a landmark in view."""
        place = self.place
        spots: list[float] = []
        travels = -1
        for number, phases in enumerate(shots):
            deeds = [deed for phase in phases for deed in phase]
            if any(deed.verb in TRAVELLING for deed in deeds):
                travels = number
                break
            for spot in filter(None, map(self.spot_for, deeds)):
                if all(abs(spot.x - other) < 2 * REACH for other in spots):
                    spots.append(spot.x)
        ends = (HALF, place.width - HALF)
        if travels >= 0 and not spots:
            return self.rng.choice(ends)
        if spots:
            middle, slack = (min(spots) + max(spots)) / 2, max(0.0, REACH - (max(spots) - min(spots)) / 2)
        else:
            middle, slack = self.rng.uniform(*ends), 0.2
        tries = [clamp_middle(place, middle + self.rng.uniform(-slack, slack)) for _ in range(6)]
        if travels >= 0:
            tries.sort(key=lambda x: min(abs(x - end) for end in ends))
        for x in (*tries, clamp_middle(place, middle)):
            if shows_landmark(views(Camera("static", x, x), place, ()), place):
                return x
        return tries[0]

    def spot_for(self, deed: Deed) -> Spot | None:
        """The spot on the stage that a deed needs, if any."""
        place = self.place
        if deed.verb in ("hide", "peek"):
            return hiding_spot(place, self.species(deed.who))
        if deed.verb in ("ring", "doorin", "doorout"):
            return door_of(place)
        if deed.verb in ("sit", "sleep"):
            seat = seat_of(place)
            return None if seat and deed.verb == "sleep" and seat.furniture in ("table", "bath") else seat
        if deed.verb == "crash":
            return crash_spot(place, self.middle, [own.x for name, own in self.stances.items() if name != deed.who])
        if deed.what and deed.verb in ("get", "eat", "to", "runto", "look") and (lying := self.lying_here(deed.what)):
            return Spot(lying.x, "", lying.y)
        if deed.verb == "put":
            return table_of(place)
        return None

    def lying_here(self, prop: str) -> Lying | None:
        """Where a prop lies in the present place, or None when it is held, elsewhere or gone."""
        lying = self.lying.get(prop)
        return lying if lying and lying.place == self.kind else None

    def free_x(self, wanted: float, who: str, ignoring: Iterable[str] = ()) -> float:
        """The x nearest to the wanted one that is within reach of the middle and apart from everybody else."""
        others = [
            (stance.x, APART + 0.1 * (stance.lasting == "sleep"))
            for name, stance in self.stances.items()
            if name != who and name not in ignoring
        ]
        others += [(x, APART) for name, x in self.kept_free if name != who]
        low, high = self.middle - REACH, self.middle + REACH
        wanted = min(high, max(low, wanted))
        tries = [low + (high - low) * i / 26 for i in range(27)]
        free = [x for x in (wanted, *tries) if all(abs(x - other) >= apart for other, apart in others)]
        return round(min(free, key=lambda x: abs(x - wanted)) if free else wanted, 3)

    def edge_x(self, who: str, side: int) -> float:
        """Just outside the widest view, on the left (-1) or right (1)."""
        return round(self.middle + side * (HALF + HALF_WIDTH[self.species(who)] + 0.03), 3)

    def bite(self, prop: str) -> int:
        """One bite more, up to the most; the new number of bites."""
        self.bites[prop] = min(MOST_BITTEN, self.bites.get(prop, 0) + 1)
        return self.bites[prop]
