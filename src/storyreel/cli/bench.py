"""`storyreel bench block`: a block with each mixer. A thin wrapper of `mixers.compare` and `training.block_timing`."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from storyreel.cli.bench_published import published
from storyreel.data.files import write_whole
from storyreel.errors import ConfigError, refusal
from storyreel.geometry import TokenLayout
from storyreel.models.forward_names import Forward, remat_words

if TYPE_CHECKING:
    import torch

    from storyreel.mixers.compare import LayerSize
    from storyreel.training.block_timing import BlockTime

TIMED_SECONDS, SIZED_SECONDS = 3, 63
PART_COLUMNS = (("forward_ms", 11), ("forward_floor_ms", 9), ("backward_ms", 13), ("backward_floor_ms", 9))
COLUMNS = (
    ("forward ms", "forward_ms", 12, 2),
    ("x local", "forward_ratio", 9, 2),
    ("paper", "published forward_ratio", 8, 2),
    ("GB", "forward_mib", 8, 2),
    ("training ms", "training_ms", 13, 2),
    ("x local", "training_ratio", 9, 2),
    ("paper", "published training_ratio", 8, 2),
    ("GB", "peak_mib", 8, 2),
)
SMALLEST = "it must be 1 or more"


@dataclass(frozen=True)
class BenchBlock:
    """Compare the layers of a transformer block's slot: their sizes, or their time and memory.

    --sizes builds nothing and answers at once. Without it each layer's block is run: forward as in sampling, and a
    training step (forward, and backward with the block computed again; --remat says what of it). Times are medians in
    milliseconds, `x local` is the ratio to a block without a mixer. On a GPU blocks have their fused forward (--forward
    plain: as on a CPU).
    At the paper's sizes its ratios stand beside. GB is the most memory by then.
    --parts times each part of the fused block by itself, beside the floor that an H100's arithmetic or memory sets.
    Defaults are the paper's sizes, which want a GPU; on a CPU give small ones: --width 320 --heads 5 --height 128
    --frame-width 192. The last line is one JSON object.

    Example: storyreel bench block --sizes
    """

    sizes: bool = False
    """Print numbers of parameters and of state, and run nothing."""
    layers: Annotated[tuple[str, ...], arg(metavar="NAME", help_behavior_hint="(default: all seven)")] = ()
    """local, full, sliding_window, mamba2, gated_deltanet, ttt_linear, ttt_mlp."""
    seconds: Annotated[tuple[int, ...], arg(metavar="N", help_behavior_hint="(default: 3; with --sizes 63)")] = ()
    """Lengths of the video."""
    width: Annotated[int, arg(metavar="N")] = 3072
    """Width of the block."""
    heads: Annotated[int, arg(metavar="N")] = 48
    """Heads of the block."""
    height: Annotated[int, arg(metavar="PX")] = 480
    """Height of the video in pixels."""
    frame_width: Annotated[int, arg(metavar="PX")] = 720
    """Width of the video in pixels."""
    batch: Annotated[int, arg(metavar="N")] = 1
    """Sequences at once."""
    repeats: Annotated[int, arg(metavar="N")] = 5
    """Calls that a median is taken of."""
    forward: Forward = "auto"
    """fused has kernels in Triton, for GPUs; auto is fused on a CUDA GPU, else plain."""
    remat: Annotated[str, arg(metavar="WORDS")] = "block+projections"
    """What the training step computes again: none, or some of block, attention, forward, reverse, mlp, projections."""
    parts: bool = False
    """Time the parts of the fused block instead of the whole."""
    device: Annotated[str, arg(metavar="D")] = "auto"
    """auto (the first GPU, else the CPU), cpu, cuda, cuda:1 or mps."""
    out: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: no file)")] = None
    """A new file for the JSON object."""
    json: bool = False
    """Print the JSON object alone."""


def run(options: BenchBlock) -> None:
    """A table and one JSON object on standard output; rows appear as they are measured."""
    for name in ("width", "heads", "batch", "repeats"):
        if getattr(options, name) < 1:
            raise ConfigError(refusal(f"--{name}", getattr(options, name), SMALLEST, "Leave it out for the usual"))
    if options.parts and options.forward == "plain":
        limit = "--parts are those of the fused block"
        raise ConfigError(refusal("--forward", options.forward, limit, "Leave one of the two out"))
    if options.out and options.out.exists():
        raise ConfigError(refusal("--out", options.out, "that file is there already", "Choose another name"))
    remat_words(options.remat)
    seconds = options.seconds or (SIZED_SECONDS if options.sizes else TIMED_SECONDS,)
    layouts = [TokenLayout.for_video(length, options.height, options.frame_width) for length in seconds]
    from storyreel.mixers import MIXER_NAMES
    from storyreel.mixers.compare import layer_sizes

    names = options.layers or MIXER_NAMES
    facts: dict[str, Any] = {"width": options.width, "heads": options.heads}
    # Also where only times are wanted: a wrong name or width is told before anything runs.
    tables = [layer_sizes(options.width, options.heads, layout.total_tokens, names) for layout in layouts]
    if options.sizes:
        rows = [row for layout, table in zip(layouts, tables, strict=True) for row in _sized(layout, table, options)]
    else:
        from storyreel.sampling.device import choose_device

        device = choose_device(options.device)
        facts |= {"batch": options.batch, "repeats": options.repeats, "remat": options.remat} | machine_facts(device)
        measure = _timed_parts if options.parts else _timed
        rows = [row for layout in layouts for row in measure(layout, names, device, options)]
    facts["layers"] = rows
    if options.out:
        write_whole(options.out, json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts))


def _sized(layout: TokenLayout, table: list[LayerSize], options: BenchBlock) -> list[dict[str, Any]]:
    if not options.json:
        place = f"{layout.seconds} s, {layout.total_tokens:,} tokens"
        print(f"width {options.width}, {options.heads} heads; state after {place}")
        print(f"{'layer':15}{'parameters':>13}{'of ttt_mlp':>12}{'gates':>9}{'state':>16}{'state a head':>15}")
        for size in table:
            print(
                f"{size.layer:15}{size.parameters:13,}{size.ratio:12.1%}{size.gates:9,}{size.state:16,}"
                f"{size.state_per_head:15,.0f}"
            )
    read = {"seconds": layout.seconds, "tokens": layout.total_tokens}
    return [dataclasses.asdict(size) | {"ratio": round(size.ratio, 4)} | read for size in table]


def _timed(
    layout: TokenLayout, names: tuple[str, ...], device: torch.device, options: BenchBlock
) -> list[dict[str, Any]]:
    from storyreel.training.block_timing import time_block

    if not options.json:
        print(f"width {options.width}, {options.heads} heads, {layout.seconds} s, {layout.total_tokens:,} tokens")
        print(f"{'layer':15}{''.join(f'{title:>{width}}' for title, _, width, _ in COLUMNS)}", flush=True)
    on_gpu: Forward = "fused" if device.type == "cuda" else "plain"
    rows, local, forward = [], None, on_gpu if options.forward == "auto" else options.forward
    size = (options.width, options.heads, options.height, options.frame_width)
    for name in sorted(names, key=lambda name: name != "local"):
        given: dict[str, Any] = {"batch": options.batch, "repeats": options.repeats, "device": device}
        given |= {"forward": forward, "remat": options.remat}
        measured = time_block(name, layout, options.width, options.heads, **given)
        local = measured if name == "local" else local
        theirs = published(layout.seconds, name, *size)
        row = _row(measured, local) | {"forward": forward, "published": theirs and dataclasses.asdict(theirs)}
        rows.append(row)
        if not options.json:
            print(_line(row), flush=True)
    return rows


def _timed_parts(
    layout: TokenLayout, names: tuple[str, ...], device: torch.device, options: BenchBlock
) -> list[dict[str, Any]]:
    from storyreel.training.block_timing import time_parts

    rows = []
    for name in names:
        if not options.json:
            place = f"{layout.seconds} s, {layout.total_tokens:,} tokens"
            print(f"{name}: width {options.width}, {options.heads} heads, {place}")
            print(f"{'part':26}{'forward ms':>11}{'floor':>9}{'backward ms':>13}{'floor':>9}", flush=True)
        given = {"batch": options.batch, "repeats": options.repeats, "device": device}
        measured = [
            {key: round(x, 3) if isinstance(x, float) else x for key, x in dataclasses.asdict(part).items()}
            for part in time_parts(name, layout, options.width, options.heads, **given)
        ]
        if not options.json:
            print("\n".join(_part_line(part) for part in [*measured, _sum_of(measured)]), flush=True)
        rows.append({"layer": name, "seconds": layout.seconds, "tokens": layout.total_tokens, "parts": measured})
    return rows


def _sum_of(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Of what was measured and what is known."""
    sums = {key: sum(part[key] or 0 for part in parts) for key, _ in PART_COLUMNS}
    return {"part": "all together", "times": 1, "refused": None} | sums


