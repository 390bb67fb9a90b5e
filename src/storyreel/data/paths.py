"""How one step's folder names another's, so that a data set can be moved as a whole."""

from __future__ import annotations

import os
from pathlib import Path


def relative(folder: Path, output: Path) -> str:
    """`folder` as seen from `output`, with forward slashes; absolute where there is no way between them (Windows)."""
    try:
        return Path(os.path.relpath(folder.resolve(), output.resolve())).as_posix()
    except ValueError:
        return folder.resolve().as_posix()
