"""What cartoons draw around their characters: stars, tears, dust, snores, music; and what moves out of doors."""

from __future__ import annotations

import math

from storyreel.toons.chance import chance
from storyreel.toons.palette import RGB
from storyreel.toons.pen import Pen
from storyreel.toons.players import Actor
from storyreel.toons.poses import CRASH_SHARE
from storyreel.toons.rooms import cloud
from storyreel.toons.script import Place
from storyreel.toons.shapes import Point, blob, curve, star

GOLD: RGB = (255, 220, 60)
TEAR: RGB = (110, 196, 250)
WHITE: RGB = (255, 255, 255)


def draw_effects(pen: Pen, actor: Actor, story_seconds: float) -> None:
    """All that an actor's pose asks for, on a canvas in stage units."""
    pose, figure = actor.figure.pose, actor.figure
    head = figure.on_stage(figure.head)
    size = figure.build.head[0]
    if pose.tears > 0.5:
        _tears(pen, head, size, story_seconds)
    if pose.sweat > 0.5:
        _sweat(pen, head, size, story_seconds)
    if pose.stars > 0.5:
        _stars(pen, head, size, story_seconds)
    if pose.snore > 0.5:
        _snore(pen, head, size, story_seconds, figure.mirror)
    if pose.notes > 0.5:
        _notes(pen, head, size, story_seconds)
    if pose.dust > 0.3:
        _dust(pen, actor, story_seconds)
    if actor.bell is not None and pose.chime > 0.5:
        _chime(pen, actor.bell, story_seconds)
    if actor.beat.action == "crash":
        _burst(pen, actor)


def _drop(pen: Pen, x: float, y: float, size: float) -> None:
    pen.inked(
        blob(
            [
                (x, y - size * 1.9),
                (x + size * 0.9, y + size * 0.2),
                (x + size * 0.5, y + size * 0.9),
                (x - size * 0.5, y + size * 0.9),
                (x - size * 0.9, y + size * 0.2),
            ]
        ),
        TEAR,
        0.7,
    )


def _tears(pen: Pen, head: Point, size: float, seconds: float) -> None:
    for side in (-1, 1):
        for index in range(3):
            share = (seconds * 1.25 + index / 3 + 0.16 * (side > 0)) % 1.0
            x = head[0] + side * size * (0.5 + 1.1 * share)
            y = head[1] + size * (0.1 - 1.0 * share + 2.4 * share * share)
            _drop(pen, x, y, size * 0.17 * (1 - 0.4 * share))


def _sweat(pen: Pen, head: Point, size: float, seconds: float) -> None:
    for index, side in enumerate((-1, 1, -1)):
        share = (seconds * 1.1 + index * 0.37) % 1.0
        _drop(
            pen,
            head[0] + side * size * (1.0 + 0.35 * share),
            head[1] - size * (0.6 - 0.25 * index + 0.2 * share),
            size * 0.12,
        )


def _stars(pen: Pen, head: Point, size: float, seconds: float) -> None:
    for index in range(5):
        angle = math.tau * (index / 5 + seconds * 0.7)
        x, y = head[0] + math.cos(angle) * size * 1.25, head[1] - size * 1.15 + math.sin(angle) * size * 0.32
        pen.inked(star(x, y, size * (0.30 + 0.06 * math.sin(angle)), angle), GOLD, 0.8)


def _snore(pen: Pen, head: Point, size: float, seconds: float, mirror: float) -> None:
    for index in range(3):
        share = (seconds * 0.36 + index / 3) % 1.0
        r = size * (0.14 + 0.26 * share)
        x = head[0] + mirror * size * (0.35 + 0.7 * share) + size * 0.1 * math.sin(share * 9)
        y = head[1] - size * (0.9 + 1.5 * share)
        points = [(x - r, y - r), (x + r, y - r), (x - r, y + r), (x + r, y + r)]
        pen.line(points, pen.ink or (0, 0, 0), r * 0.62 + pen.outline * 1.6)
        pen.line(points, WHITE, r * 0.62)


