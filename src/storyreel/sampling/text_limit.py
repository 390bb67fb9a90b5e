"""How many tokens a text of a storyboard may have for a model, without loading its weights."""

from __future__ import annotations

import json
from pathlib import Path

from storyreel.errors import WeightsError
from storyreel.geometry import Compression, TokenLayout
from storyreel.sampling.request import check_is_model


def text_limit(folder: Path, seconds: int) -> int:
    """Tokens a segment's text may have, scene marks and end mark included, in a video of so many seconds.

    The same as `StoryreelPipeline.layout_for(...).text_tokens`. WeightsError for a folder that is no model or damaged,
    GeometryError where no layout has that length.
    """
    check_is_model(folder)
    info, own = _read(folder / "storyreel.json"), _read(folder / "transformer" / "config.json")
    try:
        return TokenLayout.for_video(
            seconds,
            info["height"],
            info["width"],
            mini_batch=own["mixer_mini_batch"],
            patch=own["patch_size"],
            max_text_tokens=info.get("max_text_tokens") or own["max_text_seq_length"],
            compression=Compression(time=own["temporal_compression_ratio"], channels=own["out_channels"]),
        ).text_tokens
    except KeyError as error:
        raise WeightsError(f"{folder} lacks the setting {error}. Copy the model folder again.") from None


def _read(path: Path) -> dict[str, int]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}. Copy the model folder again.") from None
