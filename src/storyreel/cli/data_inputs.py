"""What the data steps are given, looked at before the large libraries load, so that a mistake is told at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from storyreel.cli.data_examples import model_folder
from storyreel.cli.upscale import Upscale, upscale_model
from storyreel.data.manifest import read_manifest
from storyreel.data.model_file import check_file
from storyreel.errors import DataError

STEPS = {
    "probed": "probe",
    "scenes": "scenes",
    "upscaled": "upscale",
    "segments": "segments",
    "latents": "latents",
    "captions": "captions",
    "embeddings": "embeddings",
    "assembled": "assemble",
}
"""The step whose finished folder an option of this name is."""


def check_inputs(options: Any) -> None:
    """DataError or WeightsError for films, folders of earlier steps or models that the step cannot begin with.

    The steps look again, since they are used without the command line, too.
    """
    films: Path | None = getattr(options, "films", None)
    if films is not None and not films.exists():
        raise DataError(f"there is no {films}. Give a folder of films, or one film.")
    if not isinstance(options, Upscale) and isinstance(getattr(options, "model", None), Path):
        model_folder(options.model)
    for name, step in STEPS.items():
        folder: Path | None = getattr(options, name, None)
        if folder is not None:
            read_manifest(folder, step)
    edited: Path | None = getattr(options, "edited", None)
    if edited is not None and not edited.is_dir():
        raise DataError(f"there is no folder {edited}. Copy lists of the step scenes there and edit them.")
    enlarging: Path | None = getattr(options, "upscale_model", None)
    if enlarging is not None:
        check_file(enlarging)
    if isinstance(options, Upscale):
        upscale_model(options)
