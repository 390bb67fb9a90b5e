"""Which values of a video lie in a cell of a coarser one: nearest neighbours, as CogVideoX's autoencoder has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storyreel.errors import GeometryError, refusal


@dataclass(frozen=True)
class Cells:
    """A coarse video of `coarse` = (t, h, w) cells over a fine one of `fine` = (T, H, W) values a channel.

    A cell covers `time` frames of `rows` by `columns` values. `alone` is 1 where the first frame has a cell to itself,
    and 0 elsewhere: an odd number of frames begins with such a one (a causal autoencoder's first).
    """

    coarse: tuple[int, int, int]
    fine: tuple[int, int, int]
    alone: int
    time: int
    rows: int
    columns: int

    @classmethod
    def between(cls, coarse: Sequence[int], fine: Sequence[int]) -> Cells:
        """GeometryError where the sizes `[t, h, w]` do not divide those of the finer video, `[T, H, W]`."""
        (t, h, w), (frames, height, width) = coarse, fine
        alone = int(frames > 1 and frames % 2 == 1)
        rest, cells = frames - alone, t - alone
        if min(t, h, w) < 1 or cells < 1 or rest % cells or height % h or width % w:
            limit = f"a video of {list(fine)} must have whole numbers of values in each cell"
            raise GeometryError(refusal("size of cells", list(coarse), limit, "Give sizes that divide it"))
        return cls((t, h, w), (frames, height, width), alone, rest // cells, height // h, width // w)
