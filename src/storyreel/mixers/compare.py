"""How large each mixer is: what it learns, and what it keeps of the past."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from storyreel.mixers.build import MIXER_NAMES, build_gated_mixer

MATCHED = "ttt_mlp"


@dataclass(frozen=True)
class LayerSize:
    """Numbers of one layer. `parameters` without its gates, `ratio` of them to those of TTTMLP.

    `state`: numbers that must be kept of the tokens read so far, in one direction, for one sequence; `state_per_head`:
    for each head of the block.
    """

    layer: str
    parameters: int
    ratio: float
    gates: int
    state: int
    state_per_head: float


def layer_sizes(width: int, heads: int, tokens: int, names: tuple[str, ...] = MIXER_NAMES) -> list[LayerSize]:
    """The sizes of mixers for a block of that width and heads, after so many tokens; nothing is allocated.

    ConfigError for an unknown name or a width that `heads` do not divide into heads.
    """
    with torch.device("meta"):
        built = {name: build_gated_mixer(name, width, heads) for name in (MATCHED, *names)}
    matched = _parameters(built[MATCHED])[0]
    sizes = []
    for name in names:
        parameters, gates = _parameters(built[name])
        slot = built[name]
        mixer: Any = slot and slot.get_submodule("mixer")
        state = mixer.state_numbers(tokens) if mixer else 0
        sizes.append(LayerSize(name, parameters, parameters / matched, gates, state, state / heads))
    return sizes


def _parameters(slot: nn.Module | None) -> tuple[int, int]:
    """Of the mixer itself, and of the gates around it."""
    if slot is None:
        return 0, 0
    own = sum(parameter.numel() for parameter in slot.get_submodule("mixer").parameters())
    return own, sum(parameter.numel() for parameter in slot.parameters()) - own
