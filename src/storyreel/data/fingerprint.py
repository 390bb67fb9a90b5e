"""What an artefact was made from, as one hash: equal fingerprints mean equal results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

BLOCK_BYTES = 2**20


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces, so that equal values are equal text; no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def hash_of(value: Any) -> str:
    """SHA-256 of a JSON value, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def hash_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits; read a block at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def versions_of(distributions: Sequence[str]) -> dict[str, str]:
    """Installed version of each distribution; PackageNotFoundError for one that is not there."""
    return {name: metadata.version(name) for name in sorted(distributions)}


def made_from(
    step: str,
    step_version: int,
    inputs: Mapping[str, str],
    parameters: Mapping[str, Any],
    versions: Mapping[str, str],
    models: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The ingredients whose `hash_of` is the fingerprint.

    `inputs` and `models` are hashes by name, `parameters` plain JSON values, `versions` those of the libraries that the
    result depends on. `step_version` is raised by whoever changes what the code makes of the same ingredients.
    """
    return {
        "step": step,
        "step_version": step_version,
        "inputs": dict(inputs),
        "parameters": dict(parameters),
        "models": dict(models or {}),
        "versions": dict(versions),
    }
