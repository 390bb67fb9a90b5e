"""The files of the paper's authors (test-time-training/ttt-video-dit): annotations of 3 s clips, and training lines.

Their documentation and their code disagree about annotations: documented are JSON lines with `text_0`, `text_1`, ...
and lists of marks, a line a video; read is one JSON object with an entry a clip. Here are both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storyreel.data.exchange.clip import Convention, PairedClip, checked, read_json, read_lines, value_of
from storyreel.data.files import write_whole
from storyreel.errors import DataError
from storyreel.geometry import SEGMENT_SECONDS, check_seconds

ANNOTATIONS, TRAINING = "annotations.json", "training.jsonl"


def read_annotations(folder: Path) -> list[PairedClip]:
    """annotations.json as their code reads it: {key: {mp4, text, scene_start, scene_end}}."""
    path = folder / ANNOTATIONS
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path} is no JSON object of clips. Give it as data/precomp_text.py reads it.")
    clips = []
    for key, own in content.items():
        where = f"{path}, {key}"
        marks = [own.get("scene_start"), own.get("scene_end")]
        if not all(isinstance(mark, bool) for mark in marks):
            raise DataError(f"{where}: scene_start and scene_end must be true or false. Mend them.")
        clips.append(
            PairedClip(value_of(own, where, "mp4"), value_of(own, where, "text"), starts=marks[0], ends=marks[1])
        )
    return list(checked(clips))


def write_annotations(folder: Path, clips: Sequence[PairedClip]) -> None:
    """Keys are the videos' names without ending; DataError where marks are not known or two names are equal."""
    content: dict[str, Any] = {}
    for clip in checked(clips):
        key = Path(clip.video).stem
        if clip.starts is None or clip.ends is None:
            raise DataError(f"{clip.video}: this format needs to know whether it begins or ends a scene. Say it.")
        if key in content:
            raise DataError(f"two videos are named {key}, and the name is their key. Rename one.")
        content[key] = {"mp4": clip.video, "text": clip.text, "scene_start": clip.starts, "scene_end": clip.ends}
    write_whole(folder / ANNOTATIONS, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def read_documented(path: Path) -> list[list[PairedClip]]:
    """The JSON lines of their documentation, a line a video: texts and marks of its segments; no video is named."""
    videos = []
    for where, own in read_lines(path):
        starts, ends = value_of(own, where, "scene_start"), value_of(own, where, "scene_end")
        texts = [value_of(own, where, f"text_{number}") for number in range(len(starts))]
        if len(ends) != len(starts) or f"text_{len(starts)}" in own:
            raise DataError(f"{where} has not as many texts, starts and ends. Mend it.")
        marks = zip(texts, starts, ends, strict=True)
        videos.append([PairedClip("", text, starts=start, ends=end) for text, start, end in marks])
    return videos


def write_documented(path: Path, videos: Sequence[Sequence[PairedClip]]) -> None:
    lines = []
    for clips in videos:
        record: dict[str, Any] = {
            "scene_start": [bool(clip.starts) for clip in clips],
            "scene_end": [bool(clip.ends) for clip in clips],
        }
        lines.append(json.dumps(record | {f"text_{i}": clip.text for i, clip in enumerate(clips)}, ensure_ascii=False))
    write_whole(path, "".join(line + "\n" for line in lines))


@dataclass(frozen=True)
class TrainingLine:
    """Paths of an example's latents and of its texts' embeddings, relative to the data set."""

    latents: str
    texts: tuple[str, ...]


def read_training(path: Path, seconds: int) -> list[TrainingLine]:
    """Their training lines for examples of so many seconds; DataError where a line has not a text for each 3 s."""
    check_seconds(seconds)
    lines = []
    for where, own in read_lines(path):
        texts = value_of(own, where, "text_chunk_emb")
        if len(texts) != seconds // SEGMENT_SECONDS:
            needed = seconds // SEGMENT_SECONDS
            raise DataError(f"{where} has {len(texts)} texts, but {seconds} s have {needed}. Mend it.")
        lines.append(TrainingLine(value_of(own, where, "vid_emb"), tuple(texts)))
    return lines


def write_training(path: Path, lines: Sequence[TrainingLine]) -> None:
    records = [{"vid_emb": own.latents, "text_chunk_emb": list(own.texts)} for own in lines]
    write_whole(path, "".join(json.dumps(own, ensure_ascii=False) + "\n" for own in records))


TTT_VIDEO = Convention("ttt-video", ("starts", "ends"), read_annotations, write_annotations)
