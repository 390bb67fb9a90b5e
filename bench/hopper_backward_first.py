"""Builds TTT-MLP's Hopper kernels, checks every gradient of the backward ones against float64, and times them.

    python bench/hopper_backward_first.py                                    both launches: a minute or two of one GPU
    python bench/hopper_backward_first.py --launches ttt_mlp_backward_2      one of them
    python bench/hopper_backward_first.py --every 4 8 16                     distances between kept states to be timed
    python bench/hopper_backward_first.py --no-times                         errors alone

Each launch has a process of its own: a kernel that fails takes its process with it, not the others. Errors are
||x - exact|| / ||exact||, beside those of autograd through `dual` in bfloat16 on the same inputs; a launch passes if
none is more than twice as large and a second launch gives the same bits. The kept states come from the forward kernel.
Where a launch fails, its gradients of one mini-batch follow, against backward_emulation.py, by warps (rows) and workers
(columns). The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import torch
from torch import Tensor

from storyreel.ops.ttt import HeadNorm, MLPState, TTTProblem, dual
from storyreel.ops.ttt.hopper import backward_emulation, backward_launch, launch
from storyreel.ops.ttt.hopper.backward_launch import BACKWARD_LAUNCHES, BackwardLaunch
from storyreel.ops.ttt.hopper.build import PROGRAMS, build
from storyreel.ops.ttt.hopper.launch import Launch
from storyreel.ops.ttt.hopper.states import Gradients, Kept

PROBLEM = TTTProblem(64)
SECONDS_A_LAUNCH = 120
NAMES = ("q", "k", "v", "eta", "w1", "b1", "w2", "b2", "gamma", "beta")
TOKENS, HEADS = 351_168, 48
TO_REACH_MS, AUTHORS_MS = 140, 1427  # of that shape, batch 1; the authors' kernel, rematerialised, on an H100


@dataclass(frozen=True)
class Case:
    tokens: int
    batch: int
    heads: int
    every: int


CASES = (
    Case(64, 1, 1, 1),
    Case(128, 1, 3, 1),
    Case(37, 2, 2, 3),
    Case(5 * 64, 1, 2, 8),
    Case(17 * 64, 2, 4, 4),
    Case(17 * 64 + 37, 3, 5, 16),
    Case(120 * 64 + 1, 1, 2, 8),
)


class Inputs(NamedTuple):
    read: tuple[Tensor, Tensor, Tensor, Tensor, MLPState, HeadNorm]
    dy: Tensor
    dstate: MLPState


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launches", nargs="+", default=[how.kernel for how in BACKWARD_LAUNCHES])
    parser.add_argument("--every", nargs="+", type=int, default=[4, 8, 16], help="mini-batches between kept states")
    parser.add_argument("--no-times", action="store_true")
    parser.add_argument("--no-build", action="store_true", help="both cubins are there already")
    options = parser.parse_args()
    began = time.perf_counter()
    for kind in () if options.no_build else PROGRAMS:
        print(build(kind), flush=True)
    rows = []
    for how in (how for how in BACKWARD_LAUNCHES if how.kernel in options.launches):
        rows.append(row := _in_a_process(how, options))
        print(f"{json.dumps(row)}  ({time.perf_counter() - began:.0f} s)", flush=True)
    print(json.dumps({"launches": rows, "seconds": round(time.perf_counter() - began, 1)}))


def _in_a_process(how: BackwardLaunch, options: argparse.Namespace) -> dict[str, Any]:
    # A fork: torch is imported, but this process never touches the GPU.
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(how, options, theirs))
    process.start()
    theirs.close()
    row: dict[str, Any] = {"launch": how.kernel}
    deadline = time.perf_counter() + SECONDS_A_LAUNCH
    while True:
        try:
            if not mine.poll(max(deadline - time.perf_counter(), 0)):
                process.kill()
                return row | {"right": False, "ended": f"after {SECONDS_A_LAUNCH} s"}
            row |= mine.recv()
        except EOFError:
            break
    process.join()
    return row if process.exitcode == 0 else row | {"right": False, "ended": f"with status {process.exitcode}"}


def _child(how: BackwardLaunch, options: argparse.Namespace, to: Connection) -> None:
    print(f"\n{how.kernel} on {torch.cuda.get_device_name()}", flush=True)
    right = True
    try:
        for case in CASES:
            right = _check(how, case) and right
            to.send({"right": right})
        if not right:
            _show_inside(how)
    except RuntimeError:
        traceback.print_exc()
        to.send({"right": False, "failed": traceback.format_exc().splitlines()[-1]})
        return
    if right and not options.no_times:
        to.send({"times": list(_times(how, options.every))})


def _check(how: BackwardLaunch, case: Case) -> bool:
    inputs = _draw(case)
    exact, plain = _by_autograd(inputs, torch.float64), _by_autograd(inputs)
    kept = launch.read(*inputs.read, PROBLEM, Launch(2), case.every)[2]
    mine, again = (_flat(_go_back(inputs, kept, case.every, how)) for _ in range(2))
    pairs = zip(mine, plain, exact, strict=True)
    errors = [(_relative(a, c), _relative(b, c)) for a, b, c in pairs]
    alike = all(torch.equal(a, b) for a, b in zip(mine, again, strict=True))
    right = alike and all(a < 2 * b for a, b in errors)
    text = "  ".join(f"{name} {a:.1e} ({b:.1e})" for name, (a, b) in zip(NAMES, errors, strict=True))
    print(
        f"  {'ok   ' if right else 'WRONG'} {case}: {text}{'' if alike else '  differs between two runs'}", flush=True
    )
    return right


def _show_inside(how: BackwardLaunch) -> None:
    inputs = _draw(Case(64, 1, 1, 1))
    q, k, v, eta, state, norm = inputs.read
    w1, b1, w2, b2 = (w.flatten(0, 1)[:, None] for w in state)
    kept = Kept(w1, b1, w2.mT.contiguous(), b2)
    mine = _flat(_go_back(inputs, kept, 1, how))
    given = (q, k, v, eta, kept, norm, PROBLEM, 1, inputs.dy, inputs.dstate)
    own = backward_emulation.go_back(*given, how.cluster, tanh_error=0)
    for name, x, y in zip(NAMES, mine, _flat(own), strict=True):
        x, y = (z.squeeze().float() for z in (x, y))
        x, y = (z[:, None] if z.dim() == 1 else z.mT if name == "w2" else z for z in (x, y))
        columns = 64 if y.shape[1] % 64 == 0 else y.shape[1]
        blocks = [
            [_relative(a, b) for a, b in zip(s.split(columns, 1), t.split(columns, 1), strict=True)]
            for s, t in zip(x.split(16), y.split(16), strict=True)
        ]
        rows = " | ".join(" ".join(f"{e:.0e}" for e in line) for line in blocks)
        print(f"    {name:6} {_relative(x, y):.1e}   {rows}", flush=True)


def _times(how: BackwardLaunch, distances: list[int]) -> Iterator[dict[str, Any]]:
    inputs = _draw(Case(TOKENS, 1, HEADS, 0), fast=True)
    for every in distances:
        torch.cuda.reset_peak_memory_stats()
        kept = launch.read(*inputs.read, PROBLEM, Launch(2), every)[2]
        before, times = torch.cuda.memory_allocated(), []
        _go_back(inputs, kept, every, how)
        for _ in range(5):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            _go_back(inputs, kept, every, how)
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end))
        median, count = sorted(times)[2], -(-TOKENS // 64)
        row = {
            "every": every,
            "ms": round(median, 2),
            "us_a_mini_batch": round(1000 * median / count, 2),
            "kept_gib": round(sum(4 * w.numel() for w in kept) / 2**30, 2),
            "scratch_mib": round(backward_launch.scratch_bytes(HEADS, every, how) / 2**20, 1),
            "gib": round((torch.cuda.max_memory_allocated() - before) / 2**30, 2),
        }
        print(f"  {row}; to reach {TO_REACH_MS} ms; the authors' kernel {AUTHORS_MS} ms", flush=True)
        yield row
        del kept
        torch.cuda.empty_cache()


def _draw(case: Case, fast: bool = False) -> Inputs:
    """On the GPU. fast: drawn there, in bfloat16; otherwise the same on every machine."""
    chance = torch.Generator("cuda" if fast else "cpu").manual_seed(0)
    lead, rows = (case.batch, case.tokens, case.heads), (case.batch, case.heads)

    def normal(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        made = torch.randn(*shape, generator=chance, device=chance.device, dtype=dtype)
        return made.to("cuda")

    def weights() -> tuple[Tensor, ...]:
        return normal(*rows, 64, 256), normal(*rows, 256), normal(*rows, 256, 64), normal(*rows, 64)

    inside = torch.bfloat16 if fast else torch.float32
    q, k = (torch.nn.functional.normalize(normal(*lead, 64, dtype=inside), dim=-1).bfloat16() for _ in "qk")
    v, dy = (normal(*lead, 64, dtype=inside).bfloat16() for _ in "vy")
    state = MLPState(*(w / size for w, size in zip(weights(), (8, 8, 16, 1), strict=True)))
    norm = HeadNorm(1 + 0.3 * normal(case.heads, 64), 0.3 * normal(case.heads, 64))
    return Inputs((q, k, v, normal(*lead).sigmoid(), state, norm), dy, MLPState(*weights()))


def _go_back(inputs: Inputs, kept: Kept, every: int, how: BackwardLaunch) -> Gradients:
    q, k, v, eta, _, norm = inputs.read
    return backward_launch.go_back(q, k, v, eta, kept, norm, PROBLEM, every, inputs.dy, inputs.dstate, how)


def _by_autograd(inputs: Inputs, dtype: torch.dtype | None = None) -> tuple[Tensor, ...]:
    """Through the matrix form, all in `dtype` if given."""
    q, k, v, eta, state, norm = inputs.read
    leaves = [x.to(dtype or x.dtype).detach().requires_grad_() for x in (q, k, v, eta, *state, *norm)]
    y, final = dual.ttt(*leaves[:4], MLPState(*leaves[4:8]), HeadNorm(*leaves[8:]), PROBLEM)
    given = (inputs.dy, *inputs.dstate)
    return torch.autograd.grad((y, *final), leaves, [x.to(w.dtype) for x, w in zip(given, (y, *final), strict=True)])


def _flat(found: Gradients) -> tuple[Tensor, ...]:
    return (*found[:4], *found.state, *found.norm)


def _relative(given: Tensor, exact: Tensor) -> float:
    return ((given.double() - exact.double()).norm() / exact.double().norm()).item()


if __name__ == "__main__":
    main()
