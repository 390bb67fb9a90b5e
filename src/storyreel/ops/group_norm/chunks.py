"""Which frames share their statistics, and what comes in front of the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from storyreel.errors import GeometryError, refusal
from storyreel.ops.resize.cells import Cells


@dataclass(frozen=True)
class Chunks:
    """`count` chunks of frames, the first of `first`, each later one of `each`."""

    first: int
    each: int
    count: int

    @classmethod
    def of(cls, lengths: Sequence[int], frames: int) -> Chunks:
        """GeometryError unless the lengths add up to `frames` and are equal after the first."""
        if sum(lengths) != frames or min(lengths, default=0) < 1 or len(set(lengths[1:])) > 1:
            limit = f"they must add up to {frames} frames and be equal after the first"
            raise GeometryError(refusal("chunks", list(lengths), limit, "Leave them out for one chunk of all frames"))
        return cls(lengths[0], lengths[-1], len(lengths))

    def in_cells(self, cells: Cells) -> Chunks:
        """The same chunks counted in frames of the coarse video; GeometryError where a cell would belong to two."""
        lengths = [self.first, *[self.each] * (self.count - 1)]
        if any((end - cells.alone) % cells.time for end in accumulate(lengths)):
            limit = f"cells of {cells.time} frames must not lie across a border"
            raise GeometryError(refusal("chunks", lengths, limit, "Give chunks of whole cells"))
        return Chunks(cells.alone + (self.first - cells.alone) // cells.time, self.each // cells.time, self.count)
