"""A mixer from its name: the one place that knows them all."""

from typing import Any

from torch import nn

from storyreel.errors import ConfigError, refusal
from storyreel.mixers.attention import WINDOW_TOKENS, FullAttention, SlidingWindowAttention
from storyreel.mixers.bidirectional import GatedBidirectional
from storyreel.mixers.gate import Gated
from storyreel.mixers.gated_deltanet import GatedDeltaNet
from storyreel.mixers.mamba2 import Mamba2
from storyreel.mixers.ttt import TTTMLP, TTTLinear

MIXER_NAMES = ("local", "full", "sliding_window", "mamba2", "gated_deltanet", "ttt_linear", "ttt_mlp")


def build_mixer(
    name: str,
    width: int,
    heads: int,
    *,
    mini_batch: int = 64,
    base_lr: float | None = None,
    window: int = WINDOW_TOKENS,
    backend: str = "auto",
    checkpoint_every: int = 0,
) -> nn.Module | None:
    """The sequence layer of that name, or None for "local" (a block's own attention and nothing else).

    A mixer maps (x `[B, T, C]`, layout) to `[B, T, C]`, without a residual. base_lr None means the paper's; it, the
    mini-batch and the checkpoints are for TTT layers, the window (in tokens) is the sliding window's, and others ignore
    them. ConfigError for an unknown name or sizes that the mixer cannot have.
    """
    if name == "local":
        return None
    if name == "sliding_window":
        return SlidingWindowAttention(width, heads, window=window, backend=backend)
    memories = {"ttt_mlp": TTTMLP, "ttt_linear": TTTLinear}
    rivals = {"full": FullAttention, "mamba2": Mamba2, "gated_deltanet": GatedDeltaNet}
    if name in rivals:
        return rivals[name](width, heads, backend=backend)
    if name not in memories:
        raise ConfigError(
            refusal("mixer", repr(name), f"the choices are {', '.join(MIXER_NAMES)}", "Choose one of them")
        )
    options = {"mini_batch": mini_batch, "base_lr": base_lr, "backend": backend, "checkpoint_every": checkpoint_every}
    return memories[name](width, heads, **options)


def build_gated_mixer(name: str, width: int, heads: int, *, gate_init: float = 0.1, **options: Any) -> nn.Module | None:
    """What a block's slot takes: the mixer of `build_mixer`, in both directions behind gates; None for "local".

    Full attention, which sees both ways at once, is read once behind one gate.
    """
    mixer = build_mixer(name, width, heads, **options)
    if mixer is None:
        return None
    wrapper = Gated if isinstance(mixer, FullAttention) else GatedBidirectional
    return wrapper(mixer, width, gate_init)
