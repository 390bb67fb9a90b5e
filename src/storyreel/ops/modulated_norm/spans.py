"""How programs share a sequence: a span is some neighbouring tokens of one piece, so that they share a table's row."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor


class Spans(NamedTuple):
    """table: int32 `[N, 3]`, first token, end, row; of_row: int64 `[R, most]`, spans of each row, filled up with N."""

    table: Tensor
    of_row: Tensor


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def spans(lengths: tuple[int, ...], rows: int, longest: int, device: torch.device) -> Spans:
    """The pieces, cut into spans of `longest` tokens or fewer."""
    table, of_row, start = [], [[] for _ in range(rows)], 0
    for piece, length in enumerate(lengths):
        end = start + length
        for first in range(start, end, longest):
            of_row[piece % rows].append(len(table))
            table.append((first, min(first + longest, end), piece % rows))
        start = end
    most = max(map(len, of_row))
    filled = [own + [len(table)] * (most - len(own)) for own in of_row]
    return Spans(torch.tensor(table, dtype=torch.int32).to(device), torch.tensor(filled).to(device))
