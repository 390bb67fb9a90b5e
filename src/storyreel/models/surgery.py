"""Opening a pre-trained CogVideoX for a memory: its weights, and in every block a new mixer behind small gates."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

from storyreel.errors import WeightsError
from storyreel.mixers import WINDOW_TOKENS
from storyreel.models.state_dict import load_cogvideox
from storyreel.models.transformer import StoryreelTransformer3DModel


def open_cogvideox(
    folder: str | Path,
    *,
    mixer: str = "ttt_mlp",
    mini_batch: int = 64,
    base_lr: float | None = None,
    window: int = WINDOW_TOKENS,
    gate_init: float = 0.1,
) -> StoryreelTransformer3DModel:
    """The transformer of a diffusers CogVideoX folder (or its sub-folder `transformer`) with new mixers, in float32.

    With `mixer="local"` or `gate_init=0` it gives the output of the original for one segment. WeightsError where the
    folder holds no such model, ConfigError for a version that is not supported (1.5) or an unknown mixer.
    """
    config = _read_config(Path(folder))
    own = {
        "mixer": mixer,
        "mixer_mini_batch": mini_batch,
        "mixer_base_lr": base_lr,
        "mixer_window": window,
        "mixer_gate_init": gate_init,
    }
    model = StoryreelTransformer3DModel(**config, **own)
    load_cogvideox(model, folder, new_mixer=True)
    return model


def _read_config(folder: Path) -> dict[str, Any]:
    """The arguments in a transformer's config.json, without diffusers' notes on class and version."""
    for place in (folder / "transformer", folder):
        file = place / "config.json"
        if file.is_file():
            break
    else:
        raise WeightsError(f"{folder} holds no transformer/config.json. Give a diffusers CogVideoX folder.")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"{file} is not JSON ({error}). Fetch it again.") from error
    if not isinstance(config, dict) or config.get("_class_name") != "CogVideoXTransformer3DModel":
        raise WeightsError(f"{file} describes no CogVideoXTransformer3DModel. Give a diffusers CogVideoX folder.")
    arguments = {name: value for name, value in config.items() if not name.startswith("_")}
    unknown = arguments.keys() - inspect.signature(StoryreelTransformer3DModel).parameters.keys()
    if unknown:
        raise WeightsError(
            f"{file} has {min(unknown)!r}, which no known CogVideoX has. Use a 1.0 checkpoint (2b or 5b)."
        )
    return arguments
