"""`storyreel toons`: procedural cartoons with storyboards and ground truth, to train and to test on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from storyreel.cli.machine import check_workers
from storyreel.errors import ConfigError, refusal
from storyreel.wording import counted


@dataclass(frozen=True)
class Toons:
    """Draw cartoons from a story grammar: MP4, storyboard and ground truth for each story.

    A folder that holds some of the stories already gets only those that are missing.

    Example: storyreel toons cartoons --stories 10 --seconds 9
    """

    out: Annotated[Path, tyro.conf.Positional]
    """Folder for the stories; made if there is none."""
    stories: int = 10
    """How many stories."""
    seconds: int = 9
    """Length of each story, a multiple of 3."""
    size: str = "192x128"
    """Width and height in pixels, as WIDTHxHEIGHT."""
    seed: int = 0
    """The first story's seed; the others follow."""
    workers: int | None = None
    """Processes that draw (default: one a core)."""


def run(options: Toons) -> int:
    """Draws what is missing, with a progress bar; prints what was done."""
    from storyreel.cli.progress import Counter, open_progress
    from storyreel.toons.writer import write_stories

    width, height = parse_size(options.size)
    check_workers(options.workers)
    with open_progress() as progress:
        progress.stage("drawing stories", options.stories)
        counter = Counter(progress)
        written = write_stories(
            options.out, options.stories, options.seconds, height, width,
            seed=options.seed, workers=options.workers, progress=lambda done, _: counter(done),
        )  # fmt: skip
    were = "was" if written.found == 1 else "were"
    kept = f" ({written.found} {were} there already)" if written.found else ""
    stories = counted(options.stories, "story", "stories")
    print(f"{options.out}: {stories} of {options.seconds} s, {written.drawn} drawn now{kept}")
    return 0


def parse_size(size: str) -> tuple[int, int]:
    """(width, height) of "WIDTHxHEIGHT"; ConfigError for anything else.

    >>> parse_size("192x128")
    (192, 128)
    """
    found = re.fullmatch(r"(\d+)x(\d+)", size)
    if found is None:
        raise ConfigError(refusal("--size", size, "it must be WIDTHxHEIGHT in pixels", "Try 192x128"))
    return int(found[1]), int(found[2])
