"""The JSON beside a video: everything that is needed to make it again, and what making it took."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import storyreel
from storyreel.sampling.leftovers import aside
from storyreel.sampling.memory import process_peak_mib
from storyreel.sampling.video import output_error

LIBRARIES = ("torch", "diffusers", "transformers", "tokenizers", "safetensors", "av", "numpy")


def command_line(storyboard: Path, options: Mapping[str, object]) -> str:
    """The line for a shell that runs `storyreel generate` with these options; None and False leave an option out."""
    words = ["storyreel", "generate", str(storyboard)]
    for name, value in options.items():
        if value is True:
            words.append(f"--{name}")
        elif value is not None and value is not False:
            words += [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(words)


def versions() -> dict[str, str]:
    """Versions of storyreel, Python and the libraries that a video depends on."""
    libraries = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"storyreel": storyreel.__version__, "python": platform.python_version(), **libraries}


def peak_memory_mib(device: torch.device) -> dict[str, int]:
    """The most memory held so far: by this process, and on a GPU; what the system does not tell is left out."""
    process = process_peak_mib()
    found = {} if process is None else {"memory": process}
    if device.type == "cuda":
        found["gpu"] = round(torch.cuda.max_memory_allocated(device) / 2**20)
    return found


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON, whole or not at all; OutputError where it cannot be written."""
    part = aside(path)
    try:
        part.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise output_error(path, error) from error
