"""Videos made larger by nearest neighbours, or shorter by averages of frames, as CogVideoX's autoencoder does.

Letters: B batch, C channels, T frames, H height, W width. An odd number of frames begins with one that stands for
itself alone (`cells.py`). `reference.py` is the specification; the kernels copy or add up each value once, and take and
give the memory layout channels_last_3d.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from storyreel.ops.checks import resolve_kernels
from storyreel.ops.resize import reference
from storyreel.ops.resize.cells import Cells

__all__ = ["Cells", "average_frames", "enlarge"]


def enlarge(x: Tensor, size: Sequence[int], *, backend: str = "auto") -> Tensor:
    """x `[B, C, t, h, w]` at `[B, C, T, H, W]` for size (T, H, W), every value as often as it takes.

    backend: "reference" (any floating dtype), "triton" (bfloat16, float16 or float32 on a CUDA GPU), or "auto".
    GeometryError for sizes that are no multiples; KernelUnavailable for a backend that cannot serve.
    """
    cells = Cells.between(x.shape[2:], tuple(size))
    if resolve_kernels("enlarge", backend, x) == "reference":
        return reference.enlarge(x, cells)
    from storyreel.ops.resize.triton_kernels import launch

    return launch.enlarge(x, cells)


def average_frames(x: Tensor, by: int, border: int = 0, *, backend: str = "auto") -> Tensor:
    """x `[B, C, T, H, W]` with every `by` frames as their mean, and `border` zeros after the last row and column.

    The first of an odd number of frames is kept as it is. Backends and errors as for `enlarge`.
    """
    frames, height, width = x.shape[2:]
    alone = int(frames > 1 and frames % 2 == 1)
    count = alone + max(1, (frames - alone) // by)
    cells = Cells.between((count, height, width), (frames, height, width))
    if resolve_kernels("average_frames", backend, x) == "reference":
        return reference.average(x, cells, border)
    from storyreel.ops.resize.triton_kernels import launch

    return launch.average(x, cells, border)
