"""The seed story: a cat eats a pie, a mouse rings the bell and steals it, a chase ends at the wall. 21 segments."""

from __future__ import annotations

from random import Random

from storyreel.toons.deeds import parse_shot
from storyreel.toons.grammar import Scene, play, tell_story
from storyreel.toons.names import CAST
from storyreel.toons.script import Character, Furniture, Place, PlaceKind, PropKind, Story
from storyreel.toons.world import World

_PIE: PropKind = "pie"
_SEED = 2
"""Of the choices that are left open: where the camera is, and the words."""
NINE_SECONDS = (13, 14, 16)
"""Segments that make a story of their own: the theft, the discovery, the chase."""
_SETS: dict[PlaceKind, Place] = {
    "kitchen": Place("kitchen", 2.5, "lemon", "brick", "checks", (
        Furniture("fridge", 0.32, "teal"), Furniture("stove", 0.68, "white"), Furniture("table", 1.22, "honey"),
        Furniture("mouse hole", 1.66, "brown"), Furniture("door", 1.98, "blue"), Furniture("clock", 1.6, "red"),
        Furniture("window", 1.18, "white"),
    )),
    "street": Place("street", 2.6, "sky", "grey", "hills", (
        Furniture("lamp post", 0.26, "green"), Furniture("house", 0.78, "yellow"), Furniture("front door", 1.54, "red"),
        Furniture("letter box", 2.04, "blue"), Furniture("tree", 2.34, "leaf"),
    )),
    "garden": Place("garden", 2.4, "sky", "grass", "hills", (
        Furniture("apple tree", 0.44, "leaf"), Furniture("back door", 1.12, "green"), Furniture("flowerbed", 1.74,
            "pink"),
        Furniture("wheelbarrow", 2.16, "red"),
    )),
    "living room": Place("living room", 3.1, "mint", "honey", "stripes", (
        Furniture("mouse hole", 0.60, "brown"), Furniture("bookcase", 0.94, "honey"), Furniture("sofa", 1.51, "purple"),
        Furniture("fireplace", 2.13, "stone"), Furniture("television", 2.63, "brown"), Furniture("picture", 1.5, "red"),
    )),
}  # fmt: skip

_SCENES: tuple[tuple[PlaceKind, tuple[str, ...]], ...] = (
    ("kitchen", ("c sit:happy / c eat P", "c eat P", "m peek & c eat P", "m look P:happy & c sit / m runout & c sit")),
    ("street", ("m runin / m look:happy", "m ring")),
    ("kitchen", ("c sit / c jump:surprised", "c doorout")),
    ("street", ("c doorin / c look:surprised", "c stand:angry / c roam:angry")),
    ("garden", ("m runin / m jump", "m doorout")),
    ("kitchen", ("m doorin / m look P:happy", "m get P / m dance", "m jump:scared & c runin:angry",
        "m runout & c runout:angry")),
    ("living room", (
        "m flee & c chase m", "m stand:scared & c stand:angry / m laugh & c jump:angry", "m flee & c chase m",
        "m jump:scared & c stand:angry / m hide & c crash", "m peek & c cry",
    )),
)  # fmt: skip


def apple_pie() -> Story:
    """The story of examples/apple_pie.json, ready to be drawn. Always the same."""
    rng = Random(f"storyreel apple pie {_SEED}")
    cast = {
        role.name: Character(role.name, role.species, role.colour, "red" if role.species == "cat" else "none")
        for role in CAST
    }
    world = World(cast, rng, places=dict(_SETS))
    roles, things = {"c": "Biscuit", "m": "Pip"}, {"P": _PIE}
    scenes = []
    for number, (kind, shots) in enumerate(_SCENES):
        phases = tuple(parse_shot(shot, roles, things) for shot in shots)
        scenes.append(Scene(kind, "day", phases, (False,) * len(shots), (_PIE,) if number == 0 else ()))
    world, shown = play(world, scenes)
    return tell_story(_SEED, "the apple pie", world, shown, ("apple pie",))
