"""Films to segments: the steps that need no model of ours, one after the other, each in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storyreel.data import estimate, probe, scenes, segments
from storyreel.data.estimate import OnEstimate
from storyreel.data.manifest import Manifest
from storyreel.data.step import Each, OnItem

if TYPE_CHECKING:
    from storyreel.data.upscale import UpscaleConfig


@dataclass(frozen=True)
class BuildConfig:
    """Configurations of the steps; `upscale` is None where pictures are scaled without a model."""

    probe: probe.ProbeConfig = field(default_factory=probe.ProbeConfig)
    scenes: scenes.ScenesConfig = field(default_factory=scenes.ScenesConfig)
    upscale: UpscaleConfig | None = None
    segments: segments.SegmentsConfig = field(default_factory=segments.SegmentsConfig)


@dataclass(frozen=True)
class Enlarging:
    """What the step `upscale` runs with besides its configuration: a model file, a device, processes."""

    model: Path
    device: str = "cpu"
    workers: int | None = None
    run_each: Each | None = None


def silent(step: str) -> OnItem:
    """Progress that nobody sees."""
    return lambda done, items: None


def run(
    films: Path,
    output: Path,
    config: BuildConfig,
    *,
    edited: Path | None = None,
    enlarging: Enlarging | None = None,
    workers: int | None = None,
    run_each: Each | None = None,
    on_step: Callable[[str], OnItem] = silent,
    on_estimate: OnEstimate = estimate.nobody,
) -> dict[str, Manifest]:
    """Films to segments in `output`; what is there already stays. `on_step(name)` gives the progress of a step.

    The manifest of each step by its name, in their order. `upscale` runs where `config` has it and `enlarging` has its
    model.
    """
    folders = {name: output / name for name in ("probe", "scenes", "upscale", "segments")}
    at_work: dict[str, Any] = {"workers": workers, "run_each": run_each}
    made = {"probe": probe.run(films, folders["probe"], config.probe, on_item=on_step("probe"), **at_work)}
    made["scenes"] = scenes.run(
        folders["probe"], folders["scenes"], config.scenes, edited=edited, on_item=on_step("scenes"), **at_work
    )
    if config.upscale and enlarging:
        from storyreel.data import upscale

        made["upscale"] = upscale.run(
            folders["scenes"],
            folders["upscale"],
            config.upscale,
            model=enlarging.model,
            device=enlarging.device,
            workers=enlarging.workers,
            run_each=enlarging.run_each,
            on_item=on_step("upscale"),
            on_estimate=on_estimate,
        )
    made["segments"] = segments.run(
        folders["scenes"],
        folders["segments"],
        config.segments,
        upscaled=folders["upscale"] if "upscale" in made else None,
        on_item=on_step("segments"),
        **at_work,
    )
    return made
