"""What exists in the cartoon and how big it is: the closed lists that the grammar and the renderer share.

All sizes are stage units (1.0 = height of the widest view, y runs down). Names of colours are in palette.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from storyreel.errors import StoryboardError
from storyreel.toons.script import PlaceKind, PropKind, Species

FLOOR_LINE = 0.66
"""Where wall (or sky and backdrop) meets the floor."""
FEET_Y = 0.90
"""Where everyone's feet are, and the y of props that lie on the ground."""
SIDE_WALL = 0.05
"""Thickness of the two end walls of a place indoors: a character that runs into one crashes there."""

HEIGHT: dict[Species, float] = {"cat": 0.46, "mouse": 0.28, "dog": 0.50, "rabbit": 0.52, "duck": 0.40}
"""Height of a standing character, ears included."""
HALF_WIDTH: dict[Species, float] = {"cat": 0.14, "mouse": 0.09, "dog": 0.16, "rabbit": 0.13, "duck": 0.13}
"""Half the width of a standing character's body: keep neighbours at least the sum of theirs apart."""
HEAD_Y: dict[Species, float] = {"cat": 0.57, "mouse": 0.73, "dog": 0.54, "rabbit": 0.61, "duck": 0.61}
"""y of a standing character's head: the y of a close-up camera."""

Row = Literal["wall", "back", "front"]
Hides = Literal["nobody", "small", "everyone"]

_WOOD = ("brown", "honey", "cream", "white", "teal")
_CLOTH = ("red", "blue", "green", "yellow", "purple", "teal", "pink")
_ANY = ("brown", "cream", "red", "blue", "green", "yellow", "purple", "teal", "pink")
_METAL = ("white", "cream", "red", "blue", "teal", "pink")
_LEAVES = ("leaf", "fir", "autumn")


@dataclass(frozen=True)
class FurnitureSpec:
    """Size and use of a kind of furniture.

    `bottom` is the y of its foot (of its lower edge when it hangs on the wall). `surface` is the y of a top on which
    props can stand (use it as `PropBeat.y`). `seat` is the y of a seat: who sits or sleeps within half the width of it
    does so up there. Who sits or eats within half the width of a table does so behind it, who sits, laughs or waves at
    a bath sits in it. `bell` is (dx, y) of a bell.
    """

    width: float
    height: float
    row: Row = "back"
    bottom: float = 0.72
    colours: tuple[str, ...] = _WOOD
    hides: Hides = "nobody"
    surface: float | None = None
    seat: float | None = None
    bell: tuple[float, float] | None = None

    @property
    def top(self) -> float:
        return self.bottom - self.height


_BACK, _FRONT = 0.72, 0.82

