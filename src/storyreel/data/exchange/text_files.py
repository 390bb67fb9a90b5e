"""Data sets whose texts are plain text files: finetrainers and CogVideo, and pairs of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from storyreel.data.exchange.clip import VIDEOS, Convention, PairedClip, checked, one_line, read_text
from storyreel.data.files import write_whole
from storyreel.errors import DataError

TEXTS = ("prompts.txt", "prompt.txt", "captions.txt", "caption.txt")
LISTS = ("videos.txt", "video.txt")


def _first(folder: Path, names: Sequence[str]) -> Path:
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise DataError(f"{folder} has no {' or '.join(names)}. Give the folder of such a data set.")
    return found[0]


def read_line_files(folder: Path) -> list[PairedClip]:
    """prompts.txt and videos.txt, a line a clip. A blank line is refused: some loaders skip it, and shift all pairs."""
    texts, videos = _first(folder, TEXTS), _first(folder, LISTS)
    lines = {path: read_text(path).splitlines() for path in (texts, videos)}
    for path, own in lines.items():
        if "" in (line.strip() for line in own):
            number = next(number for number, line in enumerate(own, start=1) if not line.strip())
            raise DataError(f"{path}, line {number} is blank, so the pairs behind it may be shifted. Mend it.")
    if len(lines[texts]) != len(lines[videos]):
        raise DataError(f"{texts} has {len(lines[texts])} lines, but {videos} has {len(lines[videos])}. Mend them.")
    pairs = zip(lines[videos], lines[texts], strict=True)
    return list(checked([PairedClip(video.strip(), text.strip()) for video, text in pairs]))


def write_line_files(folder: Path, clips: Sequence[PairedClip]) -> None:
    checked(clips)
    write_whole(folder / "prompts.txt", "".join(one_line(clip) + "\n" for clip in clips))
    write_whole(folder / "videos.txt", "".join(clip.video + "\n" for clip in clips))


def read_pairs(folder: Path) -> list[PairedClip]:
    """a.mp4 beside a.txt, or videos/a.mp4 and labels/a.txt; a video without its text is refused."""
    clips = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in VIDEOS:
            continue
        beside = path.with_suffix(".txt")
        if not beside.is_file() and path.parent.name == "videos":
            beside = path.parent.parent / "labels" / f"{path.stem}.txt"
        if not beside.is_file():
            raise DataError(f"{path} has no {path.stem}.txt. Write one, or move the video away.")
        clips.append(PairedClip(path.relative_to(folder).as_posix(), read_text(beside).strip()))
    if not clips:
        raise DataError(f"{folder} has no video. Give the folder of such a data set.")
    return list(checked(clips))


def write_pairs(folder: Path, clips: Sequence[PairedClip]) -> None:
    """One line a text, for loaders that read the first line alone."""
    for clip in checked(clips):
        write_whole((folder / clip.video).with_suffix(".txt"), one_line(clip) + "\n")


FINETRAINERS = Convention("finetrainers", (), read_line_files, write_line_files)
PAIRS = Convention("pairs", (), read_pairs, write_pairs)
