"""Metrics of a folder of videos: `storyreel evaluate DIR` is a thin wrapper.

Videos lie in the folder or, for several methods, in a folder a method. The result of each is written as soon as it is
there; a run that was stopped goes on with the next, and only what has changed is measured again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import av
from av.error import FFmpegError

from storyreel.data.files import locked
from storyreel.errors import DataError, Stopped, StoryboardError
from storyreel.evaluation.metrics.records import fingerprint_of, read_result, write_result
from storyreel.evaluation.metrics.stories import story_of
from storyreel.evaluation.metrics.video import Eyes, VideoResult, measure_video
from storyreel.sampling.progress import Progress
from storyreel.wording import counted

SUFFIXES = (".mp4", ".mkv", ".mov", ".webm")
PARTIAL = ".partial"


@dataclass(frozen=True)
class Evaluation:
    """What is known of a folder's videos. Names are paths relative to it, with forward slashes; `broken` says why."""

    folder: Path
    eyes: Eyes
    videos: dict[str, VideoResult] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def methods(self) -> dict[str, dict[str, VideoResult]]:
        """The videos of each method, by name; videos that lie in the folder itself are those of the folder's name."""
        found: dict[str, dict[str, VideoResult]] = {}
        for name, result in self.videos.items():
            found.setdefault(method_of(name) or self.folder.resolve().name, {})[name] = result
        return found


def method_of(name: str) -> str:
    """The folder of a video within the folder of all; empty for one that lies in that itself."""
    return name.rpartition("/")[0]


def find_videos(folder: Path) -> list[Path]:
    """Videos in `folder` and in its folders, sorted; hidden ones and those of stopped runs left out.

    DataError: it is no folder, or holds no video.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder. Give one that holds videos, or a folder of them for each method.")
    found = sorted(
        path
        for path in [*folder.glob("*"), *folder.glob("*/*")]
        if path.suffix.lower() in SUFFIXES
        and PARTIAL not in path.suffixes
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    if not found:
        raise DataError(f"{folder} holds no video ({', '.join(SUFFIXES)}). Give a folder that does.")
    return found


def evaluate_videos(folder: Path, results: Path, eyes: Eyes, progress: Progress) -> Evaluation:
    """Measures what is not measured yet, and writes RESULTS/NAME.json for each video.

    Videos that cannot be measured are named, and the others go on. Ctrl-C is a Stopped that says what is kept.
    """
    videos = find_videos(folder)
    found = Evaluation(folder, eyes)
    progress.stage(f"measure {counted(len(videos), 'video')}", sum(map(_frames_of, videos)))
    try:
        with locked(results):
            for path in videos:
                _measure(path, results, found, progress)
    except KeyboardInterrupt:
        done = counted(len(found.videos), "video")
        raise Stopped(f"{results} has the results of {done} of {len(videos)}; the same line goes on.") from None
    return found


def _measure(path: Path, results: Path, found: Evaluation, progress: Progress) -> None:
    name = path.relative_to(found.folder).as_posix()
    kept = results / f"{name}.json"
    try:
        fingerprint = fingerprint_of(path, found.eyes)
        result = read_result(kept, fingerprint)
        if result is None:
            result = measure_video(path, story_of(path), found.eyes, progress.advance)
            write_result(kept, result, fingerprint)
        else:
            progress.advance(result.shape.frames)
        found.videos[name] = result
    except (DataError, StoryboardError) as error:
        found.broken[name] = str(error)
        progress.note(f"left out: {error}")


def _frames_of(path: Path) -> int:
    """How many frames a video says that it has; 0 where it does not say."""
    try:
        with av.open(str(path.resolve()), metadata_errors="ignore") as container:
            return container.streams.video[0].frames
    except (FFmpegError, OSError, IndexError):
        return 0
