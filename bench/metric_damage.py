"""How each metric reacts to each damage, on drawn cartoons and damaged copies of them.

    python bench/metric_damage.py --stories 6 --first-seed 40

Prints a table in Markdown: the mean of each metric on the drawings and on each kind of damage, in bold where the metric
is for that damage: with an exclamation mark if it is worse on every story that has both values, else with the number of
stories on which it is. The last line is all of it as JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import torch

from storyreel.assets import DEMO_PROBE
from storyreel.evaluation.metrics.damage import DAMAGES, FOR, write_damaged
from storyreel.evaluation.metrics.stories import story_of
from storyreel.evaluation.metrics.video import METRICS, Eyes, measure_video, open_eyes
from storyreel.toons.writer import write_stories

SEGMENTS = 7
Values = dict[str, float | None]


def measured(video: Path, eyes: Eyes) -> Values:
    return {name: own.value for name, own in measure_video(video, story_of(video), eyes).metrics.items()}


def scores(first_seed: int, stories: int, height: int, width: int) -> dict[str, list[Values]]:
    """For "drawn" and each damage, the metrics of every story."""
    eyes = open_eyes(None, DEMO_PROBE, torch.device("cpu"))
    found: dict[str, list[Values]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_stories(root / "drawn", stories, 3 * SEGMENTS, height, width, seed=first_seed, workers=1)
        for video in sorted((root / "drawn").glob("*.mp4")):
            found.setdefault("drawn", []).append(measured(video, eyes))
            for name in DAMAGES:
                damaged = write_damaged(video, root / name, name)
                found.setdefault(name, []).append(measured(damaged, eyes))
                damaged.unlink()
    return found


def worse(drawn: list[Values], damaged: list[Values], metric: str) -> tuple[int, int]:
    """(stories on which the damaged copy is worse, stories that have both values)."""
    sign = {own.name: -1 if own.better == "lower" else 1 for own in METRICS}[metric]
    pairs = [(a[metric], b[metric]) for a, b in zip(drawn, damaged, strict=True)]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    return sum(sign * b < sign * a for a, b in known), len(known)


def cell(found: dict[str, list[Values]], metric: str, name: str) -> str:
    known = [own[metric] for own in found[name]]
    values = [own for own in known if own is not None]
    if not values:
        return "-"
    text = f"{sum(values) / len(values):.4g}"
    if name not in FOR.get(metric, ()):
        return text
    count, of = worse(found["drawn"], found[name], metric)
    return f"**{text}!**" if count == of else f"**{text}** ({count} of {of})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stories", type=int, default=6)
    parser.add_argument("--first-seed", type=int, default=40)
    parser.add_argument("--size", default="192x128")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    found = scores(options.first_seed, options.stories, height, width)
    print(f"| Metric | {' | '.join(found)} |\n|{'---|' * (len(found) + 1)}")
    for metric in METRICS:
        arrow = {"higher": "+", "lower": "-", "neither": ""}[metric.better]
        print(f"| {metric.name} {arrow} | {' | '.join(cell(found, metric.name, name) for name in found)} |")
    print(json.dumps({"stories": options.stories, "first_seed": options.first_seed, "values": found}))


if __name__ == "__main__":
    main()
