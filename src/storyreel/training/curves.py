"""The log of a run as a picture."""

from __future__ import annotations

import json
import os
from pathlib import Path

SMOOTHING = 0.9


def plot_log(folder: Path) -> Path | None:
    """Draws every value of FOLDER/log.jsonl over its steps, raw and smoothed, to FOLDER/curves.png; None: no log."""
    log = folder / "log.jsonl"
    if not log.exists():
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    names = [name for name in lines[-1] if name not in ("step", "seconds")]
    figure = Figure(figsize=(4 * len(names), 3), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        points = [(line["step"], line[name]) for line in lines if name in line]
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, color="0.8")
        axes.plot(steps, smoothed(list(values)), color="tab:blue")
        axes.set_title(name.replace("_", " "))
        axes.set_xlabel("step")
        if name in ("loss", "reconstruction", "gradient_norm") and min(values) > 0:
            axes.set_yscale("log")
    aside = folder / "curves.part.png"
    figure.savefig(aside, dpi=100)
    os.replace(aside, folder / "curves.png")
    return folder / "curves.png"


def smoothed(values: list[float]) -> list[float]:
    """Exponential moving average without the pull of its start."""
    average, weight, result = 0.0, 0.0, []
    for value in values:
        average = SMOOTHING * average + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        result.append(average / weight)
    return result