def _part_line(part: dict[str, Any]) -> str:
    label = part["part"] if part["times"] == 1 else f"{part['times']} x {part['part']}"
    cells = [f"{'-':>{width}}" if part[key] is None else f"{part[key]:{width}.2f}" for key, width in PART_COLUMNS]
    return f"{label:26}{''.join(cells)}  {part['refused'] or ''}".rstrip()


def _row(own: BlockTime, local: BlockTime | None) -> dict[str, Any]:
    row: dict[str, Any] = dataclasses.asdict(own)
    for kind in ("forward", "training"):
        mine, base = getattr(own, f"{kind}_ms"), getattr(local, f"{kind}_ms", None)
        row[f"{kind}_ratio"] = round(mine / base, 3) if mine and base else None
        row[f"{kind}_ms"] = mine and round(mine, 3)
    for key in ("forward_mib", "peak_mib"):
        row[key] = row[key] and round(row[key], 1)
    return row


def _line(row: dict[str, Any]) -> str:
    theirs = row["published"] or {}
    cells = []
    for _, key, width, digits in COLUMNS:
        value = theirs.get(key.removeprefix("published ")) if key.startswith("published ") else row[key]
        cells.append(f"{'-':>{width}}" if value is None else f"{_in_gb(key, value):{width},.{digits}f}")
    return f"{row['layer']:15}{''.join(cells)}  {row['refused'] or ''}".rstrip()


def _in_gb(key: str, value: float) -> float:
    return value * 2**20 / 1e9 if key.endswith("_mib") else value


def machine_facts(device: torch.device) -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    import torch

    facts: dict[str, Any] = {"device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type}
    facts |= {"dtype": "bfloat16" if device.type == "cuda" else "float32", "threads": torch.get_num_threads()}
    for library in ("storyreel", "torch", "triton", "fla-core"):
        try:
            facts[library] = version(library)
        except PackageNotFoundError:
            facts[library] = None
    return facts
