"""The gated delta rule of Gated DeltaNet (arXiv 2412.06464). The mathematics is in this folder's README.

Letters: B batch, T tokens, H heads, K key width, V value width.
"""

import torch
from torch import Tensor

from storyreel.ops import fla
from storyreel.ops.checks import check_kind, check_shapes, check_tokens, resolve_chunked
from storyreel.ops.delta import chunked, reference

__all__ = ["gated_delta"]


def gated_delta(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    beta: Tensor,
    state: Tensor,
    *,
    backend: str = "auto",
    chunk: int = 64,
) -> tuple[Tensor, Tensor]:
    """S_t = a_t S_{t-1} (I - beta_t k_t k_t^T) + beta_t v_t k_t^T and y_t = S_t q_t, a_t = exp(log_decay_t), by head.

    q, k `[B, T, H, K]`, v `[B, T, H, V]`, log_decay (<= 0) and beta `[B, T, H]`, state `[B, H, V, K]`; any floating
    dtypes. k should have length 1 where beta may be near 1, or the state can grow. Returns y like v and the final state
    in float32 (float64 for float64 v), in which everything is computed. T need not be a multiple of `chunk`, and no
    result depends on `chunk`. Gradients flow to every tensor, and through the state that goes in and comes out.

    backend: "reference", "chunked", "fla" (a library's kernels, on CUDA GPUs; products in the dtype of v, own chunks),
    or "auto": "fla" where that serves half precision, else "chunked". GeometryError for shapes that do not fit,
    ValueError for dtypes or devices, ConfigError for the chunk, KernelUnavailable for a backend that cannot serve.
    """
    check_tokens("q", q)
    check_tokens("v", v)
    batch, tokens, heads, key = q.shape
    value = v.shape[-1]
    check_shapes(
        {
            "k": (k, (batch, tokens, heads, key), "[B, T, H, K]"),
            "v": (v, (batch, tokens, heads, value), "[B, T, H, V]"),
            "log_decay": (log_decay, (batch, tokens, heads), "[B, T, H]"),
            "beta": (beta, (batch, tokens, heads), "[B, T, H]"),
            "state": (state, (batch, heads, value, key), "[B, H, V, K]"),
        }
    )
    check_kind(q, {"k": k, "v": v, "log_decay": log_decay, "beta": beta, "state": state})
    backend = resolve_chunked("gated delta", backend, chunk, v, key)
    if backend == "fla":
        return fla.gated_delta(q, k, v, log_decay, beta, state)
    wide = torch.promote_types(v.dtype, torch.float32)
    inputs = [given.to(wide) for given in (q, k, v, log_decay, beta, state)]
    y, final = reference.gated_delta(*inputs) if backend == "reference" else chunked.gated_delta(*inputs, chunk=chunk)
    return y.to(v.dtype), final