SPECS: dict[str, FurnitureSpec] = {
    # on the wall, in any room
    "window": FurnitureSpec(0.40, 0.34, "wall", 0.46, _WOOD),
    "picture": FurnitureSpec(0.22, 0.19, "wall", 0.40, _ANY),
    "clock": FurnitureSpec(0.17, 0.17, "wall", 0.32, _ANY),
    "door": FurnitureSpec(
        0.34, 0.56, "wall", 0.68, ("brown", "honey", "white", "red", "blue", "green", "teal"), bell=(0.23, 0.44)
    ),
    "mouse hole": FurnitureSpec(0.21, 0.23, "wall", 0.69, ("brown",), "small"),
    # standing in several rooms
    "lamp": FurnitureSpec(0.20, 0.54, colours=_CLOTH),
    "plant": FurnitureSpec(0.22, 0.40, colours=("red", "blue", "yellow", "purple", "teal", "pink")),
    # kitchen
    "stove": FurnitureSpec(0.32, 0.38, colours=_METAL, surface=0.345),
    "fridge": FurnitureSpec(0.30, 0.60, colours=_METAL),
    "table": FurnitureSpec(0.56, 0.22, "front", 0.86, _WOOD, surface=0.65),
    "sink": FurnitureSpec(0.44, 0.36, colours=_WOOD, surface=0.37),
    "cupboard": FurnitureSpec(0.40, 0.24, "wall", 0.28, _WOOD),
    # living room
    "sofa": FurnitureSpec(0.66, 0.36, "front", _FRONT, _CLOTH, "everyone", seat=0.70),
    "armchair": FurnitureSpec(0.42, 0.38, "front", _FRONT, _CLOTH, "everyone", seat=0.70),
    "television": FurnitureSpec(0.42, 0.42, colours=_WOOD),
    "bookcase": FurnitureSpec(0.40, 0.58, colours=_WOOD),
    "fireplace": FurnitureSpec(0.50, 0.46, colours=("stone", "red", "cream", "brown"), surface=0.27),
    # bedroom
    "bed": FurnitureSpec(0.80, 0.36, "front", _FRONT, _CLOTH, "everyone", seat=0.67),
    "wardrobe": FurnitureSpec(0.42, 0.62, colours=_WOOD),
    "bedside table": FurnitureSpec(0.22, 0.24, colours=_WOOD, surface=0.49),
    "toy chest": FurnitureSpec(0.34, 0.24, "front", _FRONT, _ANY, "small"),
    # bathroom
    "bath": FurnitureSpec(0.72, 0.32, "front", _FRONT, ("white", "pink", "teal", "blue", "yellow"), "everyone"),
    "toilet": FurnitureSpec(0.26, 0.38, colours=("white", "pink", "teal", "cream")),
    "basin": FurnitureSpec(0.28, 0.34, colours=("white", "pink", "teal", "cream"), surface=0.39),
    "mirror": FurnitureSpec(0.24, 0.26, "wall", 0.34, _ANY),
    "towel rail": FurnitureSpec(0.26, 0.24, "wall", 0.52, _CLOTH),
    "laundry basket": FurnitureSpec(0.28, 0.27, "front", _FRONT, ("honey", "brown", "white", "pink"), "small"),
    # garden
    "flowerbed": FurnitureSpec(
        0.50, 0.24, "front", 0.80, ("red", "yellow", "purple", "pink", "blue", "white"), "small"
    ),
    "shed": FurnitureSpec(0.54, 0.54, colours=("brown", "red", "green", "blue", "honey"), hides="everyone"),
    "bush": FurnitureSpec(0.50, 0.38, "front", _FRONT, _LEAVES, "everyone"),
    "apple tree": FurnitureSpec(0.60, 0.68, colours=_LEAVES),
    "bench": FurnitureSpec(0.52, 0.28, "front", 0.80, _ANY, seat=0.69),
    "wheelbarrow": FurnitureSpec(0.40, 0.24, "front", _FRONT, ("red", "green", "blue", "yellow"), "small"),
    "back door": FurnitureSpec(
        0.62, 0.66, bottom=0.70, colours=("red", "blue", "green", "yellow", "purple", "teal"), bell=(0.23, 0.46)
    ),
    # street
    "house": FurnitureSpec(
        0.74, 0.64, bottom=0.70, colours=("red", "yellow", "blue", "cream", "pink", "teal", "green")
    ),
    "front door": FurnitureSpec(
        0.62, 0.66, bottom=0.70, colours=("red", "blue", "green", "yellow", "purple", "teal"), bell=(0.23, 0.46)
    ),
    "shop": FurnitureSpec(0.70, 0.58, bottom=0.70, colours=_CLOTH),
    "lamp post": FurnitureSpec(0.18, 0.70, bottom=0.78, colours=("green", "blue", "brown", "purple")),
    "letter box": FurnitureSpec(0.18, 0.34, "front", 0.80, ("red", "yellow", "blue", "green"), "small"),
    "car": FurnitureSpec(0.72, 0.34, "front", _FRONT, ("red", "yellow", "blue", "green", "pink", "teal"), "everyone"),
    "tree": FurnitureSpec(0.46, 0.66, bottom=0.76, colours=_LEAVES),
    # beach (the sea is always there)
    "parasol": FurnitureSpec(0.60, 0.58, bottom=0.80, colours=("red", "blue", "green", "yellow", "purple", "pink")),
    "palm": FurnitureSpec(0.56, 0.70, bottom=0.76, colours=("leaf", "fir")),
    "sandcastle": FurnitureSpec(0.36, 0.30, "front", _FRONT, ("honey",), "small"),
    "deck chair": FurnitureSpec(0.40, 0.30, "front", _FRONT, _CLOTH, seat=0.72),
    "boat": FurnitureSpec(0.66, 0.36, "front", _FRONT, ("red", "blue", "green", "yellow", "white"), "everyone"),
    "rock": FurnitureSpec(0.48, 0.36, "front", _FRONT, ("stone", "brown"), "everyone"),
    # forest
    "pine": FurnitureSpec(0.44, 0.72, bottom=0.74, colours=("fir", "leaf", "teal")),
    "oak": FurnitureSpec(0.62, 0.70, bottom=0.76, colours=_LEAVES),
    "mushroom": FurnitureSpec(0.24, 0.24, "front", _FRONT, ("red", "yellow", "purple", "blue"), "small"),
    "log": FurnitureSpec(0.54, 0.22, "front", _FRONT, ("brown",), "small", seat=0.66),
    "stump": FurnitureSpec(0.28, 0.20, "front", _FRONT, ("brown",), surface=0.635),
    "tent": FurnitureSpec(0.58, 0.46, bottom=0.76, colours=_CLOTH, hides="everyone"),
}

_ROOM_KINDS = ("window", "picture", "clock", "door", "mouse hole", "lamp", "plant")

