"""Stage sets: a place with its furniture in a random arrangement, and the spots where plots happen.

Colours, patterns and what stands where are memory probes: a story builds a place once and comes back to the same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from storyreel.toons.catalogue import FLOOR_COLOURS, LANDMARKS, PATTERNS, SIDE_WALL, WALL_COLOURS, can_hide, spec_of
from storyreel.toons.script import Furniture, Place, PlaceKind, Species

MARGIN = 0.12
LEAST_WIDTH = 1.9

_ALWAYS: dict[PlaceKind, tuple[str, ...]] = {
    "kitchen": ("door", "table", "mouse hole"),
    "living room": ("door", "sofa", "mouse hole"),
    "bedroom": ("door", "bed"),
    "bathroom": ("door", "bath"),
    "garden": ("back door", "bush", "apple tree"),
    "street": ("front door", "car"),
    "beach": ("boat", "rock"),
    "forest": ("tent", "rock"),
}
"""Pieces on which plots rely; they stand side by side, so that one view can hold them."""

_SOMETIMES: dict[PlaceKind, tuple[str, ...]] = {
    "kitchen": ("plant",),
    "living room": ("armchair", "lamp", "plant"),
    "bedroom": ("toy chest", "lamp", "mouse hole", "plant"),
    "bathroom": ("laundry basket", "mouse hole", "plant"),
    "garden": ("bench",),
    "street": ("letter box", "tree", "bench"),
    "beach": ("deck chair",),
    "forest": ("stump", "mushroom", "bush"),
}
_ON_THE_WALL: dict[PlaceKind, tuple[str, ...]] = {
    "kitchen": ("window", "clock", "cupboard", "picture"),
    "living room": ("window", "picture", "clock"),
    "bedroom": ("window", "mirror", "picture", "clock"),
    "bathroom": ("mirror", "window"),
}
CRASHES = ("car", "apple tree", "lamp post", "tree", "palm", "pine", "oak", "rock", "tent")
"""What one can run into out of doors; indoors it is the end wall."""
DOORS = ("door", "back door", "front door")


def build_place(kind: PlaceKind, rng: Random) -> Place:
    """A place of a kind with random colours and a random arrangement without overlaps."""
    together = list(_ALWAYS[kind])
    rng.shuffle(together)
    landmarks = [item for item in LANDMARKS[kind] if item not in together]
    more = 2 if kind in ("garden", "street") else 3
    others = rng.sample(landmarks, min(len(landmarks), more)) + rng.sample(_SOMETIMES[kind], 1)
    rng.shuffle(others)
    split = rng.randrange(1, len(others))
    order = others[:split] + together + others[split:]
    gaps = [rng.uniform(0.05, 0.13) for _ in order]
    width = max(LEAST_WIDTH, sum(spec_of(item).width for item in order) + sum(gaps) + 2 * MARGIN)
    spread = (width - 2 * MARGIN - sum(spec_of(item).width for item in order)) / len(order)
    furniture, x = [], MARGIN
    for item in order:
        x += spread / 2
        furniture.append(_piece(item, x + spec_of(item).width / 2, rng))
        x += spec_of(item).width + spread / 2
    furniture += _wall_pieces(kind, width, furniture, rng)
    return Place(
        kind,
        round(width, 3),
        rng.choice(WALL_COLOURS[kind]),
        rng.choice(FLOOR_COLOURS[kind]),
        rng.choice(PATTERNS[kind]),
        tuple(furniture),
    )


def _piece(kind: str, x: float, rng: Random) -> Furniture:
    return Furniture(kind, round(x, 3), rng.choice(spec_of(kind).colours))


def _wall_pieces(kind: PlaceKind, width: float, standing: Sequence[Furniture], rng: Random) -> list[Furniture]:
    """Windows and pictures above low furniture, where nothing tall hides them."""
    found: list[Furniture] = []
    for item in _ON_THE_WALL.get(kind, ()):
        spec = spec_of(item)
        for _ in range(10):
            x = rng.uniform(MARGIN + spec.width / 2, width - MARGIN - spec.width / 2)
            in_the_way = (
                other
                for other in (*standing, *found)
                if spec_of(other.kind).top < spec.bottom
                and abs(other.x - x) < (spec_of(other.kind).width + spec.width) / 2 + 0.03
            )
            if next(in_the_way, None) is None:
                found.append(_piece(item, x, rng))
                break
    return found


@dataclass(frozen=True)
class Spot:
    """A place on the stage that a deed needs: its x, and the y of a surface for props (None: the ground)."""

    x: float
    furniture: str
    y: float | None = None


def _spots(place: Place, kinds: Sequence[str]) -> list[Spot]:
    return [Spot(item.x, item.kind, spec_of(item.kind).surface) for item in place.furniture if item.kind in kinds]


def door_of(place: Place) -> Spot | None:
    """The door by which characters come and go, if the place has one."""
    return next(iter(_spots(place, DOORS)), None)


def hiding_spot(place: Place, species: Species) -> Spot | None:
    """Where a character of a species can hide: a mouse in its hole, others behind something big."""
    spots = [Spot(item.x, item.kind) for item in place.furniture if can_hide(item.kind, species)]
    return min(spots, key=lambda spot: (spot.furniture != "mouse hole", abs(spot.x - place.width / 2)), default=None)


def seat_of(place: Place) -> Spot | None:
    """The first seat, bed or table, for who sits, sleeps or eats."""
    return next(iter(_spots(place, ("table", "sofa", "bed", "bath", "bench", "deck chair", "log"))), None)


def table_of(place: Place) -> Spot | None:
    """A low surface that everybody can reach, for props."""
    return next(iter(_spots(place, ("table", "stump"))), None)


def crash_spot(place: Place, near: float, others: Sequence[float] = ()) -> Spot:
    """What a character that runs on from `near` will hit: an end wall, or something solid where no other stands."""
    if place.indoors:
        left = near < place.width / 2
        return Spot(SIDE_WALL if left else place.width - SIDE_WALL, "wall")
    solid = _spots(place, CRASHES)
    return min(solid, key=lambda spot: (any(abs(spot.x - x) < 0.28 for x in others), abs(spot.x - near)))
