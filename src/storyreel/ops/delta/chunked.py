"""The gated delta rule in matrix form, one chunk after another.

Erasing and writing are one: S_t = a_t S_{t-1} + u_t k_t^T. The rows u_t of a chunk solve one triangular system (the WY
representation of its product of reflections, arXiv 2412.06464), and the rest is matrix products.
Letters: L tokens of a chunk, and those of `storyreel.ops.delta`. float32 or float64; all tensors share it.
"""

import torch
from torch import Tensor

from storyreel.ops.decay import decay_between
from storyreel.ops.ttt.dual import scan


def gated_delta(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, beta: Tensor, state: Tensor, *, chunk: int
) -> tuple[Tensor, Tensor]:
    """Shapes as in `storyreel.ops.delta.gated_delta`; y `[B, T, H, V]` and the state after the last token."""
    y, state = scan(chunk_step, (q, k, v, log_decay, beta), (state,), chunk)
    return y, state


def chunk_step(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, beta: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """One chunk: q, k `[B, L, H, K]`, v `[B, L, H, V]`, log_decay and beta `[B, L, H]`, state `[B, H, V, K]`."""
    q, k, v = (tokens.transpose(1, 2) for tokens in (q, k, v))
    rate = beta.transpose(1, 2)[..., None]
    sums = log_decay.transpose(1, 2).cumsum(-1)
    between, from_start = decay_between(sums), sums.exp()[..., None]
    system = rate * (k @ k.mT) * between
    wanted = rate * (v - from_start * (k @ state.mT))
    # unitriangular: only what stands below the diagonal is read, and the diagonal counts as 1.
    written = torch.linalg.solve_triangular(system, wanted, upper=False, unitriangular=True)
    y = from_start * (q @ state.mT) + ((q @ k.mT) * between) @ written
    to_end = (sums[..., -1:] - sums).exp()[..., None]
    return y.transpose(1, 2), from_start[..., -1:, :] * state + (written * to_end).mT @ k
