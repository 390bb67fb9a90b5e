"""Films to segments: the steps that need no model, one after the other, each in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from storyreel.data import probe, scenes, segments
from storyreel.data.manifest import Manifest
from storyreel.data.step import OnItem


@dataclass(frozen=True)
class BuildConfig:
    """Configurations of the steps."""

    probe: probe.ProbeConfig = field(default_factory=probe.ProbeConfig)
    scenes: scenes.ScenesConfig = field(default_factory=scenes.ScenesConfig)
    segments: segments.SegmentsConfig = field(default_factory=segments.SegmentsConfig)


def silent(step: str) -> OnItem:
    """Progress that nobody sees."""
    return lambda done, items: None


def run(
    films: Path,
    output: Path,
    config: BuildConfig,
    *,
    edited: Path | None = None,
    workers: int | None = None,
    on_step: Callable[[str], OnItem] = silent,
) -> dict[str, Manifest]:
    """Films to segments in `output`; what is there already stays. `on_step(name)` gives the progress of a step.

    The manifest of each step by its name, in their order.
    """
    folders = {name: output / name for name in ("probe", "scenes", "segments")}
    return {
        "probe": probe.run(films, folders["probe"], config.probe, workers=workers, on_item=on_step("probe")),
        "scenes": scenes.run(
            folders["probe"],
            folders["scenes"],
            config.scenes,
            edited=edited,
            workers=workers,
            on_item=on_step("scenes"),
        ),
        "segments": segments.run(
            folders["scenes"], folders["segments"], config.segments, workers=workers, on_item=on_step("segments")
        ),
    }
