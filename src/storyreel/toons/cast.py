"""The characters: how each species is built, and how a body is drawn in a pose.

A figure stands at (0, 0), y runs down, and faces right; who faces left is mirrored by its matrix. Lengths are stage
units.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import skia

from storyreel.toons.builds import BUILD, Build
from storyreel.toons.catalogue import HEIGHT
from storyreel.toons.faces import draw_head
from storyreel.toons.palette import RGB, colour_of, darker, lighter, mix
from storyreel.toons.pen import Pen
from storyreel.toons.script import Character, Species
from storyreel.toons.shapes import Point, blob, crescent, mirrored
from storyreel.toons.stance import SIDE, Pose

SKIN: RGB = (255, 190, 170)
BEAK: RGB = (255, 150, 30)


@dataclass(frozen=True)
class Look:
    """The colours of one character."""

    species: Species
    fur: RGB
    light: RGB
    dark: RGB
    shade: RGB
    paw: RGB
    collar: RGB | None

    @classmethod
    def of(cls, character: Character) -> Look:
        """StoryboardError for a colour that is not in the palette."""
        fur = colour_of("character", character.colour)
        collar = None if character.collar == "none" else colour_of("collar", character.collar)
        light = lighter(fur, 0.62 if character.colour != "white" else 0.5)
        dark = darker(fur, 0.34)
        paw = {"cat": light, "dog": light, "rabbit": fur, "mouse": SKIN, "duck": BEAK}[character.species]
        shade = mix(fur, (150, 70, 110), 0.20) if character.colour != "white" else (226, 222, 236)
        return cls(character.species, fur, light, dark, shade, paw, collar)


@dataclass(frozen=True)
class Figure:
    """A character in a pose on the stage: (x, y) is where its feet are, or would be on the ground below it."""

    look: Look
    pose: Pose
    x: float
    y: float

    @property
    def build(self) -> Build:
        return BUILD[self.look.species]

    @property
    def height(self) -> float:
        return HEIGHT[self.look.species]

    @property
    def mirror(self) -> float:
        return -1.0 if self.pose.turn < 0 else 1.0

    @functools.cached_property
    def matrix(self) -> skia.Matrix:
        """From figure units (feet at the origin, facing right) to the stage."""
        pose, build = self.pose, self.build
        matrix = skia.Matrix.Translate(self.x, self.y - pose.lift * self.height)
        matrix.preScale(self.mirror, 1)
        matrix.preRotate(pose.lean)
        if pose.roll:
            lying = min(1.0, abs(pose.roll) / 90)
            matrix.preTranslate(0, -build.body[0] * lying)
            matrix.preRotate(pose.roll)
            matrix.preTranslate(0, build.body_y * lying)
        wide = 1 / math.sqrt(max(0.2, pose.stretch)) if pose.stretch > 1 else 2 - pose.stretch
        matrix.preScale(wide, pose.stretch)
        return matrix

    @property
    def sink(self) -> float:
        """How far the hips are lowered."""
        return self.pose.drop * self.build.leg * 0.9

    @property
    def head(self) -> Point:
        """Middle of the head in figure units."""
        pose, build = self.pose, self.build
        return (pose.head_x * self.height, -build.head_y + self.sink + pose.head_y * self.height)

    @property
    def neck(self) -> Point:
        """Middle of the collar in figure units."""
        build = self.build
        share = 0.35
        return (
            self.head[0] * share,
            -(build.head_y - build.head[1] * 0.94) + self.sink * 1.0 + self.pose.head_y * self.height * share,
        )

    @property
    def bib(self) -> Point:
        """Middle of the collar's corner on the chest, where its colour is widest, in figure units."""
        x, y = self.neck
        return (x + self.build.collar[0] * 0.3 * abs(self.pose.turn), y + self.build.collar[1] * 0.34)

    def shoulder(self, near: bool) -> Point:
        turn = abs(self.pose.turn)
        side = -1 if near else 1
        x = side * self.build.body[0] * (0.78 - 0.25 * turn)
        return (x + self.neck[0] * 0.5, self.neck[1] + self.build.body[1] * 0.34)

    def hand(self, near: bool) -> Point:
        """Where a hand is, in figure units."""
        pose = self.pose
        x, y, on_face = (
            (pose.near_x, pose.near_y, pose.near_on_face) if near else (pose.far_x, pose.far_y, pose.far_on_face)
        )
        sx, sy = self.shoulder(near)
        outward = (1 - abs(pose.turn)) * (-1 if near else 1)
        arm = self.build.arm
        free = (
            sx + arm * (x * (abs(pose.turn) if on_face == 0 else 1) + abs(x) * outward * 0.6 + 0.22 * outward),
            sy + arm * y,
        )
        if on_face <= 0:
            return free
        hx, hy = self.head
        face = (hx + self.build.head[0] * (x + 0.38 * abs(pose.turn)), hy + self.build.head[1] * y)
        return (free[0] + (face[0] - free[0]) * on_face, free[1] + (face[1] - free[1]) * on_face)

    def on_stage(self, point: Point) -> Point:
        """Stage position of a point in figure units."""
        mapped = self.matrix.mapXY(*point)
        return (mapped.x(), mapped.y())

    def from_stage(self, point: Point) -> Point:
        """Figure units of a stage position."""
        inverse = skia.Matrix()
        self.matrix.invert(inverse)
        mapped = inverse.mapXY(*point)
        return (mapped.x(), mapped.y())


