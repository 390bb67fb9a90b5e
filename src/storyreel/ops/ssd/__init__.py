"""State space dual: the recurrence of Mamba 2 (arXiv 2405.21060). The mathematics is in this folder's README.

Letters: B batch, T tokens, H heads, G groups of heads, P head width, N state width.
"""

import torch
from torch import Tensor

from storyreel.errors import GeometryError, refusal
from storyreel.ops import fla
from storyreel.ops.checks import check_kind, check_shapes, check_tokens, resolve_chunked
from storyreel.ops.ssd import chunked, reference

__all__ = ["ssd"]


def ssd(
    c: Tensor,
    b: Tensor,
    x: Tensor,
    dt: Tensor,
    rate: Tensor,
    skip: Tensor,
    state: Tensor,
    *,
    backend: str = "auto",
    chunk: int = 64,
) -> tuple[Tensor, Tensor]:
    """S_t = exp(dt_t rate) S_{t-1} + dt_t x_t b_t^T and y_t = S_t c_t + skip x_t, for every head.

    c, b `[B, T, G, N]` (heads of a group share them, G divides H), x `[B, T, H, P]`, dt `[B, T, H]` (>= 0), rate `[H]`
    (<= 0), skip `[H]`, state `[B, H, P, N]`; any floating dtypes. Returns y like x and the final state in float32
    (float64 for float64 x), in which everything is computed. T need not be a multiple of `chunk`, and no result depends
    on `chunk`. Gradients flow to every tensor, and through the state that goes in and comes out.

    backend: "reference", "chunked", "fla" (a library's kernels, on CUDA GPUs; products in the dtype of x, own chunks),
    or "auto": "fla" where that serves half precision, else "chunked". GeometryError for shapes that do not fit,
    ValueError for dtypes or devices, ConfigError for the chunk, KernelUnavailable for a backend that cannot serve.
    """
    check_tokens("x", x)
    check_tokens("c", c)
    batch, tokens, heads, width = x.shape
    groups, states = c.shape[2:]
    if heads % groups:
        raise GeometryError(refusal("groups", groups, f"they must divide {heads} heads", "Share c and b in one group"))
    check_shapes(
        {
            "c": (c, (batch, tokens, groups, states), "[B, T, G, N]"),
            "b": (b, (batch, tokens, groups, states), "[B, T, G, N]"),
            "dt": (dt, (batch, tokens, heads), "[B, T, H]"),
            "rate": (rate, (heads,), "[H]"),
            "skip": (skip, (heads,), "[H]"),
            "state": (state, (batch, heads, width, states), "[B, H, P, N]"),
        }
    )
    check_kind(x, {"c": c, "b": b, "dt": dt, "rate": rate, "skip": skip, "state": state})
    backend = resolve_chunked("SSD", backend, chunk, x)
    if backend == "fla":
        return fla.ssd(c, b, x, dt, rate, skip, state)
    wide = torch.promote_types(x.dtype, torch.float32)
    inputs = [given.to(wide) for given in (c, b, x, dt, rate, skip, state)]
    y, final = reference.ssd(*inputs) if backend == "reference" else chunked.ssd(*inputs, chunk=chunk)
    return y.to(x.dtype), final