FURNITURE_OF: dict[PlaceKind, tuple[str, ...]] = {
    "kitchen": (
        "stove",
        "fridge",
        "table",
        "sink",
        "cupboard",
        "window",
        "picture",
        "clock",
        "door",
        "mouse hole",
        "plant",
    ),
    "living room": ("sofa", "television", "bookcase", "armchair", "fireplace", *_ROOM_KINDS),
    "bedroom": ("bed", "wardrobe", "bedside table", "toy chest", "mirror", *_ROOM_KINDS),
    "bathroom": (
        "bath",
        "toilet",
        "basin",
        "mirror",
        "towel rail",
        "laundry basket",
        "window",
        "door",
        "mouse hole",
        "plant",
    ),
    "garden": ("flowerbed", "shed", "bush", "apple tree", "bench", "wheelbarrow", "back door"),
    "street": ("house", "front door", "shop", "lamp post", "letter box", "car", "tree", "bench"),
    "beach": ("parasol", "palm", "sandcastle", "deck chair", "boat", "rock"),
    "forest": ("pine", "oak", "mushroom", "log", "stump", "tent", "bush", "rock"),
}
"""Kinds that a place may hold. Besides, every garden has a fence, street a road, beach a sea and forest far trees."""

LANDMARKS: dict[PlaceKind, tuple[str, ...]] = {
    "kitchen": ("stove", "fridge", "table", "sink"),
    "living room": ("sofa", "television", "fireplace", "bookcase", "armchair"),
    "bedroom": ("bed", "wardrobe", "bedside table"),
    "bathroom": ("bath", "toilet", "basin", "towel rail"),
    "garden": ("flowerbed", "shed", "apple tree", "wheelbarrow", "back door"),
    "street": ("house", "front door", "shop", "lamp post", "car"),
    "beach": ("parasol", "palm", "sandcastle", "boat", "deck chair"),
    "forest": ("pine", "tent", "mushroom", "oak", "log"),
}
"""Kinds that make a place unmistakable: keep one in every view."""

WALL_COLOURS: dict[PlaceKind, tuple[str, ...]] = {
    **dict.fromkeys(
        ("kitchen", "living room", "bedroom", "bathroom"), ("rose", "sky", "mint", "lemon", "lilac", "peach", "teal")
    ),
    **dict.fromkeys(("garden", "street", "beach", "forest"), ("sky", "rose", "mint", "lemon", "lilac", "peach")),
}
"""Indoors the wallpaper; outdoors the sky."""

FLOOR_COLOURS: dict[PlaceKind, tuple[str, ...]] = {
    "kitchen": ("grey", "blue", "brick", "honey", "plum"),
    "living room": ("brown", "honey", "grey", "plum", "brick"),
    "bedroom": ("brown", "honey", "blue", "plum", "grey"),
    "bathroom": ("grey", "blue", "plum", "brick", "honey"),
    "garden": ("grass", "moss", "autumn"),
    "street": ("grey", "brick", "honey"),
    "beach": ("sand", "shell", "gold"),
    "forest": ("grass", "moss", "autumn", "snow"),
}

PATTERNS: dict[PlaceKind, tuple[str, ...]] = {
    **dict.fromkeys(
        ("kitchen", "living room", "bedroom", "bathroom"), ("plain", "stripes", "dots", "checks", "diamonds", "hearts")
    ),
    **dict.fromkeys(("garden", "street", "beach", "forest"), ("plain", "hills", "peaks")),
}
"""Indoors the wallpaper's; outdoors what stands on the horizon."""

EDIBLE: tuple[PropKind, ...] = ("pie", "cheese", "cake", "fish", "apple")
MAX_BITES = 4
"""A prop with so many bites is all but gone (crumbs)."""

PROP_SIZE: dict[PropKind, tuple[float, float]] = {
    "pie": (0.22, 0.13), "cheese": (0.18, 0.13), "ball": (0.15, 0.15), "book": (0.20, 0.15), "cake": (0.20, 0.19),
    "fish": (0.22, 0.11), "flower": (0.12, 0.22), "balloon": (0.16, 0.36), "umbrella": (0.32, 0.34),
    "key": (0.17, 0.09), "drum": (0.19, 0.15), "apple": (0.12, 0.14),
}  # fmt: skip
"""Width and height. (x, y) of a prop is the middle of its lower edge: y = FEET_Y on the ground, or a surface."""


def spec_of(kind: str) -> FurnitureSpec:
    """The spec of a kind of furniture; StoryboardError when there is no such kind."""
    if kind not in SPECS:
        raise StoryboardError(f"furniture is {kind!r}, but it must be one of {', '.join(SPECS)}. Pick one of these.")
    return SPECS[kind]


def can_hide(kind: str, species: Species) -> bool:
    """Whether a character of a species can crouch unseen behind (or, for a mouse hole, inside) a kind of furniture."""
    if kind == "mouse hole":
        return species == "mouse"
    hides = spec_of(kind).hides
    return hides == "everyone" or (hides == "small" and species == "mouse")


def place_kinds() -> tuple[PlaceKind, ...]:
    """All eight kinds of place."""
    return get_args(PlaceKind)
