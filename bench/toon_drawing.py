"""How many cartoon frames a second one core draws: `python bench/toon_drawing.py [STORIES [WIDTHxHEIGHT]]`.

Time of this process's CPU, painting of the places included; the last line is JSON.
"""

from __future__ import annotations

import json
import platform
import sys
import time

from storyreel.toons.grammar import make_story
from storyreel.toons.renderer import StoryRenderer


def main(stories: int = 4, size: str = "192x128") -> None:
    width, height = map(int, size.split("x"))
    drawn, seconds, measured, truth_seconds = 0, 0.0, 0, 0.0
    for seed in range(stories):
        story = make_story(seed, 21)
        start = time.process_time()
        renderer = StoryRenderer(story, height, width)
        for first in range(0, renderer.frames, 48):
            drawn += len(renderer.render(first, min(renderer.frames, first + 48)))
        seconds += time.process_time() - start
        start = time.process_time()
        for k in range(0, renderer.frames, 16):
            renderer.truth(k)
            measured += 1
        truth_seconds += time.process_time() - start
    figures = {
        "size": size,
        "stories": stories,
        "frames_a_second": round(drawn / seconds),
        "truth_ms": round(1e3 * truth_seconds / measured, 2),
    }
    print(
        json.dumps(
            {**figures, "machine": platform.processor() or platform.machine(), "python": platform.python_version()}
        )
    )


if __name__ == "__main__":
    main(*(kind(value) for kind, value in zip((int, str), sys.argv[1:], strict=False)))
