"""The whereabouts of props in one shot, kept as the shot is staged."""

from __future__ import annotations

from dataclasses import dataclass

from storyreel.toons.catalogue import FEET_Y
from storyreel.toons.deeds import Deed
from storyreel.toons.framing import SECONDS
from storyreel.toons.script import PropBeat, PropTrack
from storyreel.toons.sets import table_of
from storyreel.toons.world import Lying, World


@dataclass(frozen=True)
class _Open:
    """A whereabouts that has begun and not ended."""

    start: float
    holder: str | None
    x: float
    y: float
    bites: int


class PropLog:
    """Writes down every change of a prop's whereabouts, in the world and in the shot's prop tracks."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.beats: dict[str, list[PropBeat]] = {}
        self.open: dict[str, _Open] = {}
        for prop in world.lying:
            if world.lying_here(prop):
                self._begin(prop, 0.0)
        for name in world.stances:
            self.show_held(name, 0.0)

    def _begin(self, prop: str, start: float) -> None:
        self._end(prop, start)
        bites = self.world.bites.get(prop, 0)
        if prop in self.world.held:
            self.open[prop] = _Open(start, self.world.held[prop], 0.0, 0.0, bites)
        else:
            lying = self.world.lying[prop]
            self.open[prop] = _Open(start, None, lying.x, lying.y, bites)

    def _end(self, prop: str, end: float) -> None:
        if prop in self.open:
            own = self.open.pop(prop)
            if end > own.start:
                self.beats.setdefault(prop, []).append(PropBeat(own.start, end, own.holder, own.x, own.y, own.bites))

    def show_held(self, name: str, start: float) -> None:
        """What a character holds comes on stage with it."""
        for prop, holder in self.world.held.items():
            if holder == name:
                self._begin(prop, start)

    def hide_held(self, name: str, end: float) -> None:
        """What a character holds leaves the stage with it."""
        for prop, holder in self.world.held.items():
            if holder == name:
                self._end(prop, end)

    def play(self, deed: Deed, start: float, end: float) -> None:
        """What a deed does to its prop: taken or put down half-way through, bitten now and then."""
        if not deed.what or deed.verb not in ("get", "put", "give", "eat"):
            return
        world, prop, half = self.world, deed.what, round((start + end) / 2, 2)
        self._free_hands(deed.whom if deed.verb == "give" else deed.who, prop, round(start + 0.1 * (end - start), 2))
        if deed.verb == "eat":
            self._eat(deed, start, end)
            return
        if deed.verb == "put":
            world.held.pop(prop, None)
            world.lying[prop] = self._put_where(deed)
        else:
            world.lying.pop(prop, None)
            world.held[prop] = deed.whom if deed.verb == "give" and deed.whom else deed.who
        self._begin(prop, half)

    def _free_hands(self, name: str, prop: str, start: float) -> None:
        """Whoever takes a thing lays down what else they hold."""
        for other in [own for own, holder in self.world.held.items() if holder == name and own != prop]:
            del self.world.held[other]
            self.world.lying[other] = self._on_the_ground(self.world.stances[name].x)
            self._begin(other, start)

    def _on_the_ground(self, x: float) -> Lying:
        way = 1 if x < self.world.middle else -1
        return Lying(self.world.kind, round(x + way * 0.18, 3), FEET_Y)

    def _put_where(self, deed: Deed) -> Lying:
        world = self.world
        x = world.stances[deed.who].x
        table = table_of(world.place)
        if table and table.y is not None and abs(table.x - x) < 0.34:
            taken = [own.x for own in world.lying.values() if own.place == world.kind and own.y == table.y]
            spots = (table.x + (0.05 if x > table.x else -0.05), table.x - 0.14, table.x + 0.14)
            return Lying(
                world.kind,
                round(max(spots, key=lambda spot: min((abs(spot - own) for own in taken), default=9.0)), 3),
                table.y,
            )
        return self._on_the_ground(x)

    def _eat(self, deed: Deed, start: float, end: float) -> None:
        """From a table it is eaten where it stands; from the ground it is taken up first."""
        world, prop = self.world, deed.what
        lying = world.lying_here(prop)
        if lying is not None and lying.y == FEET_Y:
            del world.lying[prop]
            world.held[prop] = deed.who
            self._begin(prop, round(start + 0.15 * (end - start), 2))
        world.bite(prop)
        self._begin(prop, round(start + 0.55 * (end - start), 2))

    def tracks(self) -> tuple[PropTrack, ...]:
        """Everything that was somewhere on the stage during the shot."""
        for prop in list(self.open):
            self._end(prop, SECONDS)
        return tuple(PropTrack(prop, tuple(beats)) for prop, beats in self.beats.items())
