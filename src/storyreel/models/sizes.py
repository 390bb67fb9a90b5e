"""Sizes that a model folder tells without its weights: the order of tokens of a video, and the size of its latents."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from storyreel.errors import WeightsError
from storyreel.geometry import Compression, TokenLayout


@dataclass(frozen=True)
class ModelSizes:
    """What the configurations of a model folder say. `height` and `width` are the pixels that it was trained at."""

    height: int
    width: int
    max_text_tokens: int
    mini_batch: int
    patch: int
    compression: Compression
    text_width: int

    @classmethod
    def read(cls, folder: Path) -> ModelSizes:
        """WeightsError where storyreel.json or the transformer's configuration is missing, damaged or lacks a size."""
        info, own = _read(folder / "storyreel.json"), _read(folder / "transformer" / "config.json")
        try:
            return cls(
                height=info["height"],
                width=info["width"],
                max_text_tokens=info.get("max_text_tokens") or own["max_text_seq_length"],
                mini_batch=own["mixer_mini_batch"],
                patch=own["patch_size"],
                compression=Compression(time=own["temporal_compression_ratio"], channels=own["out_channels"]),
                text_width=own["text_embed_dim"],
            )
        except KeyError as error:
            raise WeightsError(f"{folder} lacks the setting {error}. Copy the model folder again.") from None

    def layout(self, seconds: int, height: int | None = None, width: int | None = None) -> TokenLayout:
        """The order of all tokens of a video of so many seconds, at the model's size where no other is given.

        GeometryError where there is none.
        """
        return TokenLayout.for_video(
            seconds,
            height or self.height,
            width or self.width,
            mini_batch=self.mini_batch,
            patch=self.patch,
            max_text_tokens=self.max_text_tokens,
            compression=self.compression,
        )


def _read(path: Path) -> dict[str, int]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}. Copy the model folder again.") from None