def _notes(pen: Pen, head: Point, size: float, seconds: float) -> None:
    for index in range(2):
        share = (seconds * 0.5 + index / 2) % 1.0
        side = 1 if index else -1
        x = head[0] + side * size * (1.35 + 0.2 * math.sin(share * 8))
        y = head[1] - size * (0.1 + 1.2 * share)
        r = size * 0.17
        tone: RGB = (230, 60, 130) if index else (90, 70, 220)
        pen.line([(x + r * 0.8, y), (x + r * 0.8, y - r * 3.2), (x + r * 2.4, y - r * 2.5)], tone, r * 0.55)
        pen.oval(x, y, r * 1.05, r * 0.8, tone, 0)


def _dust(pen: Pen, actor: Actor, seconds: float) -> None:
    """Puffs left behind by fast feet."""
    figure = actor.figure
    back = -figure.mirror
    size = figure.build.foot[0]
    for index in range(3):
        share = (seconds * 2.4 + index / 3) % 1.0
        x = figure.x + back * (size * 1.6 + share * 0.15)
        r = size * (0.36 + 0.5 * share)
        pen.oval(x, figure.y - r * 0.8 - 0.03 * share, r, r * 0.85, WHITE, 0, int(225 * (1 - share)))


def _chime(pen: Pen, bell: Point, seconds: float) -> None:
    for index in range(6):
        angle = math.tau * (index / 6 + 0.04 * math.sin(seconds * 40))
        dx, dy = math.cos(angle), math.sin(angle)
        pen.line(
            [(bell[0] + dx * 0.055, bell[1] + dy * 0.055), (bell[0] + dx * 0.10, bell[1] + dy * 0.10)], GOLD, 0.016
        )


def _burst(pen: Pen, actor: Actor) -> None:
    """The flash of an impact, for a moment."""
    beat = actor.beat
    hit = beat.start + (CRASH_SHARE * (beat.end - beat.start) if beat.x_from != beat.x_to else 0.0)
    since = actor.seconds - hit
    if not 0 <= since < 0.3:
        return
    figure = actor.figure
    x, y = figure.x + figure.mirror * figure.build.head[0] * 0.9, figure.y - figure.build.head_y * 0.9
    size = figure.height * (0.30 + 0.25 * since / 0.3)
    for scale, tone in ((1.0, GOLD), (0.6, WHITE)):
        points = [
            (
                x + math.sin(math.tau * i / 20) * size * scale * (1.0 if i % 2 else 0.55),
                y - math.cos(math.tau * i / 20) * size * scale * (1.0 if i % 2 else 0.55),
            )
            for i in range(20)
        ]
        pen.polygon(points, tone, 1.0 if scale == 1.0 else 0)


def draw_clouds(pen: Pen, place: Place, key: str, story_seconds: float, lit: bool) -> None:
    """Clouds that drift, on a canvas in the units of the far layer."""
    count = max(2, round(place.width * 1.3))
    span = place.width + 0.6
    for index in range(count):
        speed = 0.010 + 0.012 * chance(key, "cloud speed", index)
        x = (chance(key, "cloud", index) * span * 0.4 + index * span / count + story_seconds * speed) % span - 0.3
        y = 0.14 + 0.22 * chance(key, "cloud y", index)
        pen.canvas.save()
        pen.canvas.translate(x, y)
        pen.fill(cloud(index % 2), (120, 128, 190) if lit else WHITE, 150 if lit else 235)
        pen.canvas.restore()


def draw_waves(pen: Pen, story_seconds: float, x0: float, x1: float) -> None:
    """Glints on the sea of a beach, between two x."""
    for row, y in enumerate((0.455, 0.495, 0.54, 0.585)):
        step = 0.16 + 0.04 * row
        shift = story_seconds * (0.02 + 0.012 * row) * (1 if row % 2 else -1) + 0.07 * row
        first = math.floor((x0 - shift) / step)
        y = y + 0.004 * math.sin(story_seconds * 2 + row)
        for index in range(first, math.ceil((x1 - shift) / step) + 1):
            x = index * step + shift
            pen.stroke(curve((x - 0.03, y), (x, y - 0.014), (x + 0.03, y)), (224, 248, 255), 0.008, 210)
