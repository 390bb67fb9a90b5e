"""Answers on the disk, a file each, so that a run that was stopped pays for nothing twice. They hold no key."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any

from storyreel.errors import OutputError


class AnswerCache:
    """A folder of answers by the hash of what was asked; made when the first is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, key: str) -> str | None:
        """The text kept under a key; None where there is none, or a damaged one."""
        try:
            found = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        text = found.get("answer") if isinstance(found, dict) else None
        return text if isinstance(text, str) else None

    def keep(self, key: str, answer: str, about: dict[str, Any]) -> None:
        """Keeps an answer, whole or not at all; `about` is for people. OutputError where it cannot be written."""
        path = self.folder / f"{key}.json"
        part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
        text = json.dumps({**about, "answer": answer}, indent=1, ensure_ascii=False) + "\n"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part.write_text(text, encoding="utf-8")
            os.replace(part, path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise OutputError(
                f"{path} cannot be written: {error.strerror}. Make room or choose another place."
            ) from error


def key_of(*parts: Any, images: tuple[bytes, ...] = ()) -> str:
    """A hash of JSON values and images, 32 hexadecimal digits."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode())
    for image in images:
        digest.update(hashlib.sha256(image).digest())
    return digest.hexdigest()[:32]
