"""Memory probes: what no text tells, the video chose itself at first; is it the same when it is seen again?

A probe is two segments between which the thing was out of view for `gap` segments (0: they are neighbours, a control).
Families: the wallpaper or sky and the floor of a place (in any toon); the collar of a character and the colours of
furniture (in drawn toons, whose geometry is known). A probe counts only where both segments are readable:
the demo's probe sees the right place, or the character, in both, and both colours can be read. So a video that shows
the wrong thing has no memory score, neither a bad nor a good one.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from storyreel.evaluation.metrics.palettes import wall_ramps
from storyreel.evaluation.metrics.stories import Story
from storyreel.evaluation.metrics.toon_readings import Readings
from storyreel.evaluation.share import Share
from storyreel.toons.catalogue import FLOOR_COLOURS, WALL_COLOURS
from storyreel.toons.palette import COLLAR

_Name = TypeVar("_Name")
FEWEST_VIDEOS = 5
"""With fewer videos the floor is what blind guessing would give."""
GAPS = (0, 1, 2, 4, 8, 16)
"""Gaps are put together up to each of these: 3 and 4 are told as 4."""


@dataclass(frozen=True)
class MemoryProbe:
    """One question. `domain` says between which values (`values` of them) was chosen; `first` and `again` are what was
    read, None where that segment is not readable."""

    family: str
    gap: int
    domain: str
    values: int
    first: str | None
    again: str | None

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def memory_probes(story: Story, readings: Readings, seen: Sequence[tuple[str, frozenset[str]]]) -> list[MemoryProbe]:
    """All probes of a toon; `seen` is (place, species) that the demo's probe read in each segment."""
    if story.toon is None:
        return []
    toon = story.toon[: len(seen)]
    found: list[MemoryProbe] = []
    visits: dict[object, list[int]] = defaultdict(list)
    for segment, own in enumerate(toon):
        if own.place is not None:
            visits[own.place, story.places[segment]].append(segment)
    for segments in visits.values():
        for a, b in itertools.pairwise(segments):
            found += _of_room(story, readings, seen, a, b)
    if story.truth is None:
        return found
    species = {own["name"]: own["species"] for own in story.truth["story"]["cast"]}
    for name, segments in _shown_in(readings.collars).items():
        for a, b in itertools.pairwise(segments):
            there = b < len(seen) and species[name] in seen[a][1] and species[name] in seen[b][1]
            first, again = (readings.collars[own, name] if there else None for own in (a, b))
            found.append(MemoryProbe("collar", b - a - 1, "collar", len(COLLAR), first, again))
    for piece, segments in _shown_in(readings.furniture).items():
        for a, b in itertools.pairwise(segments):
            there = b < len(seen) and seen[a][0] == toon[a].place and seen[b][0] == toon[b].place
            first, again = (readings.furniture[own, piece] if there else None for own in (a, b))
            found.append(MemoryProbe("furniture", b - a - 1, piece.kind, piece.values, first, again))
    return found


def _shown_in(read: Mapping[tuple[int, _Name], object]) -> dict[_Name, list[int]]:
    """The segments that show each thing, ascending."""
    shown: dict[_Name, list[int]] = defaultdict(list)
    for segment, name in sorted(read, key=lambda key: key[0]):
        shown[name].append(segment)
    return shown


def _of_room(
    story: Story, readings: Readings, seen: Sequence[tuple[str, frozenset[str]]], a: int, b: int
) -> Iterable[MemoryProbe]:
    assert story.toon is not None
    one, two = story.toon[a], story.toon[b]
    place = one.place
    assert place is not None
    there = seen[a][0] == place and seen[b][0] == place
    for family, values, read in (
        ("wall", WALL_COLOURS[place], readings.walls),
        ("floor", FLOOR_COLOURS[place], readings.floors),
    ):
        # A night sky has no colour of its own.
        if family == "floor" or (wall_ramps(place, one.night) and wall_ramps(place, two.night)):
            first, again = (read[own] if there else None for own in (a, b))
            yield MemoryProbe(family, b - a - 1, f"{family} of a {place}", len(values), first, again)


@dataclass(frozen=True)
class MemoryRow:
    """Probes of one family and gap. `right` is of those that are readable; `floor` is how often readings of two
    different videos agree (1 / values with fewer than five videos), `ceiling` the share right in drawn toons."""

    family: str
    gap: int
    asked: int
    right: Share | None
    floor: float
    ceiling: Share | None

    @property
    def score(self) -> float | None:
        """(right - floor) / (ceiling - floor): 0 no memory, 1 as good as the drawing."""
        if self.right is None or self.ceiling is None or self.ceiling.value <= self.floor:
            return None
        return (self.right.value - self.floor) / (self.ceiling.value - self.floor)


def memory_table(
    by_video: Sequence[Sequence[MemoryProbe]], drawn: Sequence[Sequence[MemoryProbe]] = ()
) -> list[MemoryRow]:
    """The rows of all videos' probes, by family and gap; `drawn` are those of drawn toons."""
    ceilings = {key: _right(own) for key, own in _grouped(drawn).items()}
    rows = []
    for (family, gap), own in sorted(_grouped(by_video).items()):
        floor = _floor(by_video, family)
        rows.append(MemoryRow(family, gap, len(own), _right(own), floor, ceilings.get((family, gap))))
    return rows


def _grouped(by_video: Sequence[Sequence[MemoryProbe]]) -> dict[tuple[str, int], list[MemoryProbe]]:
    groups: dict[tuple[str, int], list[MemoryProbe]] = defaultdict(list)
    for probe in (one for probes in by_video for one in probes):
        gap = next((limit for limit in GAPS if probe.gap <= limit), GAPS[-1])
        groups[probe.family, gap].append(probe)
    return groups


def _right(probes: Sequence[MemoryProbe]) -> Share | None:
    readable = [one for one in probes if one.first is not None and one.again is not None]
    return Share(sum(one.first == one.again for one in readable), len(readable)) if readable else None


def _floor(by_video: Sequence[Sequence[MemoryProbe]], family: str) -> float:
    """How often what one video shows again is what another video showed at first, in the same domain."""
    own = [[one for one in probes if one.family == family] for probes in by_video]
    every = _counted(one for probes in own for one in probes)
    within = [_counted(probes) for probes in own]
    pairs = _pairs(every) - sum(map(_pairs, within))
    if pairs and len(by_video) >= FEWEST_VIDEOS:
        return (_agreeing(every) - sum(map(_agreeing, within))) / pairs
    values = [one.values for probes in own for one in probes]
    return sum(1 / count for count in values) / len(values)


_Shown = tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]


def _counted(probes: Iterable[MemoryProbe]) -> _Shown:
    """How often each (domain, value) was read at first, and again."""
    probes = list(probes)
    first = Counter((one.domain, one.first) for one in probes if one.first is not None)
    again = Counter((one.domain, one.again) for one in probes if one.again is not None)
    return first, again


def _pairs(shown: _Shown) -> int:
    totals = [Counter[str](), Counter[str]()]
    for total, counts in zip(totals, shown, strict=True):
        for (domain, _), count in counts.items():
            total[domain] += count
    return sum(totals[0][domain] * totals[1][domain] for domain in totals[0])


def _agreeing(shown: _Shown) -> int:
    return sum(shown[0][key] * shown[1][key] for key in shown[0])
