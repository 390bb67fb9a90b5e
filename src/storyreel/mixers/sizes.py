"""Sizes of the rivals of TTT-MLP: as many parameters as it has, and half of its state.

TTT-MLP's memory has 8 D^2 weights a head of width D, TTT-Linear's D^2. A rival's state has about 4 D^2 numbers a head,
4 C D in all (arXiv 2504.05298 gives Mamba 2 such a state). Widths are multiples of 16, for matrix units. Attention over
more than a segment has heads of the block's width, and as many of them as make up the parameters.

Letters: C width, H heads, D head width of the TTT layer that is matched.
"""

import functools
import math
from typing import NamedTuple

import torch

from storyreel.mixers.ttt import TTTMLP, head_width

STATE_FACTOR = 4
WIDTH_MULTIPLE = 16
TOLERANCE = 0.02
TAPS = 4


class Mamba2Sizes(NamedTuple):
    heads: int
    head_width: int
    state_width: int


class DeltaSizes(NamedTuple):
    heads: int
    key_width: int
    value_width: int


def mamba2_sizes(width: int, heads: int) -> Mamba2Sizes:
    """About 4/3 H heads of D, so that the three large projections have the 4 C^2 of TTT's four; then the state width.

    The state width is the one that makes a state of 4 C D (3 D where 4/3 H is a whole number), moved only as far as
    keeps the number of parameters within 2% of TTTMLP's. ConfigError for widths that TTTMLP refuses.
    """
    own_width = head_width(width, heads)
    own_heads = max(1, round(heads * 4 / 3))
    inner, budget = own_heads * own_width, ttt_mlp_parameters(width, heads)
    fixed = 3 * inner * width + own_heads * (width + 3) + inner * (TAPS + 2)
    each = 2 * (width + TAPS + 1)
    lowest = math.ceil(((1 - TOLERANCE) * budget - fixed) / each / WIDTH_MULTIPLE)
    highest = math.floor(((1 + TOLERANCE) * budget - fixed) / each / WIDTH_MULTIPLE)
    wanted = round(STATE_FACTOR * width * own_width / inner / WIDTH_MULTIPLE)
    return Mamba2Sizes(own_heads, own_width, max(1, min(max(wanted, lowest), highest)) * WIDTH_MULTIPLE)


def delta_sizes(width: int, heads: int) -> DeltaSizes:
    """About H / 8 heads (1 at least), with keys K and values V wide, from the parameters and the state.

    With h heads, 2 h K + 3 h V = parameters / C and h K V = 4 C D: of the two solutions that with V > K (two to three
    times; twice in arXiv 2412.06464). ConfigError for widths that TTTMLP refuses.
    """
    own_width, own_heads = head_width(width, heads), max(1, round(heads / 8))
    budget = ttt_mlp_parameters(width, heads) - own_heads * (2 * width + 2)
    half = budget / own_heads / (width + TAPS) / 2
    key = half / 2 - math.sqrt(half**2 / 4 - 3 * STATE_FACTOR * width * own_width / own_heads / 2)
    key_width = multiple(key)
    each = own_heads * (3 * width + TAPS) + 1
    value_width = multiple((budget - 2 * own_heads * key_width * (width + TAPS)) / each)
    return DeltaSizes(own_heads, key_width, value_width)


class AttentionSizes(NamedTuple):
    heads: int
    head_width: int


def attention_sizes(width: int, heads: int) -> AttentionSizes:
    """As many heads of D as come nearest to TTTMLP's parameters, for its memories are parameters too: 4 C D a head.

    50 heads of 64 for width 3072 with 48 heads, 7 for 320 with 5. ConfigError for widths that TTTMLP refuses.
    """
    own_width = head_width(width, heads)
    fixed = width + 4 * own_width
    each = 4 * width * own_width + 3 * own_width
    return AttentionSizes(max(1, round((ttt_mlp_parameters(width, heads) - fixed) / each)), own_width)


def multiple(size: float) -> int:
    """The multiple of 16 nearest to `size`, 16 at least."""
    return max(1, round(size / WIDTH_MULTIPLE)) * WIDTH_MULTIPLE


@functools.cache
def ttt_mlp_parameters(width: int, heads: int) -> int:
    """How many numbers TTTMLP of that width and heads learns."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in TTTMLP(width, heads).parameters())
