"""Which clips to draw."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClipConfig:
    """Which clips to draw: `count` windows of `segments` segments, cut from stories of `story_segments`."""

    count: int
    segments: int
    story_segments: int
    height: int
    width: int
    first_seed: int = 0
