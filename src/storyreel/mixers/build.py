"""A mixer from its name: the one place that knows them all."""

from torch import nn

from storyreel.errors import ConfigError, refusal
from storyreel.mixers.gated_deltanet import GatedDeltaNet
from storyreel.mixers.mamba2 import Mamba2
from storyreel.mixers.ttt import TTTMLP, TTTLinear

MIXER_NAMES = ("local", "ttt_mlp", "ttt_linear", "mamba2", "gated_deltanet")


def build_mixer(
    name: str,
    width: int,
    heads: int,
    *,
    mini_batch: int = 64,
    base_lr: float | None = None,
    backend: str = "auto",
    checkpoint_every: int = 0,
) -> nn.Module | None:
    """The sequence layer of that name, or None for "local" (a block's own attention and nothing else).

    A mixer maps (x `[B, T, C]`, layout) to `[B, T, C]`, without a residual. base_lr None means the paper's. Mamba 2 and
    Gated DeltaNet have no mini-batch, step size or checkpoints: these options are theirs to ignore.
    ConfigError for an unknown name or sizes that the mixer cannot have.
    """
    if name == "local":
        return None
    memories = {"ttt_mlp": TTTMLP, "ttt_linear": TTTLinear}
    rivals = {"mamba2": Mamba2, "gated_deltanet": GatedDeltaNet}
    if name in rivals:
        return rivals[name](width, heads, backend=backend)
    if name not in memories:
        raise ConfigError(
            refusal("mixer", repr(name), f"the choices are {', '.join(MIXER_NAMES)}", "Choose one of them")
        )
    options = {"mini_batch": mini_batch, "base_lr": base_lr, "backend": backend, "checkpoint_every": checkpoint_every}
    return memories[name](width, heads, **options)