def draw_figure(pen: Pen, figure: Figure, arms: str = "all") -> None:
    """The whole character; `arms` "behind": all but the front arms; "front": only these (a held thing lies between)."""
    pen.canvas.save()
    pen.canvas.concat(figure.matrix)
    outline, pen.outline = pen.outline, pen.outline * (0.8 if figure.look.species == "mouse" else 1.0)
    _draw_parts(pen, figure, arms)
    pen.outline = outline
    pen.canvas.restore()


def _draw_parts(pen: Pen, figure: Figure, arms: str) -> None:
    pose = figure.pose
    overhead = pose.near_on_face > 0.5 and pose.near_y < -0.9
    far_in_front = not overhead and (pose.far_on_face > 0.3 or pose.far_in_front > 0.5 or abs(pose.turn) < 0.3)
    if arms != "front":
        _tail(pen, figure)
        if not far_in_front:
            _arm(pen, figure, near=False)
        _leg(pen, figure, near=False)
        _leg(pen, figure, near=True)
        _body(pen, figure)
        _collar(pen, figure)
        if overhead:
            _arm(pen, figure, near=True)
        draw_head(pen, figure.look, figure.pose, figure.build, figure.head)
    if arms != "behind" and not overhead:
        if far_in_front:
            _arm(pen, figure, near=False)
        _arm(pen, figure, near=True)


def _hose(pen: Pen, start: Point, end: Point, length: float, side: float, colour: RGB, width: float) -> None:
    """A limb from `start` to `end` that bows out to one side when it is longer than the way."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    distance = math.hypot(dx, dy) or 1e-6
    bow = side * math.sqrt(max(0.0, length * length - distance * distance)) * 0.6
    path = skia.Path()
    path.moveTo(*start)
    path.quadTo((start[0] + end[0]) / 2 - dy / distance * bow, (start[1] + end[1]) / 2 + dx / distance * bow, *end)
    pen.hose(path, colour, width)


def _arm(pen: Pen, figure: Figure, near: bool) -> None:
    build, look = figure.build, figure.look
    start, end = figure.shoulder(near), figure.hand(near)
    side = 1.0 if near or abs(figure.pose.turn) > 0.3 else -1.0
    colour = look.fur if near else (look.fur[0] * 12 // 13, look.fur[1] * 12 // 13, look.fur[2] * 12 // 13)
    _hose(pen, start, end, build.arm, side, colour, build.limb * (1.25 if look.species == "duck" else 1))
    hand = look.fur if look.species == "duck" else look.paw
    pen.oval(end[0], end[1], build.hand, build.hand * 0.94, hand)
    thumb = 0.6 * build.hand
    if look.species != "duck":
        pen.line(
            [(end[0] + 0.2 * build.hand, end[1] + 0.1 * thumb), (end[0] + 0.75 * build.hand, end[1] + 0.2 * thumb)],
            pen.ink or look.dark,
            pen.outline * 0.6,
        )


def _leg(pen: Pen, figure: Figure, near: bool) -> None:
    build, look, pose = figure.build, figure.look, figure.pose
    side = -1 if near else 1
    turn = abs(pose.turn)
    hip = (side * build.hips * (1 - 0.35 * turn), -build.leg + figure.sink)
    fx, fy = (pose.near_foot_x, pose.near_foot_y) if near else (pose.far_foot_x, pose.far_foot_y)
    spread = side * build.hips * (1.15 - 0.5 * turn)
    toe = build.foot[0] * 0.45 * turn
    foot = (spread + fx * build.leg * (0.35 + 0.65 * turn / SIDE), -build.foot[1] * 0.8 - fy * build.leg)
    colour = BEAK if look.species == "duck" else look.fur
    _hose(pen, hip, foot, build.leg, -0.6, colour, build.limb * (0.55 if look.species == "duck" else 1.0))
    if look.species == "duck":
        _webbed(pen, foot[0] + toe, foot[1], build.foot)
    else:
        pen.oval(foot[0] + toe, foot[1], build.foot[0], build.foot[1], look.paw)


def _webbed(pen: Pen, x: float, y: float, size: Point) -> None:
    rx, ry = size
    pen.polygon(
        [
            (x - rx * 0.8, y + ry),
            (x - rx * 0.1, y - ry),
            (x + rx, y + ry * 0.5),
            (x + rx * 0.75, y + ry),
            (x + rx * 0.3, y + ry * 0.7),
            (x, y + ry),
        ],
        BEAK,
    )


@functools.lru_cache(maxsize=16)
def _body_path(species: Species) -> skia.Path:
    rx, ry = BUILD[species].body
    if species == "duck":
        return blob(
            [
                (rx * 0.2, -ry * 1.1),
                (rx * 0.95, -ry * 0.5),
                (rx * 1.05, ry * 0.7),
                (0, ry * 1.35),
                (-rx * 1.1, ry * 0.7),
                (-rx * 0.95, -ry * 0.5),
                (-rx * 0.3, -ry * 1.1),
            ]
        )
    return blob(
        mirrored(
            [
                (0.0, -ry * 1.25),
                (rx * 0.85, -ry * 1.1),
                (rx * 1.02, ry * 0.05),
                (rx * 1.22, ry * 0.95),
                (rx * 0.5, ry * 1.25),
            ]
        )
    )


@functools.lru_cache(maxsize=16)
def _body_shade(species: Species) -> skia.Path:
    rx, ry = BUILD[species].body
    return crescent(_body_path(species), -0.24 * rx, -0.16 * ry)


def _body(pen: Pen, figure: Figure) -> None:
    build, look = figure.build, figure.look
    turn = abs(figure.pose.turn)
    y = -build.body_y + figure.sink
    pen.canvas.save()
    pen.canvas.translate(figure.neck[0] * 0.35, y)
    path = _body_path(look.species)
    pen.fill(path, look.fur)
    pen.fill(_body_shade(look.species), look.shade)
    rx, ry = build.body
    pen.oval(rx * 0.42 * turn, ry * 0.22, rx * (0.62 - 0.1 * turn), ry * 0.68, look.light, 0)
    pen.stroke(path, pen.line_colour(look.fur), pen.outline)
    pen.canvas.restore()


def _collar(pen: Pen, figure: Figure) -> None:
    """A band around the neck with a scarf's corner on the chest: large, for it must be seen from afar."""
    colour = figure.look.collar
    if colour is None:
        return
    x, y = figure.neck
    rx, depth = figure.build.collar
    shift = rx * 0.4 * abs(figure.pose.turn)
    path = skia.Path()
    path.moveTo(x - rx, y - depth * 0.12)
    path.quadTo(x, y + depth * 0.16, x + rx, y - depth * 0.12)
    path.lineTo(x + rx * 0.94, y + depth * 0.3)
    path.quadTo(x + rx * 0.5 + shift, y + depth * 0.5, x + shift, y + depth)
    path.quadTo(x - rx * 0.5 + shift, y + depth * 0.5, x - rx * 0.94, y + depth * 0.3)
    path.close()
    pen.inked(path, colour, 0.9)


