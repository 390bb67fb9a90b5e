"""Launches of the kernels, and what they are to autograd. Letters as in `storyreel.ops.modulated_norm`.

Nothing here waits for the device but the first call of a layout, which copies its spans there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from storyreel.ops.modulated_norm.spans import Spans, spans
from storyreel.ops.modulated_norm.triton_kernels.kernels import backward, forward

ELEMENTS = 4096
"""Of a tile, at least: 16 a thread of eight warps."""
PROGRAMS = 132 * 16
"""Of a launch, about, where there are so many tokens. The backward pass writes three float32 rows for each."""
SHORTEST = 8
REGISTERS = {"forward": None, "backward": 128}
"""At most, a thread. The backward of both takes 180 if it may, and then one program of eight warps has a multiprocessor
to itself; with 128 there are two, for 20 values a thread that are spilled."""

Lengths = tuple[int, ...]


def norm(x: Tensor, factor: Tensor, offset: Tensor, place: Tensor | None, lengths: Lengths, eps: float) -> Tensor:
    """x `[B, T, C]`; factor and offset float32 `[B or 1, R, C]`; place as for the op."""
    return _Tokens.apply(x, None, None, *_tables(x, factor, offset), place, lengths, eps)[1]  # pyright: ignore[reportOptionalSubscript]


def add_gated(x: Tensor, y: Tensor, gate: Tensor, lengths: Lengths) -> Tensor:
    return _Tokens.apply(x, y, *_tables(x, gate), None, None, None, lengths, 0.0)[0]  # pyright: ignore[reportOptionalSubscript]


def add_gated_then_norm(
    x: Tensor, y: Tensor, gate: Tensor, factor: Tensor, offset: Tensor, lengths: Lengths, eps: float
) -> tuple[Tensor, Tensor]:
    rows = max(table.shape[1] for table in (gate, factor, offset))
    gate, factor, offset = _tables(x, *(table.expand(-1, rows, -1) for table in (gate, factor, offset)))
    return _Tokens.apply(x, y, gate, factor, offset, None, lengths, eps)  # pyright: ignore[reportReturnType]


def _tables(x: Tensor, *tables: Tensor) -> tuple[Tensor, ...]:
    return tuple(table.expand(len(x), -1, -1).contiguous() for table in tables)


class _Tokens(torch.autograd.Function):
    """(x, y, gate, factor, offset, place, lengths, eps) to (x + gate * y, its norm); None for what there is none of."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor | None, Tensor | None]:
        x, y, gate, factor, offset, place, lengths, eps = args
        x, y = x.contiguous(), None if y is None else y.contiguous()
        own = _spans(x, lengths, gate if factor is None else factor)
        total = None if gate is None else torch.empty_like(x)
        normed = None if factor is None else torch.empty_like(x)
        _launch(
            forward, x, own, gate, factor, place, (x, y, total, normed, gate, factor, offset, place, own.table), eps
        )
        # The norm's gradient needs what was normed, the gate's what it let in.
        ctx.save_for_backward((x if total is None else total) if factor is not None else None, y, gate, factor, place)
        ctx.lengths, ctx.eps = lengths, eps
        return total, normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        total, y, gate, factor, place = ctx.saved_tensors
        dtotal, dnormed = (None if dy is None else dy.contiguous() for dy in grads)
        like = total if y is None else y
        own = _spans(like, ctx.lengths, gate if factor is None else factor)
        dx = dtotal if factor is None else torch.empty_like(like)
        dy = None if gate is None else torch.empty_like(like)
        count = (gate is not None) + 2 * (factor is not None)
        sums = torch.empty(len(like), len(own.table) + 1, count, like.shape[-1], device=like.device)
        sums[:, -1] = 0  # of the span that fills up the list of a row
        given = (total, y, dtotal, dnormed, gate, factor, place, own.table, dx, dy, sums)
        _launch(backward, like, own, gate, factor, place, given, ctx.eps)
        rows = list(sums[:, own.of_row].sum(2).unbind(2))
        dgate = None if gate is None else rows.pop(0)
        dfactor, doffset = (None, None) if factor is None else rows
        return dx, dy, dgate, dfactor, doffset, None, None, None


def _spans(x: Tensor, lengths: Lengths, table: Tensor) -> Spans:
    longest = max(SHORTEST, -(-x.shape[0] * x.shape[1] // PROGRAMS))
    return spans(lengths, table.shape[1], longest, x.device)


def _launch(
    kernel: Any,
    x: Tensor,
    own: Spans,
    gate: Tensor | None,
    factor: Tensor | None,
    place: Tensor | None,
    tensors: tuple[Tensor | None, ...],
    eps: float,
) -> None:
    batch, tokens, width = x.shape
    block = 1 << (width - 1).bit_length()
    rows = max(1, ELEMENTS // block)
    # Triton wants an address also for what a kernel leaves alone.
    given = [x if tensor is None else tensor for tensor in tensors]
    kernel[(len(own.table), batch)](
        *given,
        tokens,
        len(own.of_row),
        eps,
        GATED=gate is not None,
        NORMED=factor is not None,
        PLACED=place is not None,
        C=width,
        ROWS=rows,
        BLOCK=block,
        num_warps=max(4, min(16, rows * block // 512)),
        maxnreg=REGISTERS[kernel.__name__],
    )
