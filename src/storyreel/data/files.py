"""Files that are whole or not there: written aside, flushed to the disk, renamed."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from storyreel.errors import DataError

LOCK = ".lock"


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to that becomes `path` when all is well, and vanishes when not; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        part.replace(path)
        _flush_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Replaces a file by `content` (text as UTF-8, line ends as given), whole or not at all."""
    data = content.encode() if isinstance(content, str) else content
    with whole(path) as part:
        part.write_bytes(data)


def _flush_folder(folder: Path) -> None:
    """A rename is on the disk when its folder is. Windows cannot open folders, and keeps them itself."""
    if sys.platform == "win32":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sweep(folder: Path, subfolders: Iterable[str], keep: set[str]) -> None:
    """Removes what killed or older runs left: every file aside in `folder`, and in `subfolders` all but `keep`.

    `keep` holds paths relative to `folder` with forward slashes. Folders that are empty then go too.
    """
    for part in folder.rglob(".*.part"):
        part.unlink(missing_ok=True)
    for name in subfolders:
        for path in sorted((folder / name).rglob("*"), reverse=True):
            if path.is_dir():
                with contextlib.suppress(OSError):
                    path.rmdir()
            elif path.relative_to(folder).as_posix() not in keep:
                path.unlink()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """While the block runs no other process enters it for the same folder; DataError for whoever comes second.

    The system takes the lock back when a process ends, however it ends. Without fcntl (Windows) there is no lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"another run writes to {folder} now. Wait for it, or choose another folder.") from error
        yield
