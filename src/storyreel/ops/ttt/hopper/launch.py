"""The launches: how many multiprocessors a head gets, and one call of a kernel.

Letters: B batch, T tokens, H heads, N = B * H, M mini-batches.

Nothing here waits for the device but the first call on a GPU, which loads the kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from storyreel.ops.ttt.hopper import driver
from storyreel.ops.ttt.hopper.build import CUBIN
from storyreel.ops.ttt.hopper.states import Kept
from storyreel.ops.ttt.problem import TTTProblem
from storyreel.ops.ttt.states import HeadNorm, MLPState

WIDTH, HIDDEN, MINI_BATCH = 64, 256, 64


@dataclass(frozen=True)
class Launch:
    """cluster: multiprocessors of a head, 1, 2 or 4. way: how its workers send each other their parts of z2, by
    "packets", "stores" or, of a cluster, "copies" (plan.cuh). workers: of a head, 2 or 4, no fewer than
    multiprocessors; 0 for the fewest.
    """

    cluster: int = 2
    way: str = "packets"
    workers: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "workers", self.workers or max(self.cluster, 2))

    @property
    def answerers(self) -> int:
        """Warpgroups that each make the outputs from a part of the hidden values."""
        return self.workers if self.cluster == 1 else self.cluster

    @property
    def kernel(self) -> str:
        name = f"ttt_mlp_{self.cluster}" + (f"_{self.way}" if self.way != "packets" else "")
        return name if self.workers == max(self.cluster, 2) else f"{name}_of_{self.workers}"


LAUNCHES = (
    *(
        Launch(cluster, way)
        for cluster in (1, 2, 4)
        for way in ("packets", "stores", "copies")
        if (cluster, way) != (1, "copies")
    ),
    Launch(2, workers=4),
)


MICROSECONDS = {Launch(1): 7.2, Launch(2, workers=4): 4.3}
"""A mini-batch of as many heads as have room at once, on an H100 (`python bench/hopper_first.py`), of the launches that
are chosen among. Of the others `ttt_mlp_2` takes 4.6 to 4.9, and a cluster of 4 saves nothing: 4.2, for half as many
heads."""


def choice(rows: int, multiprocessors: int) -> Launch:
    """The launch with which `rows` = N take the least time, in as many waves as they need."""
    return min(MICROSECONDS, key=lambda how: -(-rows * how.cluster // multiprocessors) * MICROSECONDS[how])


def read(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    eta: Tensor,
    state: MLPState,
    norm: HeadNorm,
    problem: TTTProblem,
    how: Launch,
    every: int = 0,
    cubin: Path = CUBIN,
    dump: Tensor | None = None,
) -> tuple[Tensor, MLPState, Kept]:
    """One launch: y, the last state and, unless `every` is 0, the states before every `every` mini-batches.

    dump, float32: for a cubin built to dump, where the first mini-batch of sequence and head 0 goes
    (`emulation.Values`, one value behind the other).
    """
    batch, tokens, heads, _ = q.shape
    q, k, v = (x if driver.mappable(x) else x.clone(memory_format=torch.contiguous_format) for x in (q, k, v))
    w1, b1, w2, b2 = (
        w.clone(memory_format=torch.contiguous_format) for w in (state.w1, state.b1, state.w2.mT, state.b2)
    )
    gamma, beta = (x.contiguous() for x in norm)
    y = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    count = -(-tokens // (MINI_BATCH * every)) if every else 0
    kept = Kept(*(torch.empty(batch * heads, count, *w.shape[2:], device=q.device) for w in (w1, b1, w2, b2)))
    with torch.cuda.device(q.device):
        given = driver.Arguments(tokens=tokens, heads=heads, every=every, scale=1 / problem.mini_batch, eps=problem.eps)
        for name, x in (("q", q), ("k", k), ("v", v)):
            setattr(given, name, driver.tensor_map(x, MINI_BATCH))
        pointers = {"eta": eta, "gamma": gamma, "beta": beta, "y": y, "w1": w1, "b1": b1, "w2": w2, "b2": b2}
        pointers |= {f"{name}s": x for name, x in kept._asdict().items()} | ({} if dump is None else {"dump": dump})
        for name, x in pointers.items():
            setattr(given, name, x.data_ptr())
        given.eta_b, given.eta_t, given.eta_h = eta.stride()
        kernel = driver.kernel(cubin, how.kernel, torch.cuda.current_device())
        driver.launch(kernel, batch * heads * how.cluster, given, torch.cuda.current_stream().cuda_stream)
    return y, MLPState(w1, b1, w2.mT, b2), kept
