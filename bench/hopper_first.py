"""Builds the Hopper kernels of TTT-MLP, checks every launch against float64, and times them: about a minute of one GPU.

    python bench/hopper_first.py                        all launches: errors, then times at 63 s of the paper's model
    python bench/hopper_first.py --launches ttt_mlp_2   one of them
    python bench/hopper_first.py --dump                 also the values inside the first mini-batch
    python bench/hopper_first.py --no-times             errors alone
    python bench/hopper_first.py --timeline             also where the cycles of a mini-batch go

Each launch has a process of its own: a kernel that fails takes its process with it, not the others. Errors are
||x - exact|| / ||exact||, beside those of `dual` in bfloat16 on the same inputs; a launch passes if none is more than
twice as large and a second launch gives the same bits. Where one does not, its values inside the first mini-batch
follow, against emulation.py (as with --dump): the first that is wrong says where to look. The last line is one JSON
object.
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
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from storyreel.ops.ttt import HeadNorm, MLPState, TTTProblem, dual
from storyreel.ops.ttt.hopper import emulation, launch
from storyreel.ops.ttt.hopper.build import CUBIN, DUMPING_CUBIN, TIMING_CUBIN, build
from storyreel.ops.ttt.hopper.launch import LAUNCHES, Launch

PROBLEM = TTTProblem(64)
SECONDS_A_LAUNCH = 90
NAMES = ("y", "w1", "b1", "w2", "b2")
PAPER = {"tokens": 351_168, "heads": 48}
FLOOR_MS, AUTHORS_MS = "11-14", {1: 170, 2: 339}  # of the paper's shape by batch; measured on an H100


TIMES = 64, 32, 12  # plan.cuh: Times
POINTS = {  # what happens from each point to the next; from the last one to the first of the next mini-batch
    "learning": (
        "waiting for k and v",
        "both layers",
        "sending; v - k",
        "waiting for the others' parts, sum",
        "norm, slope of the loss",
        "product 3 begun, step2 stored, barrier",
        "step1",
        "fence, barrier",
        "product 5 begun, sums of columns",
        "waiting for the products, copies of the state",
        "fence, barrier",
        "waiting for the outputs of the mini-batch before the last",
    ),
    "outputs": (
        "waiting for q and the state",
        "both layers",
        "sending",
        "waiting for the others' parts",
        "norm, y",
        "signals",
    ),
}


@dataclass(frozen=True)
class Case:
    tokens: int
    batch: int
    heads: int
    every: int = 0


CASES = (
    Case(64, 1, 1),
    Case(128, 1, 3),
    Case(37, 2, 2),
    Case(17 * 64, 2, 4),
    Case(17 * 64 + 37, 3, 5, every=4),
    Case(301 * 64 + 1, 1, 2),
)
Inputs = tuple[Tensor, Tensor, Tensor, Tensor, MLPState, HeadNorm]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launches", nargs="+", default=[how.kernel for how in LAUNCHES], help="names of kernels")
    parser.add_argument("--dump", action="store_true", help="the values inside the first mini-batch, right or wrong")
    parser.add_argument("--no-times", action="store_true")
    parser.add_argument("--timeline", action="store_true", help="cycles between points of a mini-batch")
    parser.add_argument("--no-build", action="store_true", help="the cubins are there already")
    parser.add_argument("--save", type=Path, metavar="DIR", help="where dumped values go, as one .pt file a launch")
    options = parser.parse_args()
    began = time.perf_counter()
    for kind in () if options.no_build else (CUBIN, DUMPING_CUBIN, TIMING_CUBIN):
        report = build(kind)
        print("\n".join(line for line in report.splitlines() if "C75" in line or kind == CUBIN), flush=True)
    rows = []
    for how in (how for how in LAUNCHES if how.kernel in options.launches):
        rows.append(row := _in_a_process(how, options))
        print(f"{json.dumps(row)}  ({time.perf_counter() - began:.0f} s)", flush=True)
    print(json.dumps({"launches": rows, "seconds": round(time.perf_counter() - began, 1)}))


def _in_a_process(how: Launch, options: argparse.Namespace) -> dict[str, Any]:
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


def _child(how: Launch, options: argparse.Namespace, to: Connection) -> None:
    print(f"\n{how.kernel} on {torch.cuda.get_device_name()}", flush=True)
    right = True
    try:
        for case in CASES:
            right = _check(how, case) and right
            to.send({"right": right})
    except RuntimeError:
        traceback.print_exc()
        to.send({"right": False, "failed": traceback.format_exc().splitlines()[-1]})
        return
    with torch.no_grad():
        if options.dump or not right:
            _show_inside(how, options.save)
        if right and not options.no_times:
            to.send({"times": list(_times(how))})
        if right and options.timeline:
            to.send({"timeline": _timeline(how)})


def _check(how: Launch, case: Case) -> bool:
    inputs = _draw(case)
    exact, plain, mine = _exact(inputs), dual.ttt(*inputs, PROBLEM), launch.read(*inputs, PROBLEM, how, case.every)
    again = launch.read(*inputs, PROBLEM, how, case.every)
    pairs = zip(_flat(mine), _flat(plain), _flat(exact), strict=True)
    errors = [(_relative(a, c), _relative(b, c)) for a, b, c in pairs]
    alike = all(torch.equal(a, b) for a, b in zip(_flat(mine), _flat(again), strict=True))
    right = alike and all(a < 2 * b for a, b in errors)
    text = "  ".join(f"{name} {a:.1e} ({b:.1e})" for name, (a, b) in zip(NAMES, errors, strict=True))
    print(
        f"  {'ok   ' if right else 'WRONG'} {case}: {text}{'' if alike else '  differs between two runs'}", flush=True
    )
    return right


def _show_inside(how: Launch, save: Path | None) -> None:
    """Every value of the first mini-batch beside the emulated one, by worker (columns) and warp (rows)."""
    inputs = _draw(Case(64, 1, 1))
    on_cpu = (_on_the_cpu(x) for x in inputs)
    right = emulation.ttt(*on_cpu, PROBLEM, how.workers, how.answerers, tanh_error=0)[2]
    values = [x[0] for x in right]
    dump = torch.full((sum(x.numel() for x in values),), float("nan"), device="cuda")
    launch.read(*inputs, PROBLEM, how, cubin=DUMPING_CUBIN, dump=dump)
    found = [x.view(y.shape) for x, y in zip(dump.cpu().split([x.numel() for x in values]), values, strict=True)]
    for name, mine, own in zip(emulation.Values._fields, found, values, strict=True):
        columns = own.shape[1] // how.workers if own.shape[1] == 256 else own.shape[1]
        blocks = [
            [_relative(a, b) for a, b in zip(x.split(columns, 1), y.split(columns, 1), strict=True)]
            for x, y in zip(mine.split(16), own.split(16), strict=True)
        ]
        rows = " | ".join(" ".join(f"{e:.0e}" for e in line) for line in blocks)
        print(f"    {name:6} {_relative(mine, own):.1e}   warps: {rows}", flush=True)
    if save:
        save.mkdir(parents=True, exist_ok=True)
        torch.save({"dumped": found, "emulated": values}, save / f"{how.kernel}.pt")


def _times(how: Launch) -> Iterator[dict[str, Any]]:
    for batch in (1, 2):
        inputs = _draw(Case(batch=batch, **PAPER), fast=True)
        launch.read(*inputs, PROBLEM, how)
        times = []
        for _ in range(5):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            launch.read(*inputs, PROBLEM, how)
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end))
        median, count = sorted(times)[2], -(-PAPER["tokens"] // 64)
        row = {"batch": batch, "ms": round(median, 2), "us_a_mini_batch": round(1000 * median / count, 2)}
        print(f"  {row}; floor {FLOOR_MS} ms; the authors' kernel {AUTHORS_MS[batch]} ms", flush=True)
        yield row
        del inputs
        torch.cuda.empty_cache()


def _timeline(how: Launch) -> dict[str, list[int]]:
    """Mean cycles from each point of a mini-batch to the next, of the first worker of sequence and head 0."""
    first, rounds, points = TIMES
    shape = (how.workers, 2, rounds, points)
    stamps = torch.zeros(shape, device="cuda")
    inputs = _draw(Case(tokens=64 * (first + rounds + 8), batch=1, heads=PAPER["heads"]), fast=True)
    launch.read(*inputs, PROBLEM, how, cubin=TIMING_CUBIN, dump=stamps)
    clocks = stamps.view(torch.int32).cpu().long()[0]
    found = {}
    for role, (name, labels) in enumerate(POINTS.items()):
        own = clocks[role, :, : len(labels)]
        steps = torch.cat([own, own[:, :1].roll(-1, 0)], 1).diff(dim=1).remainder(2**32)[:-1].float().mean(0)
        found[name] = [round(x) for x in steps.tolist()]
        print(f"  {name}, cycles: {sum(found[name])} a mini-batch")
        for label, cycles in zip(labels, found[name], strict=True):
            print(f"    {cycles:6}  {label}", flush=True)
    return found


def _draw(case: Case, fast: bool = False) -> Inputs:
    """On the GPU. fast: drawn there, in bfloat16; otherwise the same on every machine."""
    chance = torch.Generator("cuda" if fast else "cpu").manual_seed(0)
    lead, rows = (case.batch, case.tokens, case.heads), (case.batch, case.heads)

    def normal(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        made = torch.randn(*shape, generator=chance, device=chance.device, dtype=dtype)
        return made.to("cuda")

    inside = torch.bfloat16 if fast else torch.float32
    q, k = (torch.nn.functional.normalize(normal(*lead, 64, dtype=inside), dim=-1).bfloat16() for _ in "qk")
    v, eta = normal(*lead, 64, dtype=inside).bfloat16(), normal(*lead).sigmoid()
    state = MLPState(normal(*rows, 64, 256) / 8, normal(*rows, 256) / 8, normal(*rows, 256, 64) / 16, normal(*rows, 64))
    norm = HeadNorm(1 + 0.3 * normal(case.heads, 64), 0.3 * normal(case.heads, 64))
    return q, k, v, eta, state, norm


def _exact(inputs: Inputs) -> tuple[Tensor, MLPState]:
    q, k, v, eta, state, norm = inputs
    wide = MLPState(*(w.double() for w in state)), HeadNorm(*(w.double() for w in norm))
    return dual.ttt(q.double(), k.double(), v.double(), eta.double(), *wide, PROBLEM)


def _on_the_cpu(x: Any) -> Any:
    return x.cpu() if isinstance(x, Tensor) else type(x)(*(w.cpu() for w in x))


def _flat(outputs: tuple[Any, ...]) -> tuple[Tensor, ...]:
    return outputs[0], *outputs[1]


def _relative(given: Tensor, exact: Tensor) -> float:
    return ((given.double() - exact.double()).norm() / exact.double().norm()).item()


if __name__ == "__main__":
    main()
