"""Frames of a story: scenery, then everyone and everything on it from far to near, then stars, tears and dust."""

from __future__ import annotations

import math

import numpy as np
import skia

from storyreel.errors import GeometryError, StoryboardError, refusal
from storyreel.geometry import SEGMENT_SECONDS
from storyreel.toons.acting import Stage
from storyreel.toons.camera import FRAMES_PER_SEGMENT, View, segment_and_seconds, view_at
from storyreel.toons.cast import draw_figure
from storyreel.toons.catalogue import FEET_Y, HALF_WIDTH, PROP_SIZE, spec_of
from storyreel.toons.effects import draw_clouds, draw_effects, draw_waves
from storyreel.toons.palette import NIGHT_FUR_TINT, colour_of
from storyreel.toons.pen import Pen
from storyreel.toons.players import Actor, Item
from storyreel.toons.props import draw_prop
from storyreel.toons.rooms import hole_path
from storyreel.toons.scenery import Scenery
from storyreel.toons.script import Furniture, Story
from storyreel.toons.truth import FrameTruth, truth_of

PARALLAX = 0.3
"""The share of the camera's way that the sky and the horizon go along."""
ZOOM_STEP = 0.5
MOST_PENS = 64
MOST_SCENERY = 12
"""So many painted places are kept: about 10 MB each at 480 x 720."""


