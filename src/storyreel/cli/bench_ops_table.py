"""How `storyreel bench ops` shows what it measured, and what others published beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from storyreel.wording import counted

if TYPE_CHECKING:
    from storyreel.ops.ttt.timing import OpTime, Time
    from storyreel.ops.ttt.trial import Shape


@dataclass(frozen=True)
class Published:
    """Milliseconds at 63 s of the paper's model, of one op and batch; None: not known."""

    what: str
    op: str
    batch: int
    forward_ms: str
    backward_ms: str | None = None


PAPER = {"tokens": 351_168, "heads": 48, "width": 64, "mini_batch": 64}
PUBLISHED = (
    # The kernels of arXiv 2504.05298, run on one H100 with PyTorch 2.11 and CUDA 13.0; backward from states kept every
    # 16 mini-batches.
    Published("authors, H100", "ttt_mlp", 1, "170", "1427"),
    Published("authors, H100", "ttt_mlp", 2, "339"),
    # Seven products of 64 x 64 x 256 a mini-batch, about 2 us where a head has a multiprocessor of its own.
    Published("floor, H100", "ttt_mlp", 1, "11-14", "about 45"),
    Published("floor, H100", "ttt_mlp", 2, "14"),
)


def heading(shape: Shape, checked: Shape, facts: dict[str, Any]) -> Iterator[str]:
    yield f"{facts['device']}, {facts['dtype']}, torch {facts['torch']}, triton {facts['triton'] or 'none'}"
    every = shape.checkpoint_every
    kept = f"states kept every {every} mini-batches" if every else "everything kept (by hopper every 16th state)"
    tokens = f"{shape.tokens:,} tokens in {shape.mini_batches:,} mini-batches of {shape.mini_batch}"
    yield f"{counted(shape.heads, 'head')} of {shape.width}, {tokens}; {kept}"
    yield f"error: against float64, of {checked.tokens:,} tokens; us: microseconds a mini-batch"
    one_pass = f"{'us':>12}{'peak MiB':>10}{'error':>9}"
    yield f"{'op':11}{'batch':>5}  {'backend':14}{'forward ms':>11}{one_pass}{'backward ms':>13}{one_pass}"


def line(row: OpTime) -> str:
    start = f"{row.shape.op:11}{row.shape.batch:5}  {row.backend:14}"
    if row.wrong:
        return f"{start}  WRONG, so no times: {row.wrong}"
    if not row.forward:
        return f"{start}  {row.refused}"
    forward = _cells(row, row.forward, row.error_outputs, 11)
    if row.refused:
        return f"{start}{forward}  backward: {row.refused}"
    return f"{start}{forward}{_cells(row, row.backward, row.error_gradients, 13) if row.backward else ''}"


def _cells(row: OpTime, time: Time | None, error: float | None, width: int) -> str:
    us = row.microseconds(time)
    peak = time.peak_mib if time else None
    cells = (_number(time and time.ms, width, 2), _number(us, 12, 2), _number(peak, 10, 0))
    return "".join(cells) + (f"{error:9.1e}" if error is not None else f"{'-':>9}")


def _number(value: float | None, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:{width},.{digits}f}"


def published(shape: Shape) -> Iterator[str]:
    """What others measured and what cannot be undercut, for the shape of which that is known."""
    for own in PUBLISHED:
        if (own.op, own.batch) == (shape.op, shape.batch) and all(getattr(shape, n) == x for n, x in PAPER.items()):
            backward = f"{own.backward_ms:>{31 + 13}}" if own.backward_ms else ""
            yield f"{own.op:11}{own.batch:5}  {own.what:14}{own.forward_ms:>11}{backward}"


def launches(rows: list[OpTime]) -> Iterator[str]:
    """A head on one multiprocessor, and on a cluster of 2 or 4 that share its hidden values."""
    if rows:
        yield ""
        yield "hopper's launches, forward; gain: the best on one multiprocessor a head, over this one"
        yield f"{'batch':>5}  {'launch':20}{'multiprocessors a head':>23}{'ms':>9}{'us':>8}{'gain':>7}{'error':>9}"
    for row in rows:
        start = f"{row.shape.batch:5}  {row.launch:20}{row.cluster:23}"
        naive = [x.forward.ms for x in rows if x.shape == row.shape and x.cluster == 1 and x.forward]
        if not row.forward:
            yield f"{start}  {f'WRONG, so no times: {row.wrong}' if row.wrong else row.refused}"
            continue
        gain = min(naive) / row.forward.ms if naive else None
        numbers = (_number(row.forward.ms, 9, 2), _number(row.microseconds(row.forward), 8, 2), _number(gain, 7, 2))
        yield f"{start}{''.join(numbers)}{row.error_outputs:9.1e}"


def facts(row: OpTime) -> dict[str, Any]:
    """For the JSON object; numbers with the digits that mean something."""
    own = dataclasses.asdict(row.shape) | {"mini_batches": row.shape.mini_batches, "backend": row.backend}
    if row.launch:
        own |= {"launch": row.launch, "cluster": row.cluster}
    for name, time in (("forward", row.forward), ("backward", row.backward)):
        us = row.microseconds(time)
        own[f"{name}_ms"] = time and round(time.ms, 4)
        own[f"{name}_us_a_mini_batch"] = us and round(us, 3)
        own[f"{name}_peak_mib"] = time and time.peak_mib and round(time.peak_mib, 1)
        own[f"{name}_repeats"] = time and time.repeats
    for name in ("error_outputs", "error_gradients"):
        error = getattr(row, name)
        own[name] = None if error is None else float(f"{error:.3g}")
    return own | {"refused": row.refused or None, "wrong": row.wrong or None}
