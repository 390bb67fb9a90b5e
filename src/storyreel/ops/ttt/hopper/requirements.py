"""What the kernels need, of the machine and of the tensors. Each question's answer is what is missing, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from storyreel.ops.ttt.hopper.build import PROGRAMS
from storyreel.ops.ttt.hopper.launch import HIDDEN, MINI_BATCH, WIDTH

Question = TypeVar("Question", bound=Callable[..., Any])


def asked_once(question: Question) -> Question:
    """torch.compile asks while it compiles, and remembers the answer.

    What torch.compiler.assume_constant_result does, which imports the whole compiler.
    """
    question.__dict__["_dynamo_marked_constant"] = True
    return question


@asked_once
def device_trouble(device: torch.device) -> str:
    """Unless `device` is a Hopper GPU and the compiled kernels are there."""
    got = device.type
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        got = f"sm_{major}{minor}"
    if got != "sm_90":
        return f'TTT backend "hopper" needs an sm_90 GPU (H100, H200); got {got}. Try backend="dual".'
    if missing := " and no ".join(str(path) for path in PROGRAMS if not path.exists()):
        return (
            f'TTT backend "hopper" needs its compiled kernels; there is no {missing}. Install storyreel again, run '
            'python -m storyreel.ops.ttt.hopper.build, or try backend="triton".'
        )
    return ""


def shape_trouble(width: int, hidden: int | None, mini_batch: int, dtype: torch.dtype) -> str:
    """Unless the problem is the kernels' own. hidden: width of TTT-MLP's hidden layer, None for TTT-Linear."""
    if (width, hidden, mini_batch, dtype) == (WIDTH, HIDDEN, MINI_BATCH, torch.bfloat16):
        return ""
    memory = "TTT-Linear" if hidden is None else f"TTT-MLP, hidden width {hidden}"
    return (
        f'TTT backend "hopper" needs TTT-MLP, hidden width {HIDDEN}, heads of {WIDTH}, mini-batches of '
        f"{MINI_BATCH} and bfloat16; got {memory}, heads of {width}, mini-batches of {mini_batch} and {dtype}. "
        'Try backend="triton".'
    )