class StoryRenderer:
    """Draws a story at any size. The same story and size give the same bytes.

    A story of S segments has 48 S + 1 frames; frame k is at k / 16 s; frame 0 opens segment 0, and frames 48 i + 1 to
    48 i + 48 belong to segment i.
    """

    def __init__(self, story: Story, height: int, width: int) -> None:
        """GeometryError for too small a frame, StoryboardError for a story without segments or with unknown names."""
        if height < 16 or width < 16:
            raise GeometryError(
                refusal("frame", f"{width}x{height}", "its sides must be 16 pixels or more", "Try 192x128")
            )
        if not story.segments:
            raise StoryboardError("the story has no segment, but a video needs at least one. Add a segment.")
        self.story = story
        self.height, self.width = height, width
        self.stage = Stage(story)
        self._pixels = np.zeros((height, width, 4), np.uint8)
        self._surface = skia.Surface(self._pixels)
        self._canvas = self._surface.getCanvas()
        self._scenery: dict[tuple[int, str, float], Scenery] = {}
        self._pens: dict[tuple[bool, float], Pen] = {}
        self._background: tuple[Scenery, View, np.ndarray] | None = None

    @property
    def frames(self) -> int:
        """How many frames the story has."""
        return FRAMES_PER_SEGMENT * len(self.story.segments) + 1

    def render(self, start_frame: int, stop_frame: int) -> np.ndarray:
        """uint8 `[stop - start, H, W, 3]` RGB: frames start (included) to stop (excluded)."""
        frames = np.empty((stop_frame - start_frame, self.height, self.width, 3), np.uint8)
        for index in range(stop_frame - start_frame):
            self._draw(start_frame + index)
            frames[index] = self._pixels[..., :3]
        return frames

    def frame(self, k: int) -> np.ndarray:
        """uint8 `[H, W, 3]` RGB: frame k."""
        return self.render(k, k + 1)[0]

    def truth(self, k: int) -> FrameTruth:
        """What is true of frame k."""
        return truth_of(self, k)

    def view(self, k: int) -> View:
        """The rectangle of the stage that frame k shows."""
        segment, seconds = self.moment(k)
        return self._view(segment, seconds)

    def moment(self, k: int) -> tuple[int, float]:
        """(segment, seconds into it) of frame k; GeometryError when the story has no such frame."""
        if not 0 <= k < self.frames:
            raise GeometryError(
                refusal("frame", k, f"the story has frames 0 to {self.frames - 1}", "Ask for one of these")
            )
        return segment_and_seconds(k)

    def _view(self, segment: int, seconds: float) -> View:
        tracks = self.story.segments[segment].tracks
        name = tracks[0].character if tracks else ""
        return view_at(
            self.story.segments[segment].camera, seconds, self.stage.place(segment).width, self.width / self.height,
            lambda moment: self.stage.x_at(segment, name, moment),
        )  # fmt: skip

    def _draw(self, k: int) -> None:
        segment, seconds = self.moment(k)
        view = self._view(segment, seconds)
        story_seconds = segment * SEGMENT_SECONDS + seconds
        scale = self.height / view.height
        canvas = self._canvas
        canvas.clear(skia.ColorBLACK)
        canvas.save()
        canvas.scale(scale, scale)
        canvas.translate(-view.x0, -view.y0)
        lit = self.story.segments[segment].time_of_day == "night"
        scenery = self.scenery(segment)
        self._draw_background(scenery, view, story_seconds, scale)
        pen = self.pen(lit, scale)
        actors = self.stage.actors(segment, seconds)
        items = self.stage.items(segment, seconds, actors)
        self._draw_players(pen, scenery, actors, items)
        for actor in actors:
            if actor.behind is None or actor.beat.action == "sit":
                draw_effects(pen, actor, story_seconds)
        canvas.restore()

    def pen(self, lit: bool, scale: float) -> Pen:
        """A pen for characters and props. Pens of a scale are kept for their paints, so it is rounded before use."""
        key = (lit, round(scale, 1))
        pen = self._pens.get(key)
        if pen is None:
            if len(self._pens) >= MOST_PENS:
                self._pens.clear()
            pen = self._pens[key] = Pen(self._canvas, key[1], NIGHT_FUR_TINT if lit else None)
        return pen

    def scenery(self, segment: int) -> Scenery:
        """The painted place of a segment, fine enough for its closest view."""
        own = self.story.segments[segment]
        place = self.stage.place(segment)
        closest = max(1.0, own.camera.zoom_from, own.camera.zoom_to, self.width / self.height / place.width)
        level = math.ceil(closest / ZOOM_STEP - 1e-6) * ZOOM_STEP
        key = (own.place, own.time_of_day, level)
        scenery = self._scenery.get(key)
        if scenery is None:
            while len(self._scenery) >= MOST_SCENERY:
                self._scenery.pop(next(iter(self._scenery)))
            scenery = Scenery(place, f"{self.story.seed} place {own.place}", own.time_of_day, self.height * level)
            self._scenery[key] = scenery
        return scenery

    def _draw_background(self, scenery: Scenery, view: View, story_seconds: float, scale: float) -> None:
        if scenery.far is None:
            kept = self._background
            if kept is not None and kept[0] is scenery and kept[1] == view:
                np.copyto(self._pixels, kept[2])
                return
            scenery.draw(self._canvas, scenery.near)
            self._background = (scenery, view, self._pixels.copy())
            return
        canvas = self._canvas
        shift = PARALLAX * (view.x - scenery.place.width / 2)
        canvas.save()
        canvas.translate(shift, 0)
        scenery.draw(canvas, scenery.far)
        pen = self.pen(False, scale)
        draw_clouds(pen, scenery.place, scenery.key, story_seconds, scenery.lit)
        if scenery.place.kind == "beach":
            draw_waves(self.pen(scenery.lit, scale), story_seconds, view.x0 - shift, view.x1 - shift)
        canvas.restore()
        scenery.draw(canvas, scenery.near)

    def _draw_players(self, pen: Pen, scenery: Scenery, actors: list[Actor], items: list[Item]) -> None:
        """Characters, free props and the furniture in front of hidden ones, from far to near."""
        order: list[tuple[float, int, Actor | Item | Furniture]] = [(actor.depth, 1, actor) for actor in actors]
        order += [(item.depth, 3, item) for item in items if item.holder is None]
        covers = {actor.behind for actor in actors if actor.behind is not None and actor.behind.kind != "mouse hole"}
        order += [(spec_of(piece.kind).bottom, 2, piece) for piece in covers]
        for actor in actors:
            if actor.behind is None:
                lift = actor.figure.pose.lift
                wide = HALF_WIDTH[actor.character.species] * (1 - 0.4 * min(1.0, max(0.0, lift)))
                pen.shadow(actor.figure.x, min(actor.figure.y, FEET_Y + 0.03) + 0.006, wide, wide * 0.17, 90)
        for _, _, thing in sorted(order, key=lambda entry: entry[:2]):
            if isinstance(thing, Actor):
                self._draw_actor(pen, scenery, thing, [item for item in items if item.holder == thing.character.name])
            elif isinstance(thing, Item):
                self._draw_free(pen, thing)
            else:
                image, x, y = scenery.piece(thing)
                scenery.draw(pen.canvas, image, x, y)

    def _draw_actor(self, pen: Pen, scenery: Scenery, actor: Actor, held: list[Item]) -> None:
        hole = actor.behind if actor.behind is not None and actor.behind.kind == "mouse hole" else None
        pen.canvas.save()
        if hole is not None:
            pen.canvas.clipPath(hole_path(hole), skia.ClipOp.kIntersect, True)
        elif actor.floor is not None:
            pen.canvas.clipRect(skia.Rect(-1, -1, scenery.place.width + 1, actor.floor))
        draw_figure(pen, actor.figure, "behind" if held else "all")
        if held:
            for item in held:
                _draw_item(pen, item)
            draw_figure(pen, actor.figure, "front")
        pen.canvas.restore()

    def _draw_free(self, pen: Pen, item: Item) -> None:
        if item.y > FEET_Y - 0.1:
            wide = PROP_SIZE[item.prop.kind][0] * 0.5
            pen.shadow(item.x, item.y + 0.004, wide, wide * 0.16, 80)
        _draw_item(pen, item)


def _draw_item(pen: Pen, item: Item) -> None:
    pen.canvas.save()
    pen.canvas.translate(item.x, item.y)
    pen.canvas.scale(item.mirror, 1)
    draw_prop(pen, item.prop.kind, colour_of("prop", item.prop.colour), item.bites)
    pen.canvas.restore()
