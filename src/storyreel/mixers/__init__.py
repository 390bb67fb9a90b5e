"""Sequence layers of one slot, (x, layout) -> y. They know nothing of the transformer that they are in."""

from storyreel.mixers.attention import WINDOW_TOKENS, FullAttention, SlidingWindowAttention
from storyreel.mixers.bidirectional import GatedBidirectional
from storyreel.mixers.build import MIXER_NAMES, build_gated_mixer, build_mixer
from storyreel.mixers.gate import Gate, Gated
from storyreel.mixers.gated_deltanet import GatedDeltaNet
from storyreel.mixers.mamba2 import Mamba2
from storyreel.mixers.ttt import TTTMLP, TTTLinear

__all__ = [
    "MIXER_NAMES",
    "TTTMLP",
    "WINDOW_TOKENS",
    "FullAttention",
    "Gate",
    "Gated",
    "GatedBidirectional",
    "GatedDeltaNet",
    "Mamba2",
    "SlidingWindowAttention",
    "TTTLinear",
    "build_gated_mixer",
    "build_mixer",
]
