"""Tensors of many shapes as parts of one flat tensor, so that one operation serves all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

ALIGNED_NUMBERS = 64
"""Each tensor begins at a multiple of so many numbers, as a tensor of its own would."""

Kind = TypeVar("Kind", bound=Hashable)


class FlatPlaces(Generic[Kind]):
    """Where tensors of given shapes lie in a flat buffer of `length` numbers, those of one kind beside each other.

    What lies between two tensors stays zero in a buffer that began as zeros, whatever is done to all of it by element.
    """

    def __init__(self, shapes: Sequence[torch.Size], kinds: Sequence[Kind]) -> None:
        self.shapes = shapes
        members: dict[Kind, list[int]] = defaultdict(list)
        for number, kind in enumerate(kinds):
            members[kind].append(number)
        self.spans: dict[Kind, slice] = {}
        self._offsets, end = [0] * len(shapes), 0
        for kind, numbers in members.items():
            start = end
            for number in numbers:
                self._offsets[number] = end
                end += _aligned(shapes[number].numel())
            self.spans[kind] = slice(start, end)
        self.length = end

    def views(self, buffer: Tensor) -> list[Tensor]:
        """Each tensor in its place, in the order that the shapes were given in."""
        places = zip(self._offsets, self.shapes, strict=True)
        return [buffer[offset : offset + shape.numel()].view(shape) for offset, shape in places]

    def stack(self, buffer: Tensor, kind: Kind, rows: int, columns: int) -> Tensor:
        """All tensors of a kind, each of `rows * columns` numbers, as one view `[tensors, rows, columns]`."""
        each = buffer[self.spans[kind]].unflatten(0, (-1, _aligned(rows * columns)))
        return each[:, : rows * columns].unflatten(1, (rows, columns))


def _aligned(numbers: int) -> int:
    return -(-numbers // ALIGNED_NUMBERS) * ALIGNED_NUMBERS
