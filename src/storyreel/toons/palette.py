"""Every colour of the cartoon by name, and what night does to it.

The same name can mean another shade on fur than on a wall. The keys are closed lists: a story with another name is
refused by the renderer. Colours of one list are far apart, because several of them are memory probes.
"""

from __future__ import annotations

from storyreel.errors import StoryboardError

RGB = tuple[int, int, int]

FUR: dict[str, RGB] = {
    "orange": (247, 148, 40),
    "grey": (150, 160, 178),
    "brown": (166, 104, 58),
    "white": (250, 246, 238),
    "black": (74, 72, 92),
    "yellow": (255, 214, 60),
    "blue": (92, 158, 232),
    "pink": (250, 152, 184),
    "green": (112, 190, 96),
    "purple": (158, 112, 208),
}

SPECIES_COLOURS: dict[str, tuple[str, ...]] = {
    "cat": ("orange", "grey", "black", "white", "blue"),
    "mouse": ("grey", "brown", "white", "pink", "blue"),
    "dog": ("brown", "white", "black", "orange", "purple"),
    "rabbit": ("white", "pink", "grey", "brown", "purple"),
    "duck": ("yellow", "white", "green", "blue", "pink"),
}

COLLAR: dict[str, RGB | None] = {
    "none": None,
    "red": (232, 36, 52),
    "blue": (28, 76, 220),
    "green": (22, 156, 70),
    "yellow": (255, 226, 20),
    "purple": (142, 40, 178),
    "white": (255, 255, 255),
    "cyan": (30, 214, 224),
}

PROP: dict[str, RGB] = {
    "red": (230, 57, 64),
    "blue": (58, 120, 226),
    "green": (70, 176, 86),
    "yellow": (252, 208, 52),
    "purple": (150, 84, 200),
    "pink": (246, 130, 176),
    "orange": (246, 142, 48),
    "white": (248, 246, 240),
}

FURNITURE: dict[str, RGB] = {
    "brown": (168, 108, 66),
    "honey": (222, 166, 92),
    "cream": (244, 226, 190),
    "white": (246, 246, 244),
    "red": (214, 74, 70),
    "blue": (84, 136, 204),
    "green": (92, 166, 98),
    "leaf": (86, 178, 84),
    "fir": (44, 128, 92),
    "autumn": (232, 138, 56),
    "yellow": (246, 204, 84),
    "purple": (150, 112, 190),
    "teal": (64, 158, 160),
    "pink": (238, 150, 172),
    "stone": (162, 164, 176),
}

WALL: dict[str, RGB] = {
    "rose": (246, 172, 178),
    "sky": (158, 212, 244),
    "mint": (166, 222, 180),
    "lemon": (250, 226, 138),
    "lilac": (204, 180, 236),
    "peach": (252, 194, 142),
    "teal": (112, 190, 190),
    "cream": (250, 240, 216),
}

FLOOR: dict[str, RGB] = {
    "brown": (190, 128, 78),
    "honey": (228, 180, 110),
    "grey": (174, 178, 190),
    "blue": (120, 156, 206),
    "plum": (166, 110, 150),
    "brick": (204, 102, 78),
    "grass": (128, 204, 88),
    "moss": (92, 166, 96),
    "autumn": (226, 160, 74),
    "snow": (234, 242, 250),
    "sand": (250, 222, 150),
    "shell": (250, 208, 190),
    "gold": (240, 190, 92),
}

INK: RGB = (44, 30, 48)
NIGHT_TINT = (0.46, 0.51, 0.82)
NIGHT_ROOM_TINT = (0.64, 0.62, 0.88)
NIGHT_FUR_TINT = (0.78, 0.80, 0.97)

_TABLES = {"character": FUR, "collar": COLLAR, "prop": PROP, "furniture": FURNITURE, "wall": WALL, "floor": FLOOR}


def colour_of(use: str, name: str) -> RGB:
    """RGB of a named colour for a use ("character", "collar", "prop", "furniture", "wall" or "floor").

    StoryboardError for a name that the use does not have; "none" has no RGB either.
    """
    table = _TABLES[use]
    rgb = table.get(name)
    if rgb is None:
        raise StoryboardError(f"{use} colour is {name!r}, but it must be one of {', '.join(table)}. Pick one of these.")
    return rgb


def mix(one: RGB, other: RGB, share: float) -> RGB:
    """`one` with `share` of `other` in it, channel by channel."""
    return (
        round(one[0] + (other[0] - one[0]) * share),
        round(one[1] + (other[1] - one[1]) * share),
        round(one[2] + (other[2] - one[2]) * share),
    )


def lighter(rgb: RGB, share: float = 0.35) -> RGB:
    """Towards white."""
    return mix(rgb, (255, 255, 255), share)


def darker(rgb: RGB, share: float = 0.3) -> RGB:
    """Towards a warm dark violet: shadows that stay colourful."""
    return mix(rgb, (52, 24, 64), share)


def tinted(rgb: RGB, tint: tuple[float, float, float]) -> RGB:
    """Every channel times its tint, and where it is dark a little blue: what is black by day still shows."""
    return (round(rgb[0] * tint[0]), round(rgb[1] * tint[1]), min(255, round(rgb[2] * tint[2] + 26 * (1 - tint[0]))))
