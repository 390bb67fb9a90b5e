"""What the reader of actions sees in stories that it was never trained on.

    python bench/action_reading.py --stories 12
    python bench/action_reading.py --stories 12 --first-seed 6900000 --calibrate

Prints, as Markdown, how many of the actions told are seen (with Wilson's interval), how many by chance, how many of the
actions seen are really drawn, and for each action what it is taken for. With --calibrate the thresholds that see most
(F1, action by action) are written into the reader's config: use other stories for that than for the figures.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from storyreel.assets import ACTION_READER
from storyreel.evaluation.action_reader import READ_FRAMES, ActionReader, load_action_reader
from storyreel.evaluation.metrics.actions import by_chance, in_kinds
from storyreel.evaluation.share import Share
from storyreel.recipes.demo import TEST_SEED
from storyreel.toons.grammar import make_story
from storyreel.toons.names import ROLE_OF
from storyreel.toons.renderer import StoryRenderer

SEEN_FRAMES, LEAST_FRACTION = 4, 0.25
"""An action is drawn where at least so much of a character does it in so many of 24 frames."""


@dataclass(frozen=True)
class Segment:
    """Scores `[characters, kinds]`, frames of each kind of action drawn likewise, and what the text tells."""

    scores: torch.Tensor
    frames: torch.Tensor
    told: tuple[tuple[str, str], ...]


def read_story(reader: ActionReader, seed: int, segments: int, height: int, width: int) -> list[Segment]:
    story = make_story(seed, segments)
    renderer = StoryRenderer(story, height, width)
    characters, names = list(reader.config["characters"]), list(reader.classes)
    kinds = {action: kind for kind, own in reader.classes.items() for action in own}
    found = []
    for segment, own in enumerate(story.segments):
        numbers = [48 * segment + 2 * (frame + 1) for frame in range(READ_FRAMES)]
        pixels = torch.from_numpy(np.stack([renderer.frame(number) for number in numbers]))
        drawn = torch.zeros(len(characters), len(names))
        for number in numbers:
            for one in renderer.truth(number).characters:
                if one.action and one.box and (one.fraction >= LEAST_FRACTION or one.action in ("hide", "peek")):
                    drawn[characters.index(one.species), names.index(kinds[one.action])] += 1
        told = tuple(in_kinds([(ROLE_OF[name].species, action) for name, action in own.actions], kinds))
        found.append(Segment(reader.scores(pixels), drawn, told))
    return found


def calibrated(segments: list[Segment]) -> list[float]:
    """The threshold of each action with the best F1."""
    scores, frames = (torch.stack([getattr(own, name) for own in segments]) for name in ("scores", "frames"))
    found = []
    for action in range(scores.shape[-1]):
        yes = scores[..., action][frames[..., action] >= SEEN_FRAMES]
        no = scores[..., action][frames[..., action] == 0]
        grid = torch.arange(0.1, 0.91, 0.02)
        f1 = [2 * (yes >= t).sum() / ((yes >= t).sum() + (no >= t).sum() + len(yes)).clamp_min(1) for t in grid]
        found.append(round(float(grid[int(torch.stack(f1).argmax())]), 2))
    return found


def report(reader: ActionReader, stories: list[list[Segment]]) -> dict[str, object]:
    characters, actions = list(reader.config["characters"]), list(reader.classes)
    kinds = {action: kind for kind, own in reader.classes.items() for action in own}
    segments = [own for story in stories for own in story]
    right, asked, taken_for = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    real = seen_all = chance_right = chance_count = 0
    for story in stories:
        own_right, own_count = by_chance([reader.read(own.scores) for own in story], kinds)
        chance_right, chance_count = chance_right + own_right, chance_count + own_count
    for own in segments:
        seen = reader.read(own.scores)
        for species, action in own.told:
            asked[action] += 1
            if action in seen[species]:
                right[action] += 1
            else:
                row = own.scores[characters.index(species)]
                taken_for[action, actions[int(row.argmax())] if row.max() > 0.1 else "nobody"] += 1
        for species, doing in seen.items():
            for action in doing:
                seen_all += 1
                real += bool(own.frames[characters.index(species), actions.index(action)] > 0)
    told, floor = Share(right.total(), asked.total()), Share(chance_right, chance_count)
    drawn = Share(real, max(1, seen_all))
    print(f"told and seen: {told}; by chance {floor}; of those seen really drawn: {drawn}\n")
    print("| Kind of action | Told and seen | Else taken for |\n|---|---|---|")
    for action in sorted(asked, key=lambda name: -asked[name]):
        wrong = ", ".join(f"{own[1]} {n}" for own, n in taken_for.most_common() if own[0] == action)
        print(f"| {action} | {right[action]} of {asked[action]} | {wrong} |")
    return {"told": [told.right, told.count], "chance": floor.value, "drawn": [drawn.right, drawn.count]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stories", type=int, default=12)
    parser.add_argument("--segments", type=int, default=21)
    parser.add_argument("--first-seed", type=int, default=TEST_SEED)
    parser.add_argument("--size", default="192x128")
    parser.add_argument("--reader", type=Path, default=ACTION_READER)
    parser.add_argument("--calibrate", action="store_true")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    reader = load_action_reader(options.reader)
    seeds = range(options.first_seed, options.first_seed + options.stories)
    stories = [read_story(reader, seed, options.segments, height, width) for seed in seeds]
    if options.calibrate:
        path = options.reader / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        least = calibrated([own for story in stories for own in story])
        config["thresholds"] = dict(zip(reader.classes, least, strict=True))
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        reader = load_action_reader(options.reader)
    print(json.dumps(report(reader, stories)))


if __name__ == "__main__":
    main()
