"""Cartoons on disk: for each story an MP4, its storyboard and its ground truth, drawn on all cores.

    OUT/toons.json                the settings that all stories of the folder share
    OUT/story_00000007.mp4        H.264, yuv420p, 16 fps, 48 frames a segment and one more
    OUT/story_00000007.json       the storyboard that `storyreel generate` reads
    OUT/story_00000007.truth.json.gz   the whole story record and what every frame shows

A file appears under its name only when it is complete. The MP4 comes last, so a story with an MP4 is a finished one.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storyreel.errors import ConfigError, OutputError, refusal
from storyreel.geometry import FRAMES_PER_SECOND, SEGMENT_SECONDS, check_seconds
from storyreel.processes import each
from storyreel.toons.grammar import make_story
from storyreel.toons.script import Story

FRAMES_AT_ONCE = SEGMENT_SECONDS * FRAMES_PER_SECOND
CRF = 12
"""H.264 quality of the cartoons: no loss that the autoencoder could learn."""
# With a look-ahead the encoder's choices for small frames are not the same every time.
_X264 = {"crf": str(CRF), "preset": "veryfast", "x264-params": "rc-lookahead=0:sync-lookahead=0"}
SETTINGS = "toons.json"


@dataclass(frozen=True)
class Written:
    """What a run did: how many stories it drew and how many it found complete."""

    drawn: int
    found: int


@dataclass(frozen=True)
class _Job:
    """One story to draw; small and plain, because it is sent to another process."""

    folder: Path
    seed: int
    segments: int
    height: int
    width: int


def write_stories(
    out: str | os.PathLike[str],
    stories: int,
    seconds: int,
    height: int,
    width: int,
    *,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Draws the stories of seeds seed, seed + 1, ... of so many seconds into a folder; complete ones are kept.

    `workers` is the number of processes (default: all cores; 1: this process alone). `progress(done, stories)` is
    called once at the start and after each story. ConfigError for sizes that H.264 or the grammar cannot have,
    GeometryError for seconds that are no multiple of 3, OutputError for a folder that holds other toons or cannot be
    written.
    """
    check_seconds(seconds)
    _check_sizes(stories, height, width)
    folder = Path(out)
    segments = seconds // SEGMENT_SECONDS
    _claim(folder, {"seconds": seconds, "width": width, "height": height})
    jobs = [_Job(folder, own, segments, height, width) for own in range(seed, seed + stories)]
    missing = [job for job in jobs if not _path(job, ".mp4").exists()]
    done = found = stories - len(missing)
    if progress:
        progress(done, stories)
    for _ in each(_draw, missing, workers, tidy=True):
        done += 1
        if progress:
            progress(done, stories)
    return Written(len(missing), found)


def storyboard_of(story: Story) -> dict[str, Any]:
    """A story as the JSON of a storyboard: title, and text and scene start of each segment."""
    segments = [{"text": own.text, "scene_start": story.starts_scene(i)} for i, own in enumerate(story.segments)]
    return {"title": story.title, "segments": segments}


def _check_sizes(stories: int, height: int, width: int) -> None:
    if stories < 1:
        raise ConfigError(refusal("--stories", stories, "it must be at least 1", "Try 10"))
    for name, pixels in (("height", height), ("width", width)):
        if pixels < 32 or pixels % 2:
            raise ConfigError(
                refusal(name, f"{pixels} pixels", "H.264 needs an even number of at least 32", "Try 192x128")
            )


def _claim(folder: Path, settings: dict[str, int]) -> None:
    """Makes the folder and its settings file; refuses a folder with stories of other settings."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = folder / SETTINGS
        if not known.exists():
            with _aside(known) as part:
                part.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
            return
        found = json.loads(known.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OutputError(f"{folder} cannot hold toons: {error}. Choose another folder.") from error
    if found != settings:
        raise OutputError(f"{folder} holds toons of {found}, but these would be {settings}. Choose another folder.")


def _path(job: _Job, ending: str) -> Path:
    return job.folder / f"story_{job.seed:08d}{ending}"


def _draw(job: _Job) -> int:
    from storyreel.toons.renderer import StoryRenderer

    story = make_story(job.seed, job.segments)
    renderer = StoryRenderer(story, job.height, job.width)
    frames = FRAMES_AT_ONCE * job.segments + 1
    with _aside(_path(job, ".json")) as part:
        part.write_text(json.dumps(storyboard_of(story), indent=1) + "\n", encoding="utf-8")
    with _aside(_path(job, ".truth.json.gz")) as part:
        truth = {
            "story": dataclasses.asdict(story),
            "frames": [dataclasses.asdict(renderer.truth(k)) for k in range(frames)],
        }
        # Without a time stamp the same story is the same file.
        with part.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
            packed.write(json.dumps(truth, separators=(",", ":")).encode())
    with _aside(_path(job, ".mp4")) as part:
        write_video(part, renderer, frames, job.height, job.width)
    return job.seed


def write_video(path: Path, renderer: Any, frames: int, height: int, width: int) -> None:
    """So many frames of a StoryRenderer as H.264 in an MP4, a segment of frames in memory at a time."""
    import av

    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options=_X264)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        # Every worker has a core of its own.
        stream.thread_count = 1
        for start in range(0, frames, FRAMES_AT_ONCE):
            for picture in renderer.render(start, min(frames, start + FRAMES_AT_ONCE)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A path to write to that becomes `path` when all is well, and vanishes when not."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
