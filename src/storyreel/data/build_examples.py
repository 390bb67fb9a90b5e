"""Segments to examples: the steps that need a model, one after the other, each in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storyreel.data import assemble, check, embeddings, estimate, latents
from storyreel.data.build import silent
from storyreel.data.estimate import OnEstimate
from storyreel.data.examples import ExamplesConfig
from storyreel.data.manifest import MANIFEST, Manifest
from storyreel.data.step import Each, OnItem


@dataclass(frozen=True)
class BuildExamplesConfig:
    """Configurations of the steps from segments to examples. dtype: in which models compute."""

    dtype: str = "float32"
    mask: str = "padding"
    examples: ExamplesConfig = field(default_factory=ExamplesConfig)


def run(
    output: Path,
    config: BuildExamplesConfig,
    *,
    model: Path,
    device: str = "cpu",
    workers: int | None = None,
    run_each: Each | None = None,
    on_step: Callable[[str], OnItem] = silent,
    on_estimate: OnEstimate = estimate.nobody,
) -> tuple[dict[str, Manifest], check.Report | None]:
    """The segments in `output` to examples for a model folder, and what `check` finds; the manifests by step.

    Without captions in OUTPUT/captions it ends after the latents, and there is no report.
    """
    folders = {name: output / name for name in ("segments", "captions", "latents", "embeddings", "assembled")}
    shared: dict[str, Any] = {"model": model, "workers": workers, "run_each": run_each, "on_estimate": on_estimate}
    encode: dict[str, Any] = shared | {"device": device}
    made = {
        "latents": latents.run(
            folders["segments"],
            folders["latents"],
            latents.LatentsConfig(dtype=config.dtype),
            on_item=on_step("latents"),
            **encode,
        )
    }
    if not (folders["captions"] / MANIFEST).is_file():
        return made, None
    made["embeddings"] = embeddings.run(
        folders["captions"],
        folders["embeddings"],
        embeddings.EmbeddingsConfig(mask=config.mask, dtype=config.dtype, examples=config.examples),
        on_item=on_step("embeddings"),
        **encode,
    )
    made["assemble"] = assemble.run(
        folders["latents"],
        folders["assembled"],
        assemble.AssembleConfig(config.examples),
        captions=folders["captions"],
        embeddings=folders["embeddings"],
        on_item=on_step("assemble"),
        **shared,
    )
    return made, check.run(folders["assembled"], model, on_item=on_step("check"))
