"""An example in the manifest of `assemble`, and how its bytes are read."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from storyreel.data.embedding_rows import check_states
from storyreel.data.latent_rows import Moments, check_moments
from storyreel.data.manifest import Row
from storyreel.data.shards import Place, read_place
from storyreel.errors import DataError


class TextPlace(Row):
    """States of a text in a shard: `id` is the text's key, `shape` (n, C), `sha256` that of the member's bytes."""

    place: Place
    shape: tuple[int, int]
    sha256: str


class ExampleRow(Row):
    """An example: `seconds` of a film with a text for each of its segments.

    `texts` have their scene marks; `starts` and `ends` say which ones. `shape` is (12 n + 1, C, H, W) of `mean` and
    `logvar` at `place`, `sha256` that of the member's bytes. `states` are those of each text, None without embeddings;
    `empty` those of the empty text.
    """

    film: str
    split: str
    seconds: int
    segments: tuple[str, ...]
    texts: tuple[str, ...]
    starts: tuple[bool, ...]
    ends: tuple[bool, ...]
    tokens: tuple[int, ...] | None
    shape: tuple[int, int, int, int]
    place: Place
    sha256: str
    states: tuple[TextPlace, ...] | None
    empty: TextPlace | None


def moments_of(folder: Path, row: ExampleRow) -> Moments:
    """Latents of an example, checked; DataError where they are not those of the row."""
    tensors = _tensors(folder, row.place, row.id)
    if set(tensors) != {"mean", "logvar"}:
        raise DataError(
            f"{folder / row.place.shard}: {row.id} holds {sorted(tensors)}. Run storyreel data assemble again."
        )
    moments = Moments(tensors["mean"], tensors["logvar"])
    check_moments(moments, row.shape, f"{folder / row.place.shard}, {row.id}")
    return moments


def states_of(folder: Path, own: TextPlace) -> Tensor:
    """States of a text `[n, C]`, checked; DataError where they are not those of the row."""
    tensors = _tensors(folder, own.place, own.id)
    if set(tensors) != {"states"}:
        raise DataError(
            f"{folder / own.place.shard}: {own.id} holds {sorted(tensors)}. Run storyreel data assemble again."
        )
    check_states(tensors["states"], own.shape, f"{folder / own.place.shard}, {own.id}")
    return tensors["states"]


def _tensors(folder: Path, place: Place, name: str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(read_place(folder, place))
    except SafetensorError as error:
        raise DataError(
            f"{folder / place.shard}: {name} cannot be read: {error}. Run storyreel data assemble again."
        ) from error
