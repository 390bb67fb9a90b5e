"""Ground truth of a frame: who and what is in view, where, doing what. Exact, because the drawing is measured."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import skia

from storyreel.toons.camera import View
from storyreel.toons.cast import draw_figure
from storyreel.toons.catalogue import PROP_SIZE
from storyreel.toons.pen import Pen
from storyreel.toons.players import Actor, Item
from storyreel.toons.rooms import hole_path
from storyreel.toons.scenery import Scenery
from storyreel.toons.script import Action, Character, Furniture, Mood, PlaceKind, Prop, PropKind, Species, TimeOfDay

if TYPE_CHECKING:
    from storyreel.toons.renderer import StoryRenderer

Box = tuple[int, int, int, int]
REACH = 1.7
"""Half the side of the square around a character that is drawn to measure it, in character heights."""


@dataclass(frozen=True)
class CharacterTruth:
    """A character of the story in one frame.

    `box` is (x0, y0, x1, y1) in pixels, x1 and y1 excluded, of what no furniture covers and the frame holds; None
    when not visible. `fraction` is the share of the drawn character that is seen; other characters are no cover.
    `points` are (x, y) pixels of "head", "collar", "near_hand" and "far_hand", also outside the frame; empty off stage.
    """

    name: str
    species: Species
    visible: bool
    box: Box | None
    fraction: float
    action: Action | None
    mood: Mood | None
    points: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class PropTruth:
    """A prop of the story in one frame; `box` as for characters, from its size; `holder` a character's name or None."""

    name: str
    kind: PropKind
    visible: bool
    box: Box | None
    holder: str | None


@dataclass(frozen=True)
class FrameTruth:
    """Everything that is true of a frame. `camera` is (x0, y0, x1, y1) in stage units."""

    frame: int
    segment: int
    scene: int
    place: PlaceKind
    place_index: int
    time_of_day: TimeOfDay
    camera: tuple[float, float, float, float]
    characters: tuple[CharacterTruth, ...]
    props: tuple[PropTruth, ...]

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(dataclasses.asdict(self))


def truth_of(renderer: StoryRenderer, k: int) -> FrameTruth:
    """The truth of frame k of a renderer's story, measured in the renderer's pixels."""
    story, stage = renderer.story, renderer.stage
    segment, seconds = renderer.moment(k)
    own = story.segments[segment]
    view = renderer.view(k)
    actors = stage.actors(segment, seconds)
    by_name = {actor.character.name: actor for actor in actors}
    items = {item.prop.name: item for item in stage.items(segment, seconds, actors)}
    return FrameTruth(
        frame=k,
        segment=segment,
        scene=own.scene,
        place=stage.place(segment).kind,
        place_index=own.place,
        time_of_day=own.time_of_day,
        camera=(view.x0, view.y0, view.x1, view.y1),
        characters=tuple(_character(renderer, segment, one, by_name.get(one.name), view) for one in story.cast),
        props=tuple(_prop(renderer, one, items.get(one.name), view) for one in story.props),
    )


def _character(
    renderer: StoryRenderer, segment: int, character: Character, actor: Actor | None, view: View
) -> CharacterTruth:
    if actor is None:
        return CharacterTruth(character.name, character.species, False, None, 0.0, None, None, {})
    scale = renderer.height / view.height
    box, fraction = _measured(renderer, segment, actor, view, scale)
    return CharacterTruth(
        character.name,
        character.species,
        box is not None,
        box,
        fraction,
        actor.beat.action,
        actor.beat.mood,
        _points(actor, view, scale),
    )


def _prop(renderer: StoryRenderer, prop: Prop, item: Item | None, view: View) -> PropTruth:
    if item is None:
        return PropTruth(prop.name, prop.kind, False, None, None)
    scale = renderer.height / view.height
    wide, high = PROP_SIZE[prop.kind]
    x, y = (item.x - view.x0) * scale, (item.y - view.y0) * scale
    edges = (x - wide / 2 * scale, y - high * scale, x + wide / 2 * scale, y)
    x0, y0 = max(0, int(edges[0])), max(0, int(edges[1]))
    x1, y1 = min(renderer.width, math.ceil(edges[2])), min(renderer.height, math.ceil(edges[3]))
    box = (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None
    return PropTruth(prop.name, prop.kind, box is not None, box, item.holder)


def _points(actor: Actor, view: View, scale: float) -> dict[str, tuple[float, float]]:
    figure = actor.figure
    rig = {"head": figure.head, "collar": figure.bib, "near_hand": figure.hand(True), "far_hand": figure.hand(False)}
    points = {}
    for name, point in rig.items():
        x, y = figure.on_stage(point)
        points[name] = (round((x - view.x0) * scale, 2), round((y - view.y0) * scale, 2))
    return points


def _measured(
    renderer: StoryRenderer, segment: int, actor: Actor, view: View, scale: float
) -> tuple[Box | None, float]:
    """(box, fraction in view) of a character, from drawing it alone, with the furniture in front of it cut out."""
    figure = actor.figure
    reach = figure.height * REACH
    left = int(np.floor((figure.x - reach - view.x0) * scale))
    top = int(np.floor((figure.y - 2 * reach * 0.9 - view.y0) * scale))
    side = int(np.ceil(2 * reach * scale))
    window = _Window(left, top, side, view, scale)
    whole = window.mask(lambda pen: draw_figure(pen, figure))
    seen = whole.copy()
    if actor.behind is not None:
        seen &= ~_covered(renderer.scenery(segment), actor.behind, window)
    rows = np.arange(top, top + side)
    if actor.floor is not None:
        seen &= (rows < (actor.floor - view.y0) * scale)[:, None]
    columns = np.arange(left, left + side)
    seen &= ((rows >= 0) & (rows < renderer.height))[:, None] & ((columns >= 0) & (columns < renderer.width))[None, :]
    total, count = int(whole.sum()), int(seen.sum())
    if not count or not total:
        return None, 0.0
    ys, xs = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    box = (left + int(xs[0]), top + int(ys[0]), left + int(xs[-1]) + 1, top + int(ys[-1]) + 1)
    return box, round(count / total, 4)


@dataclass(frozen=True)
class _Window:
    """A square of pixels around a character, some of it outside the frame."""

    left: int
    top: int
    side: int
    view: View
    scale: float

    def mask(self, draw: Callable[[Pen], None]) -> np.ndarray:
        """bool `[side, side]`: where `draw` puts ink, on a canvas in stage units."""
        pixels = np.zeros((self.side, self.side, 4), np.uint8)
        surface = skia.Surface(pixels)
        canvas = surface.getCanvas()
        canvas.translate(-self.left, -self.top)
        canvas.scale(self.scale, self.scale)
        canvas.translate(-self.view.x0, -self.view.y0)
        draw(Pen(canvas, self.scale))
        return pixels[..., 3] > 127


def _covered(scenery: Scenery, piece: Furniture, window: _Window) -> np.ndarray:
    """bool: where a piece of furniture (or, for a mouse hole, the wall around it) covers who is behind it."""
    if piece.kind == "mouse hole":
        return ~window.mask(lambda pen: pen.fill(hole_path(piece), (0, 0, 0)))
    image, x, y = scenery.piece(piece)
    return window.mask(lambda pen: scenery.draw(pen.canvas, image, x, y))
