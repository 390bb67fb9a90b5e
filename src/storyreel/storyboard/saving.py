"""Storyboards and their drafts to files, whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from storyreel.errors import OutputError
from storyreel.storyboard.schema import Storyboard


def as_json(storyboard: Storyboard) -> dict[str, Any]:
    """A storyboard in our JSON; what a segment does not say is left out."""
    segments = [
        {"text": own.text, "scene_start": own.scene_start}
        | ({"negative_text": own.negative_text} if own.negative_text else {})
        | ({"locked": True} if own.locked else {})
        for own in storyboard.segments
    ]
    return {"title": storyboard.title, "segments": segments}


def to_text(data: Any) -> str:
    """JSON as people read it."""
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def save_text(path: Path, text: str) -> None:
    """Replaces a file, whole or not at all. OutputError, one line, where it cannot be written."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        place = f"there is no folder {path.parent}" if not path.parent.is_dir() else str(error.strerror)
        raise OutputError(f"{path} cannot be written: {place}. Make it or choose another place.") from error


def save_storyboard(path: Path, storyboard: Storyboard) -> None:
    """Writes our JSON."""
    save_text(path, to_text(as_json(storyboard)))
