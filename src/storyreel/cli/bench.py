"""`storyreel bench block`: a block with each mixer. A thin wrapper of `mixers.compare` and `training.block_timing`."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from storyreel.errors import ConfigError, refusal
from storyreel.geometry import TokenLayout

if TYPE_CHECKING:
    import torch

    from storyreel.mixers.compare import LayerSize
    from storyreel.training.block_timing import BlockTime

TIMED_SECONDS, SIZED_SECONDS = 3, 63
PART_COLUMNS = (("forward_ms", 11), ("forward_floor_ms", 9), ("backward_ms", 13), ("backward_floor_ms", 9))
SMALLEST = "it must be 1 or more"


@dataclass(frozen=True)
class BenchBlock:
    """Compare the layers of a transformer block's slot: their sizes, or their time and memory.

    --sizes builds nothing and answers at once. Without it each layer's block is run: forward as in sampling, and a
    training step (forward, and backward with the block computed again). Times are medians in milliseconds, `x local` is
    the ratio to a block without a mixer. On a GPU blocks have their fused forward (--forward plain: as on a CPU).
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
    forward: Literal["auto", "fused", "plain"] = "auto"
    """auto is fused on a GPU, plain elsewhere."""
    parts: bool = False
    """Time the parts of the fused block instead of the whole."""
    device: Annotated[str, arg(metavar="D")] = "auto"
    """auto (the first GPU, else the CPU), cpu, cuda, cuda:1 or mps."""
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
        facts |= {"batch": options.batch, "repeats": options.repeats} | machine_facts(device)
        measure = _timed_parts if options.parts else _timed
        rows = [row for layout in layouts for row in measure(layout, names, device, options)]
    print(json.dumps({**facts, "layers": rows}))


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
        print(
            f"{'layer':15}{'forward ms':>12}{'x local':>9}{'training ms':>13}{'x local':>9}{'peak MiB':>10}", flush=True
        )
    rows, local = [], None
    for name in sorted(names, key=lambda name: name != "local"):
        given = {"batch": options.batch, "repeats": options.repeats, "device": device}
        given["fused"] = options.forward == "fused" or (options.forward == "auto" and device.type == "cuda")
        measured = time_block(name, layout, options.width, options.heads, **given)
        local = measured if name == "local" else local
        row = _row(measured, local) | {"fused": given["fused"]}
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
    row["peak_mib"] = own.peak_mib and round(own.peak_mib, 1)
    return row


def _line(row: dict[str, Any]) -> str:
    if row["refused"]:
        return f"{row['layer']:15}  {row['refused']}"
    cells = [
        ("forward_ms", 12, 2),
        ("forward_ratio", 9, 2),
        ("training_ms", 13, 2),
        ("training_ratio", 9, 2),
        ("peak_mib", 10, 0),
    ]
    shown = [
        f"{'-':>{width}}" if row[key] is None else f"{row[key]:{width},.{digits}f}" for key, width, digits in cells
    ]
    return f"{row['layer']:15}{''.join(shown)}"


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
