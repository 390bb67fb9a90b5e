"""Which launch choices suit the Triton kernels of the TTT op on this GPU: milliseconds of each.

    python bench/ttt_sweep.py                                          TTT-MLP at the demo's 3 s shape
    python bench/ttt_sweep.py --op ttt_linear --batch 1 --heads 48 --tokens 351168 --checkpoint-every 64

One kernel's choices at a time, the other's as they are; the backward kernel is timed alone, on what the other kept.
`storyreel bench ops` compares the backends. The last line is one JSON object, which also goes to a new file of its own
in bench/results/; --label makes another name.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from storyreel.ops.ttt.timing import timed
from storyreel.ops.ttt.trial import OPS, Shape, Trial
from storyreel.ops.ttt.triton_kernels import linear_launch, mlp_launch

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--op", choices=OPS, default="ttt_mlp")
    defaults = {"batch": 56, "tokens": 1360, "heads": 5, "width": 64, "mini_batch": 64, "checkpoint_every": 0}
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--label", default="", help="end of the file's name, to tell this run from others like it")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    parts = [options.op, "sweep", name.lower().removeprefix("nvidia ").replace(" ", "_"), options.label]
    path = RESULTS / f"{'_'.join(filter(None, parts))}.json"
    if path.exists():
        parser.error(f"{path} is there already. Give a --label, or move it away.")
    shape = Shape(options.op, **{name: getattr(options, name) for name in defaults})
    facts = {"device": name, "torch": torch.__version__, "triton": version("triton"), **dataclasses.asdict(shape)}
    print(json.dumps(facts))
    line = json.dumps({**facts, "rows": list(_sweep(Trial(shape, torch.bfloat16, device), options.repeats))})
    RESULTS.mkdir(exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(line + "\n")
    print(line)


def _sweep(trial: Trial, repeats: int) -> Iterator[dict[str, Any]]:
    if trial.shape.op == "ttt_mlp":
        launch, own = mlp_launch, itertools.product((32, 64), (4, 8), (1, 2), (None, 168))
        choices: list[Any] = [mlp_launch.Tiling(*choice) for choice in own]
    else:
        launch, own = linear_launch, itertools.product((4, 8), (None, 208, 168, 128))
        choices = [linear_launch.Choice(*choice) for choice in own]
    for kernel, choice in itertools.product(("FORWARD", "BACKWARD"), choices):
        usual = getattr(launch, kernel)
        setattr(launch, kernel, choice)
        row: dict[str, Any] = {"kernel": kernel, **dataclasses.asdict(choice)}
        try:
            row["ms"] = round(_milliseconds(trial, kernel, repeats), 3)
        except Exception as error:  # a choice that the compiler cannot make is a row, not the end
            row["refused"] = repr(error)[:200]
        setattr(launch, kernel, usual)
        print(json.dumps(row), flush=True)
        yield row


def _milliseconds(trial: Trial, kernel: str, repeats: int) -> float:
    device, held = trial.dy.device, trial.bytes()
    if kernel == "BACKWARD":
        return timed(trial.go_back, device, repeats, lambda: trial.read("triton"), held).ms
    with torch.no_grad():
        return timed(lambda _: trial.read("triton"), device, repeats, lambda: None, held).ms


if __name__ == "__main__":
    main()
