"""Attention over a window by FlexAttention: blocks of scores outside the band are never computed. For CUDA GPUs.

Imported only where that backend was chosen. Letters as in `storyreel.ops.softmax`.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

BLOCK = 128


def window_attention(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """Shapes as in `storyreel.ops.softmax.window_attention`; y like q."""
    mask = band(q.shape[1], k.shape[1], window, q.device)
    return _compiled()(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), block_mask=mask).transpose(1, 2)


@functools.lru_cache(maxsize=8)
@torch.inference_mode(False)
def band(asking: int, asked: int, window: int, device: torch.device) -> BlockMask:
    """Which blocks of 128 x 128 scores the window of the last `asking` of `asked` tokens meets, and which it fills.

    Written down from the band's two edges: torch's own `create_block_mask` looks at every score, 1.2e11 at 63 s.
    """
    ahead = asked - asking

    def sees(batch: Tensor, head: Tensor, asks: Tensor, key: Tensor) -> Tensor:
        back = asks + ahead - key
        return (back >= 0) & (back < window)

    rows, columns = -(-asking // BLOCK), -(-asked // BLOCK)
    first = torch.arange(rows, device=device)[:, None] * BLOCK + ahead
    last = (first + BLOCK - 1).clamp(max=asked - 1)
    column = torch.arange(columns, device=device)
    start, end = column * BLOCK, (column * BLOCK + BLOCK - 1).clamp(max=asked - 1)
    met = (start <= last) & (end > first - window)
    full = (end <= first) & (start > last - window)
    return BlockMask.from_kv_blocks(
        *_listed(met & ~full), *_listed(full), BLOCK_SIZE=BLOCK, mask_mod=sees, seq_lengths=(asking, asked)
    )


def _listed(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """bool `[rows, columns]` as FlexAttention reads it: how many columns of each row, and those columns first."""
    order = chosen.to(torch.int8).argsort(dim=1, descending=True, stable=True)
    return chosen.sum(1, dtype=torch.int32)[None, None], order.to(torch.int32)[None, None]


@functools.cache
def _compiled() -> Callable[..., Tensor]:
    return torch.compile(flex_attention, dynamic=False)
