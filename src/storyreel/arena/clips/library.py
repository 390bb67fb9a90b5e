"""The folder of a study's clips: made once, kept by the content of the given videos, found again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from storyreel.arena.clips.encode import RECIPE, encode
from storyreel.arena.clips.pack import pack
from storyreel.arena.clips.shape import ClipShape, common_shape
from storyreel.arena.clips.source import Source, look_at
from storyreel.data.files import locked, write_whole

Videos = Mapping[tuple[str, str], Path]
LIST = "story.json"
NO_TIME = (0, 0)


@dataclass(frozen=True)
class Clip:
    """A file to be served: an MP4 of `size` bytes and `seconds` at `rate` frames a second, width x height pixels."""

    path: Path
    size: int
    seconds: float
    rate: float
    width: int
    height: int


def prepare(
    videos: Videos, folder: Path, on_story: Callable[[int], None] = lambda done: None
) -> dict[tuple[str, str], Clip]:
    """Clips of all `videos` (method, story), those of a story alike; `on_story` hears how many stories are done.

    Every video is looked at before the first is encoded. What is in `folder` already is not made again; killed and run
    again, it goes on with the story that it was at.
    DataError: see `source.look_at`, `shape.common_shape`; another run at work in the same folder.
    """
    stories: dict[str, dict[str, Source]] = {}
    for (method, story), path in videos.items():
        stories.setdefault(story, {})[method] = look_at(path)
    shapes = {story: common_shape(story, list(sources.values())) for story, sources in stories.items()}
    clips: dict[tuple[str, str], Clip] = {}
    with locked(folder):
        for done, (story, sources) in enumerate(stories.items(), 1):
            made = _story(sources, shapes[story], folder)
            clips |= {(method, story): clip for method, clip in made.items()}
            on_story(done)
    return clips


def _story(sources: Mapping[str, Source], shape: ClipShape, folder: Path) -> dict[str, Clip]:
    distinct = sorted({source.sha256 for source in sources.values()})
    own = folder / hashlib.sha256("\n".join([RECIPE, *distinct]).encode()).hexdigest()[:32]
    sizes = _kept(own)
    if sizes is None:
        by_hash = {source.sha256: source for source in sources.values()}
        files = dict(zip(distinct, pack([encode(by_hash[name], shape) for name in distinct]), strict=True))
        for name, data in files.items():
            path = own / f"{name}.mp4"
            write_whole(path, data)
            os.utime(path, NO_TIME)
        sizes = {name: len(data) for name, data in files.items()}
        write_whole(own / LIST, json.dumps(sizes) + "\n")
    return {
        method: Clip(
            own / f"{source.sha256}.mp4", sizes[source.sha256], shape.seconds, float(Fraction(shape.rate)),
            shape.width, shape.height,
        )
        for method, source in sources.items()
    }  # fmt: skip


def _kept(own: Path) -> dict[str, int] | None:
    """Sizes of a story's files by content hash, or None unless all of them are there, whole."""
    try:
        sizes: dict[str, int] = json.loads((own / LIST).read_bytes())
        whole = all((own / f"{name}.mp4").stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return None
    return sizes if whole else None
