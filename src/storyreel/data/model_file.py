"""A file of weights that a user names, looked at before a library is loaded for it."""

from __future__ import annotations

from pathlib import Path

from storyreel.errors import WeightsError


def check_file(path: Path) -> None:
    """WeightsError for a file that is not there, or of another kind than safetensors."""
    if not path.is_file():
        raise WeightsError(f"there is no model file {path}. Give a super-resolution model as .safetensors.")
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"{path} is not .safetensors, and other formats may run code when they are read. If you trust it, convert "
            "it once: safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'model.safetensors')."
        )
