"""Pieces of a forward pass, each called by name: whoever trains or measures a model says from outside how they are run.

A piece of a block is `attention` (the norm in front of local attention, and it), `forward` and `reverse` (each reading
of the mixer, with its gate), `mlp` (the residual, its norm and the feed-forward layer); the fused forward runs
`projections` (to queries, keys and values) as pieces inside of these. What is smaller has a name for profiles alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.profiler import record_function

PART = "storyreel: "
"""In front of a part's name in a profile."""

Runner = Callable[..., Any]
"""(name, function, what it is given) to what the function makes of that."""


def directly(name: str, function: Callable[..., Any], *given: Any) -> Any:
    """The runner of a module that nobody has told otherwise."""
    return function(*given)


class Piecewise(nn.Module):
    """A module whose forward calls its pieces by `self.run_piece(name, function, ...)`; tensors are among the given."""

    run_piece: Runner = staticmethod(directly)


def run_pieces_by(model: nn.Module, runner: Runner) -> None:
    """Gives every module of `model` that has pieces this runner; `directly` is the usual."""
    for module in model.modules():
        if isinstance(module, Piecewise):
            module.run_piece = runner


def part(name: str) -> record_function:
    """A name that a profile shows around what is done inside."""
    return record_function(PART + name)
