"""Every constant of the TTT op, in one place."""

from dataclasses import dataclass

from storyreel.errors import ConfigError, refusal


@dataclass(frozen=True)
class TTTProblem:
    """What a TTT op computes, apart from its tensors.

    mini_batch: tokens that share one step of learning (64 in the paper); the step is divided by it.
    eps: added to the variance in every LayerNorm of the op.
    checkpoint_every: mini-batches between the states that are kept for the backward pass; what lies between them is
        computed again there. 0 keeps everything (in backend "hopper", every 16th state). It changes memory and time,
        never a result; `reference` ignores it.
    """

    mini_batch: int = 64
    eps: float = 1e-6
    checkpoint_every: int = 0

    def __post_init__(self) -> None:
        if self.mini_batch < 1:
            raise ConfigError(refusal("mini_batch", self.mini_batch, "it must be at least 1", "The paper has 64"))
        if not self.eps > 0:
            raise ConfigError(refusal("eps", self.eps, "it must be above 0", "The default is 1e-6"))
        if self.checkpoint_every < 0:
            raise ConfigError(
                refusal(
                    "checkpoint_every", self.checkpoint_every, "it must not be negative", "Use 0 to keep everything"
                )
            )
