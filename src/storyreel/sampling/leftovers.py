"""What a run that was killed left beside its video: how the next run knows it, and removes it.

Every file is made aside, as `.NAME.PID.part`, and renamed when it is whole. While a run goes on, the one of its video
is there from the start; one whose process is gone tells of a run that ended without a word.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path


def aside(path: Path) -> Path:
    """Where this process makes a file that will be `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


@contextlib.contextmanager
def marked(video: Path) -> Iterator[None]:
    """While the block runs, there is the video's file aside, at first empty; after it there is none."""
    marker = aside(video)
    marker.touch()
    try:
        yield
    finally:
        marker.unlink(missing_ok=True)


def clear_leftovers(video: Path, preview: Path, others: Sequence[Path] = ()) -> str:
    """Removes what a killed run to `video` left half-made; one line about it, empty where there was none.

    The preview goes too, unless a run that still goes on may want it. Files that cannot be removed stay.
    """
    unfinished = [found for path in (video, preview, *others) for found in _asides(path)]
    if not unfinished:
        return ""
    dead = [part for part, process in unfinished if not _is_alive(process)]
    gone = [part for part in dead if _removed(part)]
    if len(gone) == len(unfinished):
        _removed(preview)
    if not gone:
        return ""
    return f"The last run of {video} ended without a word, probably killed for memory; what it left is removed."


def _asides(path: Path) -> Iterator[tuple[Path, int]]:
    """Every file aside of `path`, with the number of the process that made it."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.part")
    with contextlib.suppress(OSError):
        for entry in path.parent.iterdir():
            if found := pattern.fullmatch(entry.name):
                yield entry, int(found[1])


def _is_alive(process: int) -> bool:
    """Whether another process of this number runs. In a container each run may have the same number, this one's."""
    if process == os.getpid():
        return False
    if sys.platform == "win32":
        return False  # a signal would end it, and Windows keeps a file that a process holds open from being removed
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True
