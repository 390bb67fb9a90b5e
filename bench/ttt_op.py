"""Milliseconds of the TTT op alone, forward and forward + backward, by backend, with its error beside it.

    python bench/ttt_op.py                     the demo's 3 s shape
    python bench/ttt_op.py --shape paper       63 s of the paper's model, one sequence
    python bench/ttt_op.py --memory linear     TTT-Linear instead of TTT-MLP
    python bench/ttt_op.py --sweep             which launch choices suit the Triton kernels on this GPU

Errors are those of a small shape of the same heads and dtype against float64, as ||x - exact|| / ||exact||, the
largest of all outputs and of all gradients. The last line is one JSON object, which also goes to a file of its own in
bench/results/, named after GPU and options; a file that is there is never overwritten, --label makes another name.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from storyreel.errors import KernelUnavailable
from storyreel.ops.ttt import HeadNorm, LinearState, MLPState, TTTProblem, ttt_linear, ttt_mlp

RESULTS = Path(__file__).parent / "results"
BACKENDS = ["dual", "dual_compiled", "triton"]
SHAPES = {
    "demo_3s": {"batch": 56, "heads": 5, "tokens": 1360, "checkpoint_every": 0},
    "demo_9s": {"batch": 20, "heads": 5, "tokens": 3900, "checkpoint_every": 0},
    "paper": {"batch": 1, "heads": 48, "tokens": 351168, "checkpoint_every": 64},
}
SMALL = {"batch": 2, "heads": 3, "tokens": 5 * 64 + 37, "checkpoint_every": 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", choices=("mlp", "linear"), default="mlp")
    parser.add_argument("--shape", choices=SHAPES, default="demo_3s")
    for name in ("batch", "heads", "tokens", "checkpoint-every"):
        parser.add_argument(f"--{name}", type=int, help="instead of the shape's")
    parser.add_argument("--head-width", type=int, default=64)
    parser.add_argument("--mini-batch", type=int, default=64)
    parser.add_argument("--backends", nargs="+", default=BACKENDS)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument(
        "--sweep", action="store_true", help="times the Triton kernels with many launch choices, and ends"
    )
    parser.add_argument("--label", help="end of the file's name, to tell this run from others like it")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    path = RESULTS / _file_name(parser, options, device)
    if path.exists():
        parser.error(f"{path} is there already. Give a --label, or move it away.")
    shape = {n: x if (own := getattr(options, n)) is None else own for n, x in SHAPES[options.shape].items()}
    facts = {
        **_versions(device),
        "memory": options.memory,
        **shape,
        "head_width": options.head_width,
        "mini_batch": options.mini_batch,
    }
    facts["mini_batches"] = -(-shape["tokens"] // options.mini_batch)
    print(json.dumps(facts))
    op = Op(options.memory, shape, options.head_width, options.mini_batch, device)
    if options.sweep:
        rows = list(_sweep(op, options.repeats))
    else:
        small = Op(options.memory, SMALL, options.head_width, options.mini_batch, device)
        rows = [_measured(op, small, backend, options.repeats) for backend in options.backends]
    line = json.dumps({**facts, "rows": rows})
    RESULTS.mkdir(exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(line + "\n")
    print(line)


def _file_name(parser: argparse.ArgumentParser, options: argparse.Namespace, device: torch.device) -> str:
    """ttt_op_h200_demo_3s.json, and in it every option that says what is measured, if it is not the usual."""
    gpu = torch.cuda.get_device_name().lower().removeprefix("nvidia ") if device.type == "cuda" else "cpu"
    parts = ["ttt_op", gpu, options.shape]
    for name in ("memory", "batch", "heads", "tokens", "checkpoint_every", "head_width", "mini_batch"):
        if (value := getattr(options, name)) != parser.get_default(name):
            parts.append(f"{name}_{value}")
    if options.sweep:
        parts.append("sweep")
    elif options.backends != BACKENDS:
        parts += options.backends
    if options.label:
        parts.append(options.label)
    return f"{'_'.join(parts).replace(' ', '_')}.json"


class Op:
    """Tensors of one shape, bfloat16 on a GPU and float32 elsewhere, and the op on them."""

    def __init__(self, memory: str, shape: dict[str, int], width: int, mini_batch: int, device: torch.device) -> None:
        torch.manual_seed(0)
        self.memory = memory
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        lead, hidden = (shape["batch"], shape["tokens"], shape["heads"]), 4 * width
        self.problem = TTTProblem(mini_batch, checkpoint_every=shape["checkpoint_every"])
        q, k = (torch.nn.functional.normalize(torch.randn(*lead, width, device=device), dim=-1) for _ in "qk")
        v, eta = torch.randn(*lead, width, device=device), torch.rand(*lead, device=device)
        sizes = [(width, hidden), (hidden, width)] if memory == "mlp" else [(width, width)]
        state: list[Tensor] = []
        for lines, columns in sizes:
            rows = (shape["batch"], shape["heads"])
            state.append(torch.randn(*rows, lines, columns, device=device) * lines**-0.5)
            state.append(torch.zeros(*rows, columns, device=device))
        norm = (torch.ones(shape["heads"], width, device=device), torch.zeros(shape["heads"], width, device=device))
        tensors = (q.to(dtype), k.to(dtype), v.to(dtype), eta, *state, *norm)
        self.tensors = tuple(x.requires_grad_() for x in tensors)
        self.dy = torch.randn(*lead, width, device=device, dtype=dtype)

    def forward(self, backend: str, tensors: tuple[Tensor, ...] | None = None) -> tuple[Tensor, ...]:
        """y and the final state."""
        q, k, v, eta, *state, norm_w, norm_b = tensors or self.tensors
        given, norm = {"problem": self.problem, "backend": backend}, HeadNorm(norm_w, norm_b)
        if self.memory == "mlp":
            y, final = ttt_mlp(q, k, v, eta, MLPState(*state), norm, **given)
        else:
            y, final = ttt_linear(q, k, v, eta, LinearState(*state), norm, **given)
        return y, *final

    def both(self, backend: str, tensors: tuple[Tensor, ...] | None = None) -> tuple[tuple[Tensor, ...], ...]:
        """The outputs, and the gradients of all tensors, of a loss of y and the final state."""
        tensors = tensors or self.tensors
        y, *final = self.forward(backend, tensors)
        total = (y * self.dy.to(y.dtype)).sum(dtype=tensors[3].dtype) + sum(w.square().sum() for w in final)
        return (y, *final), torch.autograd.grad(total, tensors)

    def errors(self, backend: str) -> dict[str, float]:
        doubles = tuple(x.detach().double().requires_grad_() for x in self.tensors)
        pairs = zip(self.both(backend), self.both("dual", doubles), strict=True)
        worst = [max(_relative(a, b) for a, b in zip(mine, true, strict=True)) for mine, true in pairs]
        return {"error_outputs": float(f"{worst[0]:.3g}"), "error_gradients": float(f"{worst[1]:.3g}")}


def _relative(given: Tensor, exact: Tensor) -> float:
    return ((given.double() - exact).norm() / exact.norm()).item()


def _measured(op: Op, small: Op, backend: str, repeats: int) -> dict[str, Any]:
    """One row of the table; `refused` with the reason where the backend cannot serve."""
    try:
        row: dict[str, Any] = {"backend": backend, **small.errors(backend)}
        with torch.no_grad():
            row["forward_ms"] = _milliseconds(lambda: op.forward(backend), repeats)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        row["forward_backward_ms"] = _milliseconds(lambda: op.both(backend), repeats)
        if torch.cuda.is_available():
            row["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    except (KernelUnavailable, torch.cuda.OutOfMemoryError) as error:
        row = {"backend": backend, "refused": str(error).splitlines()[0]}
    print(json.dumps(row), flush=True)
    return row


def _sweep(op: Op, repeats: int) -> Iterator[dict[str, Any]]:
    """One kernel's choices at a time, the other's as they are; the backward kernel is timed with the forward one."""
    from storyreel.ops.ttt.triton_kernels import linear_launch, mlp_launch

    if op.memory == "mlp":
        launch, own = mlp_launch, itertools.product((32, 64), (4, 8), (1, 2), (None, 168))
        choices: list[Any] = [mlp_launch.Tiling(*choice) for choice in own]
    else:
        launch, own = linear_launch, itertools.product((4, 8), (None, 208, 168, 128))
        choices = [linear_launch.Choice(*choice) for choice in own]

    def forward() -> object:
        with torch.no_grad():
            return op.forward("triton")

    kernels = (("FORWARD", "forward_ms", forward), ("BACKWARD", "forward_backward_ms", lambda: op.both("triton")))
    for name, timed, call in kernels:
        usual = getattr(launch, name)
        for choice in choices:
            setattr(launch, name, choice)
            row: dict[str, Any] = {"kernel": name, **dataclasses.asdict(choice)}
            try:
                row[timed] = _milliseconds(call, repeats)
            except Exception as error:  # a choice that the compiler cannot make is a row, not the end
                row["refused"] = repr(error)[:200]
            print(json.dumps(row), flush=True)
            yield row
        setattr(launch, name, usual)


def _milliseconds(call: Callable[[], object], repeats: int) -> float:
    """Median over `repeats` calls, after two that compile and warm up."""
    call()
    call()
    times = []
    for _ in range(repeats):
        if torch.cuda.is_available():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            call()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end))
        else:
            began = time.perf_counter()
            call()
            times.append(1000 * (time.perf_counter() - began))
    return round(sorted(times)[len(times) // 2], 3)


def _versions(device: torch.device) -> dict[str, str]:
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    facts = {"device": name, "torch": torch.__version__, "cuda": str(torch.version.cuda)}
    try:
        return facts | {"triton": version("triton")}
    except PackageNotFoundError:
        return facts


if __name__ == "__main__":
    main()
