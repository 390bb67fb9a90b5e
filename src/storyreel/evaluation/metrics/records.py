"""Results of videos on disk, one file each with the fingerprint of what it was made from."""

from __future__ import annotations

import json
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

from storyreel.data.files import write_whole
from storyreel.data.fingerprint import hash_of, hash_of_file, made_from, versions_of
from storyreel.evaluation.metrics.actions import ToldAction
from storyreel.evaluation.metrics.definition import Measured
from storyreel.evaluation.metrics.frames import VideoShape
from storyreel.evaluation.metrics.memory import MemoryProbe
from storyreel.evaluation.metrics.stories import files_of
from storyreel.evaluation.metrics.video import VERSION, Eyes, VideoResult

LIBRARIES = ("av", "numpy", "scenedetect-headless", "torch")


def fingerprint_of(video: Path, eyes: Eyes) -> str:
    """Equal for equal videos, stories, weights and versions."""
    inputs = {path.name.removeprefix(video.stem): hash_of_file(path) for path in [video, *files_of(video)]}
    models = {"features": eyes.features.sha256, "probe": eyes.probe.sha256, "actions": eyes.actions.sha256}
    return hash_of(made_from("evaluate", VERSION, inputs, {}, versions_of(LIBRARIES), models))


def write_result(path: Path, result: VideoResult, fingerprint: str) -> None:
    """Writes a result, whole or not at all."""
    shape = asdict(result.shape) | {"rate": str(result.shape.rate)}
    record = {
        "fingerprint": fingerprint,
        "shape": shape,
        "metrics": {name: asdict(own) for name, own in result.metrics.items()},
        "memory": [probe.to_dict() for probe in result.memory],
        "actions": [told.to_dict() for told in result.actions],
        "strip": result.strip,
    }
    write_whole(path, json.dumps(record, indent=1, allow_nan=False) + "\n")


def read_result(path: Path, fingerprint: str) -> VideoResult | None:
    """The result in a file; None where there is none, or one of something else."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record["fingerprint"] != fingerprint:
            return None
        shape = VideoShape(**record["shape"] | {"rate": Fraction(record["shape"]["rate"])})
        metrics = {name: Measured(**own) for name, own in record["metrics"].items()}
        memory = [MemoryProbe(**own) for own in record["memory"]]
        told = [ToldAction(**own) for own in record["actions"]]
        return VideoResult(shape, metrics, memory, told, record["strip"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
