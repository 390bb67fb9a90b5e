"""Data sets whose texts are records: musubi-tuner, LTX, FastVideo, Open-Sora, Hugging Face."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from storyreel.data.exchange.clip import (
    Convention,
    PairedClip,
    checked,
    read_json,
    read_lines,
    read_text,
    sizes_of,
    value_of,
)
from storyreel.data.files import write_whole
from storyreel.errors import DataError
from storyreel.geometry import FRAMES_PER_SECOND

SIZES = ("frames", "fps", "height", "width")


def _write_lines(path: Path, records: Sequence[dict[str, Any]]) -> None:
    write_whole(path, "".join(json.dumps(own, ensure_ascii=False) + "\n" for own in records))


def _pairs(
    records: Iterable[tuple[str, dict[str, Any]]], videos: tuple[str, ...], texts: tuple[str, ...]
) -> list[PairedClip]:
    """Clips of records (place, fields), by the first of these fields that each has."""
    return list(checked([PairedClip(value_of(own, at, *videos), value_of(own, at, *texts)) for at, own in records]))


def read_musubi(folder: Path) -> list[PairedClip]:
    """dataset.jsonl of musubi-tuner: video_path and caption."""
    return _pairs(read_lines(folder / "dataset.jsonl"), ("video_path",), ("caption",))


def write_musubi(folder: Path, clips: Sequence[PairedClip]) -> None:
    """dataset.jsonl and the dataset.toml that names it; frames and size are those of the first clip."""
    _write_lines(
        folder / "dataset.jsonl", [{"video_path": clip.video, "caption": clip.text} for clip in checked(clips)]
    )
    frames, fps, height, width = sizes_of(clips[0]) if clips else (49, FRAMES_PER_SECOND, 480, 720)
    lines = [
        "[general]",
        f"resolution = [{width}, {height}]",
        "",
        "[[datasets]]",
        'video_jsonl_file = "dataset.jsonl"',
        'cache_directory = "cache"',
        f"target_frames = [{frames}]",
        'frame_extraction = "head"',
        f"source_fps = {float(fps)}",
    ]
    write_whole(folder / "dataset.toml", "\n".join(lines) + "\n")


def _read_table(path: Path) -> list[tuple[str, dict[str, Any]]]:
    rows = csv.DictReader(io.StringIO(read_text(path)))
    return [(f"{path}, row {number}", dict(own)) for number, own in enumerate(rows, start=1)]


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    write_whole(path, text.getvalue())


def read_ltx(folder: Path) -> list[PairedClip]:
    """dataset.csv, .jsonl or .json of LTX: video (once media_path) and caption."""
    for name in ("dataset.csv", "dataset.jsonl", "dataset.json"):
        path = folder / name
        if not path.is_file():
            continue
        if name.endswith("csv"):
            records = _read_table(path)
        elif name.endswith("jsonl"):
            records = list(read_lines(path))
        else:
            records = [(f"{path}, entry {number}", own) for number, own in enumerate(read_json(path), start=1)]
        return _pairs(records, ("video", "media_path"), ("caption",))
    raise DataError(f"{folder} has no dataset.csv, dataset.jsonl or dataset.json. Give the folder of such a data set.")


def write_ltx(folder: Path, clips: Sequence[PairedClip]) -> None:
    _write_table(folder / "dataset.csv", ("video", "caption"), [(clip.video, clip.text) for clip in checked(clips)])


def read_fastvideo(folder: Path) -> list[PairedClip]:
    """videos2caption.json of FastVideo; paths are in videos/. Of several captions the first counts."""
    path = folder / "videos2caption.json"
    clips = []
    for number, own in enumerate(read_json(path), start=1):
        where = f"{path}, entry {number}"
        text = value_of(own, where, "cap")
        fps, seconds, size = own.get("fps"), own.get("duration"), own.get("resolution") or {}
        clips.append(
            PairedClip(
                f"videos/{value_of(own, where, 'path')}",
                text[0] if isinstance(text, list) else text,
                frames=None if fps is None or seconds is None else round(fps * seconds),
                fps=fps,
                height=size.get("height"),
                width=size.get("width"),
            )
        )
    return list(checked(clips))


def write_fastvideo(folder: Path, clips: Sequence[PairedClip]) -> None:
    """DataError for a video that does not lie in videos/."""
    records = []
    for clip in checked(clips):
        frames, fps, height, width = sizes_of(clip)
        if not clip.video.startswith("videos/"):
            raise DataError(f"{clip.video} does not lie in videos/, where FastVideo looks. Move it there.")
        records.append(
            {
                "path": clip.video.removeprefix("videos/"),
                "cap": [clip.text],
                "fps": fps,
                "duration": frames / fps,
                "num_frames": frames,
                "resolution": {"height": height, "width": width},
            }
        )
    write_whole(folder / "videos2caption.json", json.dumps(records, ensure_ascii=False, indent=1) + "\n")


OPEN_SORA = ("path", "text", "num_frames", "height", "width", "aspect_ratio", "resolution", "fps")


def read_open_sora(folder: Path) -> list[PairedClip]:
    """meta.csv of Open-Sora; further columns are not looked at."""
    clips = []
    for where, own in _read_table(folder / "meta.csv"):
        numbers = {}
        for name, kind in (("num_frames", int), ("fps", float), ("height", int), ("width", int)):
            numbers[name] = _number(own, where, name, kind)
        clips.append(
            PairedClip(
                value_of(own, where, "path"),
                value_of(own, where, "text"),
                frames=numbers["num_frames"],
                fps=numbers["fps"],
                height=numbers["height"],
                width=numbers["width"],
            )
        )
    return list(checked(clips))


def _number(record: dict[str, Any], where: str, name: str, kind: Callable[[float], Any]) -> Any:
    value = record.get(name)
    if value in (None, ""):
        return None
    try:
        return kind(float(value))
    except ValueError:
        raise DataError(f"{where}: {name} is {value}, which is no number. Mend it.") from None


def write_open_sora(folder: Path, clips: Sequence[PairedClip]) -> None:
    """aspect_ratio is height / width there, resolution height x width."""
    rows = []
    for clip in checked(clips):
        frames, fps, height, width = sizes_of(clip)
        rows.append((clip.video, clip.text, frames, height, width, height / width, height * width, fps))
    _write_table(folder / "meta.csv", OPEN_SORA, rows)


def read_hugging_face(folder: Path) -> list[PairedClip]:
    """metadata.jsonl or metadata.csv of a Hugging Face video folder: file_name, and text or caption."""
    path = folder / "metadata.jsonl"
    records = list(read_lines(path)) if path.is_file() else _read_table(folder / "metadata.csv")
    return _pairs(records, ("file_name",), ("text", "caption"))


def write_hugging_face(folder: Path, clips: Sequence[PairedClip]) -> None:
    _write_lines(folder / "metadata.jsonl", [{"file_name": clip.video, "text": clip.text} for clip in checked(clips)])


MUSUBI = Convention("musubi", (), read_musubi, write_musubi)
LTX = Convention("ltx", (), read_ltx, write_ltx)
FASTVIDEO = Convention("fastvideo", SIZES, read_fastvideo, write_fastvideo)
OPENSORA = Convention("open-sora", SIZES, read_open_sora, write_open_sora)
HUGGING_FACE = Convention("hugging-face", (), read_hugging_face, write_hugging_face)
