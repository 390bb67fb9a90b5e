"""An evaluation as lines for a terminal, as JSON, and in VBench's layout."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from storyreel.evaluation.metrics.actions import ActionRow, action_row
from storyreel.evaluation.metrics.definition import Metric
from storyreel.evaluation.metrics.memory import MemoryRow, memory_table
from storyreel.evaluation.metrics.run import Evaluation
from storyreel.evaluation.metrics.summary import Summary, summarise
from storyreel.evaluation.metrics.video import METRICS
from storyreel.evaluation.share import Share

ARROWS = {"higher": "+", "lower": "-", "neither": " "}


def features_line(evaluation: Evaluation) -> str:
    """Whose features consistency was measured with, and who read places, characters and actions."""
    own, probe, doing = evaluation.eyes.features, evaluation.eyes.probe, evaluation.eyes.actions
    return (
        f"features of {own.name} (sha256 {own.sha256[:12]}); "
        f"places and characters read by {probe.name} (sha256 {probe.sha256[:12]}); "
        f"actions by {doing.name} (sha256 {doing.sha256[:12]})"
    )


def memory_rows(evaluation: Evaluation, drawn: Evaluation | None) -> dict[str, list[MemoryRow]]:
    """Memory probes of each method that has some; `drawn` are toons that give the ceiling."""
    ceiling = [own.memory for own in drawn.videos.values()] if drawn else []
    tables = {
        method: memory_table([own.memory for own in videos.values()], ceiling)
        for method, videos in evaluation.methods().items()
    }
    return {method: rows for method, rows in tables.items() if rows}


def action_rows(evaluation: Evaluation, drawn: Evaluation | None) -> dict[str, ActionRow]:
    """What is seen of the actions told, of each method whose texts tell some."""
    ceiling = [told for own in drawn.videos.values() for told in own.actions] if drawn else []
    rows = {
        method: action_row(
            [told for own in videos.values() for told in own.actions],
            [own.metrics["actions_by_chance"] for own in videos.values()],
            ceiling,
        )
        for method, videos in evaluation.methods().items()
    }
    return {method: row for method, row in rows.items() if row}


def evaluation_as_lines(evaluation: Evaluation, drawn: Evaluation | None = None) -> list[str]:
    """Metrics (+ the more the better, - the less) with intervals over videos, then memory, then what is broken."""
    summaries = {method: summarise(videos) for method, videos in evaluation.methods().items()}
    lines = [features_line(evaluation)]
    for method, own in summaries.items():
        lines += ["", f"{printable(method)}:"]
        lines += [f"  {line(metric, own[metric.name])}" for metric in METRICS if metric.name in own]
    for method, rows in memory_rows(evaluation, drawn).items():
        lines += ["", f"{printable(method)}, memory by gap in segments (what no text tells, seen again):"]
        lines += [f"  {memory_line(row)}" for row in rows]
    for method, row in action_rows(evaluation, drawn).items():
        kinds = ", ".join(f"{name} {own.right} of {own.count}" for name, own in row.by_action.items())
        lines += ["", f"{printable(method)}, actions told that are seen:", f"  {action_line(row)}", f"  {kinds}"]
    return lines + [f"broken: {printable(why)}" for why in evaluation.broken.values()]


def line(metric: Metric, own: Summary) -> str:
    """One metric of one method."""
    interval = "" if math.isnan(own.low) else f" [{own.low:.4g}, {own.high:.4g}]"
    pooled = f"; {own.pooled.right} of {own.pooled.count}" if own.pooled else ""
    value = f"{own.mean:.4g}{interval}"
    return f"{ARROWS[metric.better]} {metric.name:18} {value:28} {metric.unit}, n {own.videos}{pooled}"


def memory_line(row: MemoryRow) -> str:
    """One row of the memory table."""
    right = f"{row.right}" if row.right else "unreadable"
    ceiling = f"{100 * row.ceiling.value:.0f}%" if row.ceiling else "not measured"
    score = "" if row.score is None else f", score {row.score:.2f}"
    asked = f"{row.asked} asked"
    return f"{row.family:9} gap {row.gap:2}: {right}, {asked}; floor {100 * row.floor:.0f}%, ceiling {ceiling}{score}"


def action_line(row: ActionRow) -> str:
    """All actions of a method in one line."""
    ceiling = str(row.ceiling) if row.ceiling else "not measured"
    score = "" if row.score is None else f", score {row.score:.2f}"
    return f"{row.right}; floor {100 * row.floor:.0f}%, ceiling {ceiling}{score}"


def printable(name: str) -> str:
    """A name without what could steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def evaluation_as_json(evaluation: Evaluation, drawn: Evaluation | None = None) -> str:
    """Everything: definitions, methods, memory, videos (without their strips), broken ones; unknown is null."""
    eyes = evaluation.eyes
    found = {
        "features": {"name": eyes.features.name, "sha256": eyes.features.sha256},
        "probe": {"name": eyes.probe.name, "sha256": eyes.probe.sha256},
        "reader_of_actions": {"name": eyes.actions.name, "sha256": eyes.actions.sha256},
        "definitions": {metric.name: dataclasses.asdict(metric) for metric in METRICS},
        "methods": {
            method: {name: _summary(own) for name, own in summarise(videos).items()}
            for method, videos in evaluation.methods().items()
        },
        "memory": {method: [_memory(row) for row in rows] for method, rows in memory_rows(evaluation, drawn).items()},
        "actions": {method: _actions(row) for method, row in action_rows(evaluation, drawn).items()},
        "videos": {
            name: {metric: dataclasses.asdict(own) for metric, own in result.metrics.items()}
            for name, result in evaluation.videos.items()
        },
        "broken": evaluation.broken,
    }
    return json.dumps(found, indent=1, allow_nan=False)


