"""Text embeddings on disk: their keys, and how they are read and padded."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from storyreel.data.fingerprint import hash_of
from storyreel.data.manifest import Row
from storyreel.errors import DataError

KEY_DIGITS = 32


class EmbeddingRow(Row):
    """States of a text with its marks: `states` in `file`, `shape` = (n, C), bfloat16. `id` is the text's key.

    `tokens` are the text's own, end mark included, `unknown` those of them that the tokenizer does not know; `length`
    is that which the encoder saw, None where padding was masked (then n is `tokens`). `encoder` is the hash of
    tokenizer and text encoder, `sha256` that of the states' bytes.
    """

    text: str
    tokens: int
    unknown: int
    length: int | None
    file: str
    shape: tuple[int, int]
    encoder: str
    sha256: str


def text_key(text: str, length: int | None) -> str:
    """Key of a marked text, and of the length at which it was encoded where padding changes it.

    >>> text_key("A cat sleeps.", None)[:8]
    '1ae137de'
    """
    return hash_of([text, length])[:KEY_DIGITS]


def hash_of_states(states: Tensor) -> str:
    """SHA-256 of the bytes."""
    return hashlib.sha256(states.contiguous().view(torch.uint8).numpy().data).hexdigest()


def check_states(states: Tensor, shape: tuple[int, int], where: str) -> None:
    """DataError unless they are finite bfloat16 of this shape."""
    if states.dtype != torch.bfloat16 or tuple(states.shape) != shape:
        found = f"{str(states.dtype).removeprefix('torch.')} {list(states.shape)}"
        raise DataError(f"{where}: states are {found}, but bfloat16 {list(shape)} is needed. Make them again.")
    if not bool(states.isfinite().all()):
        raise DataError(f"{where}: states are not finite. Make them again.")


def read_states(folder: Path, row: EmbeddingRow, *, whole_hash: bool = False) -> Tensor:
    """States of a text, `row.shape`; DataError where they are not those of the row (see `read_moments`)."""
    path = folder / row.file
    try:
        with safe_open(path, "pt") as file:
            encoder = (file.metadata() or {}).get("encoder")
            states = file.get_tensor("states")
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} cannot be read: {error}. Run storyreel data embeddings again.") from error
    if encoder != row.encoder:
        raise DataError(f"{path} is of another text encoder than its row. Run storyreel data embeddings again.")
    check_states(states, row.shape, str(path))
    if whole_hash and hash_of_states(states) != row.sha256:
        raise DataError(f"{path} is damaged. Delete it and run storyreel data embeddings again.")
    return states


def padded(states: Tensor, length: int) -> Tensor:
    """`[n, C]` to `[length, C]` with rows of zeros, as the model sees a masked text."""
    return torch.nn.functional.pad(states, (0, 0, 0, length - states.shape[0]))
