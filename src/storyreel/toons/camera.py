"""The camera: which rectangle of the stage a frame shows. It eases in and out and never leaves the stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from storyreel.geometry import FRAMES_PER_SECOND, SEGMENT_SECONDS
from storyreel.toons.script import Camera
from storyreel.toons.stance import smooth

FRAMES_PER_SEGMENT = FRAMES_PER_SECOND * SEGMENT_SECONDS


@dataclass(frozen=True)
class View:
    """A rectangle of the stage, in stage units."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def x(self) -> float:
        return (self.x0 + self.x1) / 2


def segment_and_seconds(frame: int) -> tuple[int, float]:
    """(segment, seconds into it). Frame 0 opens segment 0; frames 48 i + 1 to 48 i + 48 belong to segment i."""
    if frame == 0:
        return 0, 0.0
    segment = (frame - 1) // FRAMES_PER_SEGMENT
    return segment, (frame - segment * FRAMES_PER_SEGMENT) / FRAMES_PER_SECOND


def view_at(
    camera: Camera, seconds: float, stage_width: float, aspect: float, actor_x: Callable[[float], float | None]
) -> View:
    """The view at a time of a segment.

    `aspect` is the frame's width by its height, `actor_x` the first character's x at a time (None when off stage),
    which a
    following camera keeps in the middle. Where the stage is narrower than the view the camera moves closer.
    """
    share = smooth(seconds / SEGMENT_SECONDS)
    zoom = camera.zoom_from + (camera.zoom_to - camera.zoom_from) * share
    zoom = max(1.0, aspect / stage_width, zoom)
    x = camera.x_from + (camera.x_to - camera.x_from) * share
    if camera.kind == "follow":
        x = _followed(seconds, actor_x, x)
    width, height = aspect / zoom, 1 / zoom
    x0 = min(max(0.0, x - width / 2), max(0.0, stage_width - width))
    y0 = min(max(0.0, camera.y - height / 2), 1 - height)
    return View(x0, y0, x0 + width, y0 + height)


def _followed(seconds: float, actor_x: Callable[[float], float | None], otherwise: float) -> float:
    """The actor's x, averaged over the moments around this one, so that the camera does not jerk."""
    moments = [min(SEGMENT_SECONDS, max(0.0, seconds + shift)) for shift in (-0.5, -0.25, 0.0, 0.25, 0.5)]
    seen = [x for x in map(actor_x, moments) if x is not None]
    return sum(seen) / len(seen) if seen else otherwise