def _summary(own: Summary) -> dict[str, Any]:
    interval = None if math.isnan(own.low) else [own.low, own.high]
    return {"mean": own.mean, "interval": interval, "videos": own.videos, "pooled": _share(own.pooled)}


def _memory(row: MemoryRow) -> dict[str, Any]:
    plain = {"family": row.family, "gap": row.gap, "asked": row.asked, "floor": row.floor, "score": row.score}
    return plain | {"right": _share(row.right), "ceiling": _share(row.ceiling)}


def _actions(row: ActionRow) -> dict[str, Any]:
    plain = {"right": _share(row.right), "floor": row.floor, "ceiling": _share(row.ceiling), "score": row.score}
    return plain | {"by_action": {name: _share(own) for name, own in row.by_action.items()}}


def _share(own: Share | None) -> dict[str, Any] | None:
    if own is None:
        return None
    return {"right": own.right, "count": own.count, "share": own.value, "interval": own.interval()}


def vbench_results(evaluation: Evaluation, method: str) -> str:
    """NAME_eval_results.json as VBench writes it: for each dimension the mean and the value of each video."""
    videos = evaluation.methods()[method]
    found = {}
    for name, summary in summarise(videos).items():
        rows = [
            {"video_path": str(evaluation.folder / video), "video_results": own.metrics[name].value}
            for video, own in videos.items()
            if own.metrics[name].value is not None
        ]
        found[name] = [summary.mean, rows]
    return json.dumps(found, indent=4, allow_nan=False)


def vbench_info(evaluation: Evaluation, method: str) -> str:
    """NAME_full_info.json: for each video its prompt, here its name, and the dimensions that it was judged on."""
    rows = [
        {
            "prompt_en": video.rpartition("/")[2].rpartition(".")[0],
            "dimension": [name for name, own in result.metrics.items() if own.value is not None],
            "video_list": [str(evaluation.folder / video)],
        }
        for video, result in evaluation.methods()[method].items()
    ]
    return json.dumps(rows, indent=4, allow_nan=False)