def _tail(pen: Pen, figure: Figure) -> None:
    """Tails show who it is even from behind: a curl, a string, a wag, a puff, a tuft."""
    build, look, swing = figure.build, figure.look, figure.pose.tail
    turn = abs(figure.pose.turn)
    rx, ry = build.body
    root = (-rx * (0.25 + 0.6 * turn), -build.body_y + figure.sink + ry * 0.55)
    species = look.species
    if species == "rabbit":
        pen.oval(root[0] - rx * 0.35, root[1] + ry * 0.1, rx * 0.48, rx * 0.48, look.light)
    elif species == "duck":
        tip = root[1] - ry * (0.75 + 0.15 * swing)
        pen.inked(
            blob(
                [
                    (root[0] + rx * 0.5, root[1] - ry * 0.7),
                    (root[0] - rx * 0.5, tip),
                    (root[0] - rx * 0.95, tip - ry * 0.35),
                    (root[0] - rx * 0.6, root[1]),
                    (root[0] + rx * 0.4, root[1] + ry * 0.5),
                ]
            ),
            look.fur,
        )
    else:
        size = {"cat": (2.3, 2.4), "mouse": (2.5, 1.3), "dog": (1.25, 1.35)}[species]
        end = (root[0] - rx * size[0] * (0.75 + 0.1 * swing), root[1] - ry * (size[1] * 0.72 + 0.45 * swing))
        path = skia.Path()
        path.moveTo(*root)
        path.cubicTo(
            root[0] - rx * size[0] * 0.75,
            root[1] + ry * 0.55,
            end[0] + rx * 0.75,
            end[1] + ry * (1.1 - 0.4 * swing),
            *end,
        )
        width = build.limb * {"cat": 0.78, "mouse": 0.5, "dog": 0.8}[species]
        pen.hose(path, SKIN if species == "mouse" else look.fur, width)
        if species != "mouse":
            pen.oval(end[0], end[1], width * 0.62, width * 0.62, look.light, 0.9)
