"""`storyreel bench ops`: the TTT op by backend. A thin wrapper of `ops.ttt.trial` and `ops.ttt.timing`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from storyreel.cli import bench_ops_table as table
from storyreel.cli.bench import SMALLEST, machine_facts
from storyreel.cli.progress import open_progress
from storyreel.data.files import write_whole
from storyreel.errors import ConfigError, refusal

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from storyreel.ops.ttt.hopper.launch import Launch
    from storyreel.ops.ttt.timing import OpTime, Read
    from storyreel.ops.ttt.trial import Judge, Trial

Say = Callable[[str], None]
OPS = ("ttt_mlp", "ttt_linear")
WIDTH = MINI_BATCH = 64
QUICK_TIMES, QUICK_REPEATS = 16, 3


@dataclass(frozen=True)
class Size:
    """What is read where the command line does not say."""

    tokens: int
    heads: int
    batch: tuple[int, ...]
    backends: tuple[str, ...]


ON_GPU = Size(351_168, 48, (1, 2), ("dual", "dual_compiled", "triton", "hopper"))  # 63 s of the paper's model
ON_CPU = Size(165, 2, (1,), ("reference", "dual"))


@dataclass(frozen=True)
class BenchOps:
    """Compare the backends of the TTT op: time, memory and error, forward and backward.

    Heads of 64, mini-batches of 64; bfloat16 on a GPU, float32 on a CPU. Usual sizes: on a GPU 63 s of the paper's
    model, one sequence and two; on a CPU a few tokens. Times are medians in milliseconds, with cold caches on a GPU; us
    is microseconds a mini-batch. Errors are ||x - exact|| / ||exact|| against float64, the largest of all outputs or of
    all gradients, at fewer tokens where there are many. A backend that errs too much gets no times, and exit status 1.
    The backward pass computes again what lies between kept states. The last line is one JSON object.

    Example: storyreel bench ops --quick --out ops.json
    """

    ops: Annotated[tuple[str, ...], arg(metavar="NAME", help_behavior_hint="(default: both)")] = ()
    """ttt_mlp, ttt_linear."""
    backends: Annotated[tuple[str, ...], arg(metavar="NAME", help_behavior_hint="(default: all but slow ones)")] = ()
    """reference, dual, dual_compiled, triton, hopper."""
    tokens: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 351168, on a CPU 165)")] = None
    """Tokens of a sequence."""
    heads: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 48, on a CPU 2)")] = None
    """Heads."""
    batch: Annotated[tuple[int, ...], arg(metavar="N", help_behavior_hint="(default: 1 2, on a CPU 1)")] = ()
    """Sequences at once."""
    checkpoint_every: Annotated[int, arg(metavar="N")] = 64
    """Mini-batches between the states that are kept for the backward pass; 0 keeps everything."""
    backward: Annotated[bool, arg(help_behavior_hint="(default: it is measured)")] = True
    """Leave the backward pass out."""
    quick: bool = False
    """A sixteenth of the tokens, if --tokens does not say how many, and 3 repeats."""
    repeats: Annotated[int, arg(metavar="N")] = 10
    """Calls that a median is taken of; fewer after ten seconds."""
    device: Annotated[str, arg(metavar="D")] = "auto"
    """auto (the first GPU, else the CPU), cpu, cuda or cuda:1."""
    out: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: no file)")] = None
    """A new file for the JSON object."""
    json: bool = False
    """Print the JSON object alone."""


def run(options: BenchOps) -> int:
    """Tables and one JSON object on standard output, rows as they are measured; 1 if a backend is wrong, else 0."""
    _check(options)
    from storyreel.sampling.device import choose_device

    device = choose_device(options.device)
    size = _size(options, device)
    say: Say = (lambda _: None) if options.json else (lambda line: print(line, flush=True))
    facts = machine_facts(device) | _kernel_facts(size) | {"heads": size.heads, "head_width": WIDTH}
    facts |= {"mini_batch": MINI_BATCH, "tokens": size.tokens, "checkpoint_every": options.checkpoint_every}
    rows, launches = _measured(options, size, device, say)
    facts |= {"rows": [table.facts(row) for row in rows], "launches": [table.facts(row) for row in launches]}
    facts |= {"published_at_63_seconds": [dataclasses.asdict(own) for own in table.PUBLISHED]}
    if options.out:
        write_whole(options.out, json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts))
    return int(any(row.wrong for row in (*rows, *launches)))


def _check(options: BenchOps) -> None:
    for name in ("tokens", "heads", "repeats"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ConfigError(refusal(f"--{name}", value, SMALLEST, "Leave it out for the usual"))
    if any(number < 1 for number in options.batch):
        raise ConfigError(refusal("--batch", min(options.batch), SMALLEST, "Leave it out for the usual"))
    if options.checkpoint_every < 0:
        limit = "it must not be negative"
        raise ConfigError(refusal("--checkpoint-every", options.checkpoint_every, limit, "0 keeps everything"))
    if options.out and options.out.exists():
        raise ConfigError(refusal("--out", options.out, "that file is there already", "Choose another name"))
    for name in options.ops:
        if name not in OPS:
            raise ConfigError(refusal("--ops", repr(name), f"the choices are {', '.join(OPS)}", "Choose one or both"))
    from storyreel.ops.ttt import BACKENDS

    choices = [name for name in BACKENDS if name != "auto"]
    for name in options.backends:
        if name not in choices:
            limit = f"the choices are {', '.join(choices)}"
            raise ConfigError(refusal("--backends", repr(name), limit, "storyreel doctor says which run here"))


def _size(options: BenchOps, device: torch.device) -> Size:
    usual = ON_GPU if device.type == "cuda" else ON_CPU
    tokens = options.tokens or usual.tokens // (QUICK_TIMES if options.quick and usual is ON_GPU else 1)
    batch, backends = options.batch or usual.batch, options.backends or usual.backends
    return Size(tokens, options.heads or usual.heads, batch, backends)


def _kernel_facts(size: Size) -> dict[str, Any]:
    if "hopper" not in size.backends:
        return {}
    from storyreel.ops.ttt.hopper.build import PROGRAMS, facts_of

    paths = {cubin.name: facts_of(cubin) for cubin in PROGRAMS}
    read = {name: path.read_text(encoding="utf-8") for name, path in paths.items() if path.exists()}
    return {"hopper_kernels": {name: json.loads(text) for name, text in read.items()}}


def _measured(options: BenchOps, size: Size, device: torch.device, say: Say) -> tuple[list[OpTime], list[OpTime]]:
    """Rows of the backends, and of the launches of the Hopper kernels."""
    import torch

    from storyreel.ops.ttt.trial import Judge, Shape, Trial, error_shape

    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    repeats = QUICK_REPEATS if options.quick else options.repeats
    ops, rows, launches = options.ops or OPS, list[Any](), list[Any]()
    shapes = [
        Shape(op, batch, size.tokens, size.heads, WIDTH, MINI_BATCH, options.checkpoint_every)
        for op in ops
        for batch in size.batch
    ]
    for line in table.heading(shapes[0], error_shape(shapes[0]), machine_facts(device)):
        say(line)
    for shape in shapes:
        with open_progress() as progress:
            progress.stage(f"{shape.op}, batch {shape.batch}: float64")
            judge, trial = Judge(error_shape(shape), dtype, device, options.backward), Trial(shape, dtype, device)
        for backend in size.backends:
            rows.append(_backend(backend, trial, judge, repeats))
            say(table.line(rows[-1]))
            if backend == "hopper" and rows[-1].forward:
                launches += _launches(trial, judge, repeats)
        for line in table.published(shape):
            say(line)
        del judge, trial  # before the next shape's are drawn
    for line in table.launches(launches):
        say(line)
    return rows, launches


def _backend(name: str, trial: Trial, judge: Judge, repeats: int) -> OpTime:
    from storyreel.ops.ttt.timing import OpTime, by_name, measure

    with open_progress() as progress:
        progress.stage(f"{trial.shape.op}, batch {trial.shape.batch}: {name}")
        return measure(OpTime(trial.shape, name), by_name(name), trial, judge, repeats)


def _launches(trial: Trial, judge: Judge, repeats: int) -> list[OpTime]:
    """Forward passes: a head on one multiprocessor, or on a cluster of them."""
    from storyreel.ops.ttt import MLPState
    from storyreel.ops.ttt.hopper import op
    from storyreel.ops.ttt.hopper.launch import LAUNCHES
    from storyreel.ops.ttt.timing import OpTime, measure

    def read_by(how: Launch) -> Read:
        def read(trial: Trial) -> tuple[Tensor, ...]:
            q, k, v, eta, state, norm = trial.arguments()
            assert isinstance(state, MLPState)
            y, last = op.ttt(q, k, v, eta, state, norm, trial.shape.problem, how)
            return y, *last

        return read

    rows = []
    with open_progress() as progress:
        progress.stage(f"{trial.shape.op}, batch {trial.shape.batch}: launches", len(LAUNCHES))
        for how in LAUNCHES:
            row = OpTime(trial.shape, "hopper", how.kernel, how.cluster)
            rows.append(measure(row, read_by(how), trial, judge, repeats, backward=False))
            progress.advance()
    return rows
