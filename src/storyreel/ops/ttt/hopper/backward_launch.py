"""The way back: gradients from the states that `launch.read` kept.

Letters: B batch, T tokens, H heads, N = B * H, M mini-batches.

Nothing here waits for the device but the first call on a GPU, which loads the kernels.
"""

from __future__ import annotations

import ctypes
from ctypes import c_float, c_int, c_longlong, c_uint64, c_void_p
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from storyreel.ops.ttt.hopper import driver
from storyreel.ops.ttt.hopper.build import BACKWARD_CUBIN
from storyreel.ops.ttt.hopper.states import Gradients, Kept
from storyreel.ops.ttt.problem import TTTProblem
from storyreel.ops.ttt.states import HeadNorm, MLPState

WORKERS, STATE_BYTES, SLOPE_BYTES = 4, 16_896, {2: 6_144, 4: 12_288}  # of `backward_plan.cuh`, slopes by cluster


class Arguments(ctypes.Structure):
    """The kernels' one parameter, byte for byte (`backward_plan.cuh: Arguments`)."""

    _fields_ = (
        *((name, c_uint64 * 16) for name in ("q", "k", "v", "dy")),
        *((name, c_void_p) for name in ("eta", "gamma", "beta", "w1s", "b1s", "w2s", "b2s")),
        *((name, c_void_p) for name in ("dw1", "db1", "dw2", "db2", "dq", "dk", "dv", "deta", "dgamma", "dbeta")),
        *((name, c_void_p) for name in ("states", "slopes")),
        *((name, c_longlong) for name in ("eta_b", "eta_t", "eta_h")),
        *((name, c_int) for name in ("tokens", "heads", "every")),
        *((name, c_float) for name in ("scale", "eps")),
        ("padding", c_int * 15),
    )


@dataclass(frozen=True)
class BackwardLaunch:
    """cluster: multiprocessors of a head, 2 or 4; its four workers share them."""

    cluster: int = 2

    @property
    def kernel(self) -> str:
        return f"ttt_mlp_backward_{self.cluster}"


BACKWARD_LAUNCHES = (BackwardLaunch(2), BackwardLaunch(4))


FASTEST = BackwardLaunch(2)
"""For every shape. On an H100, 63 s of the paper's model take 146 to 149 ms with two multiprocessors a head. With four,
33 of its 48 heads run at once, and the two waves take 288 to 323 ms: as long a mini-batch. Whether four are faster
where that is one wave has not been measured."""


def scratch_bytes(rows: int, every: int, how: BackwardLaunch) -> int:
    """What a launch needs beside its gradients, for `rows` = N."""
    return rows * WORKERS * every * (STATE_BYTES + SLOPE_BYTES[how.cluster])


def go_back(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    eta: Tensor,
    kept: Kept,
    norm: HeadNorm,
    problem: TTTProblem,
    every: int,
    dy: Tensor,
    dstate: MLPState,
    how: BackwardLaunch,
    cubin: Path = BACKWARD_CUBIN,
) -> Gradients:
    """One launch: q, k, v, dy `[B, T, H, 64]` bfloat16, eta `[B, T, H]`, all else float32, to their gradients.

    kept: what `launch.read` kept with the same `every`; dstate: the gradient of the last state, shaped like it. The
    scratch memory is that of `every` mini-batches (`scratch_bytes`), but of no more than there are.
    """
    batch, tokens, heads, _ = q.shape
    rows, every = batch * heads, min(every, -(-tokens // problem.mini_batch))
    q, k, v, dy = (x if driver.mappable(x) else x.clone(memory_format=torch.contiguous_format) for x in (q, k, v, dy))
    dw1, db1, dw2, db2 = (
        w.clone(memory_format=torch.contiguous_format) for w in (dstate.w1, dstate.b1, dstate.w2.mT, dstate.b2)
    )
    gamma, beta = (x.contiguous() for x in norm)
    dq, dk, dv = (torch.empty(q.shape, dtype=q.dtype, device=q.device) for _ in "qkv")
    deta = torch.empty(batch, tokens, heads, device=q.device)
    dnorm = torch.empty(2, batch, heads, WORKERS, 64, device=q.device)
    states, slopes = (
        torch.empty(rows * WORKERS * every * size, dtype=torch.uint8, device=q.device)
        for size in (STATE_BYTES, SLOPE_BYTES[how.cluster])
    )
    given = Arguments(tokens=tokens, heads=heads, every=every, scale=1 / problem.mini_batch, eps=problem.eps)
    pointers = {"eta": eta, "gamma": gamma, "beta": beta, "dw1": dw1, "db1": db1, "dw2": dw2, "db2": db2}
    pointers |= {f"{name}s": x for name, x in kept._asdict().items()}
    pointers |= {"dq": dq, "dk": dk, "dv": dv, "deta": deta, "dgamma": dnorm[0], "dbeta": dnorm[1]}
    pointers |= {"states": states, "slopes": slopes}
    for name, x in pointers.items():
        setattr(given, name, x.data_ptr())
    given.eta_b, given.eta_t, given.eta_h = eta.stride()
    with torch.cuda.device(q.device):
        for name, x in (("q", q), ("k", k), ("v", v), ("dy", dy)):
            setattr(given, name, driver.tensor_map(x, problem.mini_batch))
        kernel = driver.kernel(cubin, how.kernel, torch.cuda.current_device())
        driver.launch(kernel, rows * how.cluster, given, torch.cuda.current_stream().cuda_stream)
    # Two sums: an operator of torch may not return two views of one tensor.
    return Gradients(dq, dk, dv, deta, MLPState(dw1, db1, dw2.mT, db2), HeadNorm(*(x.sum((0, 2)) for x in dnorm)))
