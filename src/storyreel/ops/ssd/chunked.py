"""The recurrence of Mamba 2 in matrix form, one chunk after another.

Inside a chunk it is attention without softmax whose weights decay with distance; between chunks the state is handed on.
Letters: L tokens of a chunk, and those of `storyreel.ops.ssd`. Any floating dtype; all tensors share it.
"""

from torch import Tensor

from storyreel.ops.decay import decay_between
from storyreel.ops.ttt.dual import scan


def ssd(
    c: Tensor, b: Tensor, x: Tensor, dt: Tensor, rate: Tensor, skip: Tensor, state: Tensor, *, chunk: int
) -> tuple[Tensor, Tensor]:
    """Shapes as in `storyreel.ops.ssd.ssd`; y `[B, T, H, P]` and the state after the last token."""
    y, state = scan(chunk_step, (c, b, x, dt, dt * rate), (state,), chunk)
    return y + skip[:, None] * x, state


def chunk_step(c: Tensor, b: Tensor, x: Tensor, dt: Tensor, log_decay: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """One chunk: c, b `[B, L, G, N]`, x `[B, L, H, P]`, dt and log_decay `[B, L, H]`; y without the skip."""
    share = x.shape[2] // c.shape[2]
    c, b, x = (tokens.transpose(1, 2) for tokens in (c, b, x))
    written = x * dt.transpose(1, 2)[..., None]
    sums = log_decay.transpose(1, 2).cumsum(-1)
    alike = (c @ b.mT).repeat_interleave(share, dim=1)
    c, b = c.repeat_interleave(share, dim=1), b.repeat_interleave(share, dim=1)
    from_start = sums.exp()[..., None]
    y = (alike * decay_between(sums)) @ written + from_start * (c @ state.mT)
    to_end = (sums[..., -1:] - sums).exp()[..., None]
    return y.transpose(1, 2), from_start[..., -1:, :] * state + (written * to_end).mT @ b
