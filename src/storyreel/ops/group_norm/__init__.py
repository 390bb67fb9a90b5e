"""GroupNorm of videos with what follows it in CogVideoX's autoencoder. The mathematics is in this folder's README.

Letters: B batch, C channels, T frames, H height, W width; t, h, w the sizes of a coarser video over the same picture.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from storyreel.errors import GeometryError, refusal
from storyreel.ops.checks import check_kind, check_shapes, resolve_kernels
from storyreel.ops.group_norm import reference
from storyreel.ops.group_norm.chunks import Chunks
from storyreel.ops.resize import Cells

__all__ = ["group_norm"]


def group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor,
    bias: Tensor,
    *,
    eps: float,
    offset: Tensor | None = None,
    chunks: Sequence[int] | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    silu: bool = False,
    lead: int = 0,
    before: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """`[B, C, lead + T, H, W]`: x + offset normed, if asked for modulated, through SiLU and behind `lead` frames.

    x `[B, C, T, H, W]`; weight, bias and offset (none: 0) `[C]`. The offset, such as a bias that the convolution in
    front left to this op, costs nothing. The frames of a chunk share the statistics of a group (chunks: their lengths,
    equal after the first; None: one chunk). scale, shift `[B, C, t, h, w]`, both or none, act on all values of
    a cell (`ops/resize/cells.py`). The frames in front, `before` `[B, C, lead, H, W]` or copies of the first, are those
    that a causal convolution looks back on. Statistics and arithmetic are float32 (float64 for float64 x). Gradients
    flow to every tensor, and are the same in every run.

    backend: "reference" (any floating dtype and device), "triton" (bfloat16, float16 or float32 on a CUDA GPU; memory
    layout channels_last_3d) or "auto". GeometryError for sizes that do not fit, ValueError for dtypes or devices,
    KernelUnavailable for a backend that cannot serve.
    """
    if x.dim() != 5 or not x.numel():
        limit = "it must be [B, C, T, H, W] with at least one value"
        raise GeometryError(refusal("x", list(x.shape), limit, "Leave an empty video out"))
    batch, channels, frames, height, width = x.shape
    if groups < 1 or channels % groups:
        raise GeometryError(refusal("groups", groups, f"they must divide {channels} channels", "1 always does"))
    if (scale is None) != (shift is None):
        raise GeometryError(refusal("scale or shift", None, "both are needed", "Give both or none"))
    kind = {"weight": weight, "bias": bias} | ({} if offset is None else {"offset": offset})
    expected: dict[str, tuple[Tensor, tuple[int, ...], str]] = {
        name: (w, (channels,), "[C]") for name, w in kind.items()
    }
    cells = Cells.between(x.shape[2:], x.shape[2:])
    if scale is not None and shift is not None:
        cells = Cells.between(scale.shape[2:], x.shape[2:])
        both = {"scale": scale, "shift": shift}
        expected |= {name: (given, (batch, channels, *cells.coarse), "[B, C, t, h, w]") for name, given in both.items()}
        kind |= both
    if before is not None:
        expected["before"] = (before, (batch, channels, lead, height, width), "[B, C, lead, H, W]")
        kind["before"] = before
    check_shapes(expected)
    check_kind(x, kind)
    own = Chunks.of(chunks or (frames,), frames)
    in_cells = own.in_cells(cells)
    if resolve_kernels("group_norm", backend, x) == "reference":
        return reference.group_norm(x, groups, weight, bias, offset, eps, own, scale, shift, cells, silu, lead, before)
    from storyreel.ops.group_norm.triton_kernels import launch

    problem = launch.Problem(groups, eps, own, cells, in_cells, silu, lead)
    return launch.group_norm(x, weight, bias, offset, scale, shift, before, problem)
