"""The eight places: walls, floors, skies and grounds, and their furniture."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import skia

from storyreel.toons import furniture_bed_bath as bed_bath
from storyreel.toons import furniture_indoors as inside
from storyreel.toons import furniture_nature as nature
from storyreel.toons import furniture_town as town
from storyreel.toons import patterns
from storyreel.toons.catalogue import FLOOR_LINE, SIDE_WALL, spec_of
from storyreel.toons.chance import chance, spread
from storyreel.toons.palette import RGB, colour_of, darker, lighter, mix
from storyreel.toons.pen import Pen
from storyreel.toons.script import Furniture, Place, PlaceKind
from storyreel.toons.shapes import arch, blob, cloud_shape, curve, polygon, shifted, star

Draw = Callable[[Pen, float, float, RGB, bool], None]

DRAW: dict[str, Draw] = {
    "window": inside.window, "picture": inside.picture, "clock": inside.clock, "door": inside.door,
    "mouse hole": inside.mouse_hole,
    "lamp": inside.lamp, "plant": inside.plant, "stove": inside.stove, "fridge": inside.fridge,
    "table": inside.table, "sink": inside.sink,
    "cupboard": inside.cupboard, "sofa": inside.sofa, "armchair": inside.armchair, "television": inside.television,
    "bookcase": inside.bookcase, "fireplace": inside.fireplace, "bed": bed_bath.bed, "wardrobe": bed_bath.wardrobe,
    "bedside table": bed_bath.bedside_table, "toy chest": bed_bath.toy_chest, "bath": bed_bath.bath,
    "toilet": bed_bath.toilet, "basin": bed_bath.basin,
    "mirror": bed_bath.mirror, "towel rail": bed_bath.towel_rail, "laundry basket": bed_bath.laundry_basket,
    "flowerbed": nature.flowerbed,
    "shed": town.shed, "bush": nature.bush, "apple tree": nature.apple_tree, "bench": town.bench,
    "wheelbarrow": town.wheelbarrow,
    "back door": town.back_door, "house": town.house, "front door": town.front_door, "shop": town.shop,
    "lamp post": town.lamp_post, "letter box": town.letter_box, "car": town.car, "tree": nature.tree,
    "parasol": nature.parasol,
    "palm": nature.palm, "sandcastle": nature.sandcastle, "deck chair": nature.deck_chair, "boat": nature.boat,
    "rock": nature.rock,
    "pine": nature.pine, "oak": nature.oak, "mushroom": nature.mushroom, "log": nature.log,
    "stump": nature.stump, "tent": nature.tent,
}  # fmt: skip

_NO_SHADOW = ("mouse hole", "window", "picture", "clock", "door", "cupboard", "mirror", "towel rail")


def draw_furniture(pen: Pen, piece: Furniture, lit: bool, shadow: bool = True) -> None:
    """A piece of furniture where it stands, on a canvas in stage units."""
    spec = spec_of(piece.kind)
    pen.canvas.save()
    pen.canvas.translate(piece.x, spec.bottom)
    if shadow and piece.kind not in _NO_SHADOW:
        pen.shadow(0, 0.004, spec.width * 0.54, 0.024, 80)
    DRAW[piece.kind](pen, spec.width, spec.height, colour_of("furniture", piece.colour), lit)
    if spec.bell is not None:
        pen.canvas.translate(spec.bell[0], spec.bell[1] - spec.bottom)
        town.door_bell(pen)
    pen.canvas.restore()


def hole_path(piece: Furniture) -> skia.Path:
    """The dark opening of a mouse hole, in stage units: a mouse inside shows in it alone."""
    spec = spec_of(piece.kind)
    return shifted(arch(spec.width * 0.82, spec.height * 0.9), piece.x, spec.bottom)


def in_order(place: Place) -> list[Furniture]:
    """Furniture from the wall to the front, the order in which it is drawn."""
    return sorted(
        place.furniture, key=lambda piece: (spec_of(piece.kind).row != "wall", spec_of(piece.kind).bottom, piece.x)
    )


def paint_far(pen: Pen, place: Place, key: str, lit: bool) -> None:
    """Sky and horizon of a place out of doors; `key` decides what is left to chance."""
    sky = colour_of("wall", place.wall_colour)
    width = place.width
    tint, pen.tint = pen.tint, None
    if lit:
        pen.gradient(0, 0, width, FLOOR_LINE, mix((22, 26, 84), sky, 0.10), mix((84, 84, 160), sky, 0.22))
        _night_sky(pen, width, key)
    else:
        pen.gradient(0, 0, width, FLOOR_LINE, mix(sky, (70, 160, 240), 0.12), lighter(sky, 0.35))
        _sun(pen, spread(0.22, 0.78, key, "sun") * width, 0.15)
    pen.tint = tint
    base = 0.46 if place.kind == "beach" else 0.56
    tone = mix(sky, {"forest": (60, 130, 110), "beach": (96, 150, 190)}.get(place.kind, (96, 156, 120)), 0.62)
    seed = chance(key, "horizon")
    if place.pattern == "hills":
        patterns.hills(pen, width, base, tone, 0.26, seed)
    elif place.pattern == "peaks":
        patterns.peaks(pen, width, base, mix(tone, (120, 120, 170), 0.55), 0.36, seed)
    if place.kind == "beach":
        pen.gradient(0, 0.42, width, 0.72, (40, 132, 214), (96, 220, 228))
        pen.line([(0, 0.42), (width, 0.42)], (30, 100, 180), 0.008)
    if place.kind == "street":
        _skyline(pen, width, key, mix(sky, (92, 104, 160), 0.5), lit)


def _sun(pen: Pen, x: float, y: float) -> None:
    pen.glow(x, y, 0.34, (255, 236, 150), 120)
    for ray in range(12):
        angle = math.tau * ray / 12
        dx, dy = math.cos(angle), math.sin(angle)
        pen.line([(x + 0.095 * dx, y + 0.095 * dy), (x + 0.125 * dx, y + 0.125 * dy)], (255, 214, 70), 0.016)
    pen.oval(x, y, 0.075, 0.075, (255, 222, 80))


def _night_sky(pen: Pen, width: float, key: str) -> None:
    for index in range(math.ceil(width * 16)):
        r = spread(0.003, 0.008, key, "star size", index)
        pen.oval(chance(key, "star x", index) * width, 0.46 * chance(key, "star y", index), r, r, (255, 250, 214), 0)
    x = spread(0.22, 0.78, key, "sun") * width
    pen.glow(x, 0.16, 0.36, (170, 180, 255), 110)
    pen.oval(x, 0.16, 0.078, 0.078, (255, 246, 204), 0)
    for dx, dy, r in ((-0.025, -0.02, 0.016), (0.028, 0.022, 0.02), (0.02, -0.034, 0.011)):
        pen.oval(x + dx, 0.16 + dy, r, r, (236, 222, 170), 0)


def _skyline(pen: Pen, width: float, key: str, rgb: RGB, lit: bool) -> None:
    x = -0.05
    index = 0
    while x < width:
        wide, tall = spread(0.13, 0.24, key, "tower", index), spread(0.14, 0.34, key, "tall", index)
        pen.box(x, 0.62 - tall, x + wide, 0.7, rgb if index % 2 else lighter(rgb, 0.15), 0, 0.8)
        for row in range(int(tall / 0.07)):
            for column in range(int(wide / 0.055)):
                bright = lit and chance(key, index, row, column) < 0.6
                tint, pen.tint = pen.tint, None if bright else pen.tint
                tone = (255, 222, 130) if bright else lighter(rgb, 0.4)
                pen.box(
                    x + 0.022 + column * 0.052,
                    0.645 - tall + row * 0.07,
                    x + 0.048 + column * 0.052,
                    0.68 - tall + row * 0.07,
                    tone,
                    0,
                    0,
                )
                pen.tint = tint
        x += wide
        index += 1


def paint_near(pen: Pen, place: Place, key: str, lit: bool) -> None:
    """Everything but the sky: the whole room, or the ground out of doors with all that stands on it."""
    _GROUND[place.kind](pen, place, key)
    for piece in in_order(place):
        draw_furniture(pen, piece, lit)
    if place.indoors:
        _end_walls(pen, place)
        if lit:
            pen.gradient(0, 0, place.width, 0.5, (10, 10, 50), (10, 10, 50), (70, 0))


def _end_walls(pen: Pen, place: Place) -> None:
    """The two ends of a room, cut open as on a theatre stage."""
    wall = colour_of("wall", place.wall_colour)
    for side, x in ((1, 0.0), (-1, place.width)):
        x0, x1 = min(x, x + side * SIDE_WALL), max(x, x + side * SIDE_WALL)
        pen.box(x0, -0.1, x1, 1.1, darker(wall, 0.42), 0)
        pen.box(
            min(x, x + side * SIDE_WALL * 0.6), -0.1, max(x, x + side * SIDE_WALL * 0.6), 1.1, darker(wall, 0.58), 0, 0
        )


def _room_base(pen: Pen, place: Place, panel_top: float) -> tuple[RGB, RGB, float]:
    wall, floor = colour_of("wall", place.wall_colour), colour_of("floor", place.floor_colour)
    pen.box(-0.1, -0.1, place.width + 0.1, 1.1, wall, 0, 0)
    patterns.wallpaper(pen, place.pattern, wall, place.width, panel_top)
    pen.gradient(0, 0, place.width, 0.22, darker(wall, 0.5), darker(wall, 0.5), (64, 0))
    pen.box(-0.1, -0.05, place.width + 0.1, 0.028, lighter(wall, 0.7), 0)
    return wall, floor, place.width


def _skirting(pen: Pen, width: float, rgb: RGB) -> None:
    pen.box(-0.1, FLOOR_LINE - 0.035, width + 0.1, FLOOR_LINE, rgb, 0)
    pen.gradient(0, FLOOR_LINE, width, FLOOR_LINE + 0.07, (40, 20, 50), (40, 20, 50), (80, 0))


def _kitchen(pen: Pen, place: Place, key: str) -> None:
    wall, floor, width = _room_base(pen, place, 0.46)
    patterns.tiles(pen, width, 0.46, FLOOR_LINE, (250, 250, 246), 0.10, mix((200, 206, 216), wall, 0.3))
    pen.box(-0.1, 0.445, width + 0.1, 0.47, darker(wall, 0.22), 0, 0.8)
    patterns.floor_checks(pen, width, FLOOR_LINE, floor, lighter(floor, 0.62))
    _skirting(pen, width, (246, 240, 230))


def _living_room(pen: Pen, place: Place, key: str) -> None:
    wall, floor, width = _room_base(pen, place, 0.50)
    wood: RGB = (176, 118, 76)
    pen.box(0, 0.50, width, FLOOR_LINE, wood, 0, 0)
    for index in range(math.ceil(width / 0.26)):
        pen.box(index * 0.26 + 0.03, 0.535, index * 0.26 + 0.23, 0.615, lighter(wood, 0.14), 0.008, 0.8)
    pen.box(-0.1, 0.49, width + 0.1, 0.515, lighter(wood, 0.2), 0, 0.8)
    patterns.floor_boards(pen, width, FLOOR_LINE, floor)
    _skirting(pen, width, darker(wood, 0.2))
    pen.oval(width / 2, 0.865, min(0.9, width * 0.34), 0.075, mix(wall, (190, 60, 70), 0.55), 0.8)
    pen.oval(width / 2, 0.865, min(0.9, width * 0.34) * 0.9, 0.056, lighter(mix(wall, (190, 60, 70), 0.3), 0.3), 0.6)


def _bedroom(pen: Pen, place: Place, key: str) -> None:
    wall, floor, width = _room_base(pen, place, 0.54)
    pen.box(0, 0.54, width, FLOOR_LINE, lighter(wall, 0.5), 0, 0)
    for index in range(math.ceil(width / 0.08)):
        pen.oval(index * 0.08 + 0.04, 0.545, 0.04, 0.022, darker(wall, 0.16), 0)
    pen.box(-0.1, 0.522, width + 0.1, 0.545, darker(wall, 0.16), 0, 0)
    pen.box(0, FLOOR_LINE, width, 1, floor, 0, 0)
    for index in range(math.ceil(width * 22)):
        x, y = chance(key, "tuft", index) * width, spread(FLOOR_LINE + 0.05, 0.99, key, "tuft y", index)
        pen.stroke(curve((x - 0.014, y), (x, y - 0.012), (x + 0.014, y)), darker(floor, 0.16), 0.006)
    _skirting(pen, width, lighter(wall, 0.75))


def _bathroom(pen: Pen, place: Place, key: str) -> None:
    wall, floor, width = _room_base(pen, place, 0.40)
    tile = mix((236, 248, 252), wall, 0.16)
    patterns.tiles(pen, width, 0.36, FLOOR_LINE, tile, 0.085, mix((170, 200, 216), wall, 0.3))
    patterns.tiles(pen, width, 0.335, 0.375, mix((64, 150, 210), wall, 0.25), 0.085, (236, 248, 252))
    pen.box(0, FLOOR_LINE, width, 1, lighter(floor, 0.25), 0, 0)
    for index in range(-3, math.ceil(width / 0.11) + 4):
        pen.line(
            [(patterns.slant(index * 0.11, width, 0.74), FLOOR_LINE), (index * 0.11, 1)], darker(floor, 0.12), 0.007
        )
    for y in (0.70, 0.75, 0.81, 0.88, 0.96):
        pen.line([(0, y), (width, y)], darker(floor, 0.12), 0.007)
    _skirting(pen, width, (246, 250, 252))


def _lawn(pen: Pen, place: Place, key: str, top: float) -> RGB:
    rgb = colour_of("floor", place.floor_colour)
    pen.box(-0.1, top, place.width + 0.1, 1.1, rgb, 0)
    for index, (y0, y1) in enumerate(((0.72, 0.79), (0.87, 0.97))):
        pen.box(0, y0, place.width, y1, lighter(rgb, 0.13 - 0.02 * index), 0, 0)
    for index in range(math.ceil(place.width * 9)):
        x, y = chance(key, "grass", index) * place.width, spread(top + 0.05, 0.99, key, "grass y", index)
        pen.line(
            [(x - 0.018, y - 0.02), (x - 0.006, y), (x + 0.002, y - 0.028), (x + 0.008, y), (x + 0.022, y - 0.018)],
            darker(rgb, 0.3),
            0.007,
        )
    return rgb


def _garden(pen: Pen, place: Place, key: str) -> None:
    rgb = colour_of("floor", place.floor_colour)
    for index in range(-1, math.ceil(place.width / 0.3) + 1):
        hedge = cloud_shape(0.4, 0.26, ((-0.2, 0.5, 0.4), (0.2, 0.5, 0.42), (0, 0.8, 0.44)))
        pen.inked(shifted(hedge, index * 0.3 + 0.1, 0.62), darker(rgb, 0.22))
    white: RGB = (252, 250, 244)
    for y in (0.49, 0.59):
        pen.box(-0.1, y, place.width + 0.1, y + 0.03, white, 0)
    for index in range(math.ceil(place.width / 0.085) + 1):
        x = index * 0.085
        pen.polygon([(x, 0.46), (x + 0.028, 0.425), (x + 0.056, 0.46), (x + 0.056, 0.66), (x, 0.66)], white)
    _lawn(pen, place, key, 0.645)
    for index in range(math.ceil(place.width * 5)):
        x, y = chance(key, "bloom", index) * place.width, spread(0.72, 0.98, key, "bloom y", index)
        tone = ((255, 255, 255), (255, 220, 90), (255, 150, 180))[index % 3]
        for dx, dy in ((-0.009, 0), (0.009, 0), (0, -0.009), (0, 0.009)):
            pen.oval(x + dx, y + dy, 0.008, 0.008, tone, 0)
        pen.oval(x, y, 0.006, 0.006, (255, 170, 40), 0)


def _street(pen: Pen, place: Place, key: str) -> None:
    rgb = colour_of("floor", place.floor_colour)
    width = place.width
    hedge: RGB = (84, 158, 96)
    pen.box(-0.1, 0.60, width + 0.1, 0.7, hedge, 0)
    for index in range(math.ceil(width / 0.1)):
        pen.oval(index * 0.1 + 0.05, 0.605, 0.056, 0.03, hedge, 0.8)
    pen.box(-0.1, 0.615, width + 0.1, 0.7, hedge, 0, 0)
    pen.box(-0.1, FLOOR_LINE, width + 0.1, 0.85, lighter(rgb, 0.2), 0)
    for index in range(-2, math.ceil(width / 0.2) + 3):
        pen.line(
            [(patterns.slant(index * 0.2, width, 0.92), FLOOR_LINE), (index * 0.2, 0.82)], darker(rgb, 0.16), 0.007
        )
    pen.line([(0, 0.735), (width, 0.735)], darker(rgb, 0.16), 0.007)
    pen.box(-0.1, 0.82, width + 0.1, 0.855, lighter(rgb, 0.55), 0)
    pen.box(-0.1, 0.85, width + 0.1, 1.1, (98, 98, 116), 0)
    for index in range(math.ceil(width / 0.34) + 1):
        pen.box(index * 0.34 + 0.05, 0.945, index * 0.34 + 0.24, 0.968, (250, 240, 210), 0, 0)


def _beach(pen: Pen, place: Place, key: str) -> None:
    rgb = colour_of("floor", place.floor_colour)
    width = place.width
    shore = skia.Path()
    shore.moveTo(-0.1, 1.1)
    shore.lineTo(-0.1, 0.64)
    for index in range(math.ceil(width / 0.3) + 1):
        shore.quadTo(index * 0.3 + 0.05, 0.62 if index % 2 else 0.665, index * 0.3 + 0.2, 0.64)
    shore.lineTo(width + 0.1, 1.1)
    shore.close()
    pen.stroke(shore, (255, 255, 255), 0.05)
    pen.fill(shore, rgb)
    pen.stroke(shore, darker(rgb, 0.16), 0.008)
    for index in range(math.ceil(width * 16)):
        x, y = chance(key, "grain", index) * width, spread(0.69, 0.99, key, "grain y", index)
        pen.oval(x, y, 0.007, 0.004, darker(rgb, 0.22), 0)
    for index in range(math.ceil(width * 1.6)):
        x, y = chance(key, "shell", index) * width, spread(0.74, 0.98, key, "shell y", index)
        if index % 2:
            pen.inked(star(x, y, 0.03, chance(key, index)), (255, 140, 100), 0.8)
        else:
            pen.inked(
                blob([(x - 0.026, y - 0.026), (x + 0.026, y - 0.026), (x + 0.012, y + 0.02), (x - 0.012, y + 0.02)]),
                (255, 224, 220),
                0.8,
            )


def _forest(pen: Pen, place: Place, key: str) -> None:
    rgb = colour_of("floor", place.floor_colour)
    deep: RGB = (52, 116, 92) if place.floor_colour != "autumn" else (176, 104, 60)
    pen.box(0, 0.55, place.width, 0.7, lighter(deep, 0.2), 0, 0)
    for row, (low, tall, shade) in enumerate(((0.60, 0.44, 0.30), (0.655, 0.5, 0.12))):
        step = 0.26
        for index in range(-1, math.ceil(place.width / step) + 1):
            x = index * step + 0.13 * row + 0.06 * math.sin(index * 2.7 + row)
            high = tall * (0.8 + 0.3 * chance(key, "far tree", row, index))
            pen.canvas.save()
            pen.canvas.translate(x, low)
            tone = lighter(deep, shade)
            pen.box(-0.016, -high * 0.3, 0.016, 0.01, darker(mix(nature.BARK, deep, 0.4), 0.1), 0, 0)
            for share, half in ((0.2, 0.12), (0.46, 0.095), (0.7, 0.065)):
                pen.polygon([(-half, -high * share), (0, -high * (share + 0.34)), (half, -high * share)], tone, 0)
            pen.canvas.restore()
    ground = skia.Path()
    ground.moveTo(-0.1, 1.1)
    ground.lineTo(-0.1, 0.655)
    for index in range(math.ceil(place.width / 0.4) + 1):
        ground.quadTo(index * 0.4 + 0.1, 0.63 if index % 2 else 0.67, index * 0.4 + 0.3, 0.65)
    ground.lineTo(place.width + 0.1, 1.1)
    ground.close()
    pen.inked(ground, rgb)
    path = polygon([(-0.1, 0.86), (place.width + 0.1, 0.84), (place.width + 0.1, 0.95), (-0.1, 0.97)])
    pen.fill(path, lighter(mix(rgb, (214, 178, 120), 0.6), 0.1))
    for index in range(math.ceil(place.width * 8)):
        x, y = chance(key, "fern", index) * place.width, spread(0.69, 0.99, key, "fern y", index)
        tone = darker(rgb, 0.28)
        for dx in (-0.026, 0.0, 0.026):
            pen.stroke(curve((x, y), (x + dx * 0.3, y - 0.03), (x + dx, y - 0.034)), tone, 0.008)


_GROUND: dict[PlaceKind, Callable[[Pen, Place, str], None]] = {
    "kitchen": _kitchen, "living room": _living_room, "bedroom": _bedroom, "bathroom": _bathroom,
    "garden": _garden, "street": _street, "beach": _beach, "forest": _forest,
}  # fmt: skip


@functools.lru_cache(maxsize=4)
def cloud(kind: int) -> skia.Path:
    """The outline of a cloud around the origin, 0.3 wide."""
    puffs = (
        ((-0.3, 0.3, 0.3), (-0.08, 0.55, 0.42), (0.2, 0.45, 0.36), (0.36, 0.26, 0.26)),
        ((-0.34, 0.26, 0.26), (-0.14, 0.42, 0.36), (0.12, 0.56, 0.4), (0.34, 0.3, 0.3)),
    )[kind]
    return cloud_shape(0.30, 0.15, puffs)
