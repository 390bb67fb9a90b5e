"""How many tokens a text of a storyboard may have for a model, without loading its weights."""

from __future__ import annotations

from pathlib import Path

from storyreel.models.sizes import ModelSizes
from storyreel.sampling.request import check_is_model


def text_limit(folder: Path, seconds: int) -> int:
    """Tokens a segment's text may have, scene marks and end mark included, in a video of so many seconds.

    The same as `StoryreelPipeline.layout_for(...).text_tokens`. WeightsError for a folder that is no model or damaged,
    GeometryError where no layout has that length.
    """
    check_is_model(folder)
    return ModelSizes.read(folder).layout(seconds).text_tokens
