"""Frames a second of each part of `storyreel evaluate DIR`, on one core, over a drawn cartoon.

    python bench/metric_speed.py --size 720x480 --seconds 9

Processor time, so that other work on the machine counts little. Prints a table in Markdown and one JSON line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import torch

from storyreel.assets import DEMO_PROBE
from storyreel.data.looks import look_at
from storyreel.evaluation.metrics.actions import shrunk
from storyreel.evaluation.metrics.frames import SAMPLED_OFFSETS, Frames
from storyreel.evaluation.metrics.signals import SignalMeter, small_of, still_regions, through_motion
from storyreel.evaluation.metrics.stories import story_of
from storyreel.evaluation.metrics.toon_readings import ColourReader
from storyreel.evaluation.metrics.video import PICTURES_AT_ONCE, measure_video, open_eyes, small_frame
from storyreel.geometry import FRAMES_PER_SECOND, SEGMENT_SECONDS
from storyreel.toons.writer import write_stories

SHARE_SAMPLED = len(SAMPLED_OFFSETS) / (SEGMENT_SECONDS * FRAMES_PER_SECOND)


def rate(count: float, work: Callable[[], Any]) -> float:
    """Frames a second of processor time when `work` does so many frames."""
    start = time.process_time()
    work()
    return count / (time.process_time() - start)


def each(function: Callable[..., Any], items: Iterable[Any]) -> Callable[[], None]:
    def work() -> None:
        for item in items:
            function(item)

    return work


def speeds(video: Path) -> dict[str, float]:
    """By part; those that look at sampled frames alone are told per frame of the video."""
    eyes, story = open_eyes(None, DEMO_PROBE, torch.device("cpu")), story_of(video)
    assert story is not None
    frames = list(Frames(video))
    small = [small_of(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)) for frame in frames]
    count, batch = len(frames), frames[:PICTURES_AT_ONCE]
    eyes.probe(batch)
    meter, colours = SignalMeter(), ColourReader(story)
    views = ((number, small_frame(frame)) for number, frame in enumerate(frames))
    return {
        "decoding": rate(count, lambda: list(Frames(video))),
        "cuts": rate(count, lambda: look_at(views, video_rate(video), adaptive_threshold=3.0, least_change=15.0)),
        "flicker_static": rate(count - 1, each(lambda k: still_regions(small[k - 1], small[k]), range(1, count))),
        "motion_smoothness, motion_amount": rate(
            count - 2, each(lambda k: through_motion(*small[k - 1 : k + 2]), range(1, count - 1))
        ),
        "all of flicker, frozen, seams, motion, sharpness": rate(count, each(meter.add, frames)),
        "features and place, characters (probe)": rate(len(batch) / SHARE_SAMPLED, lambda: eyes.probe(batch)),
        "colours, memory": rate(
            len(batch) / SHARE_SAMPLED, each(lambda k: colours.add(k, 0, frames[k]), range(len(batch)))
        ),
        "actions": rate(48, lambda: eyes.actions.see([shrunk(frame) for frame in frames[2:49:2]])),
        "everything": rate(count, lambda: measure_video(video, story, eyes)),
    }


def video_rate(video: Path) -> Any:
    frames = Frames(video)
    next(iter(frames))
    return frames.grid.rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", nargs="+", default=["192x128", "720x480"])
    parser.add_argument("--seconds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    found = {}
    for size in options.size:
        width, height = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            write_stories(folder, 1, options.seconds, height, width, workers=1)
            found[size] = speeds(next(Path(folder).glob("*.mp4")))
    print(f"| Part | {' | '.join(found)} |\n|---|{'---|' * len(found)}")
    for part in next(iter(found.values())):
        print(f"| {part} | {' | '.join(f'{own[part]:.0f}' for own in found.values())} |")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
