"""Where a model runs, and how fast that is. Needs torch alone, so that an unusable device is told at once."""

from __future__ import annotations

import torch

from storyreel.errors import ConfigError, refusal
from storyreel.ops.linear import CPU_FACTS, multiplies_bfloat16

__all__ = ["CPU_FACTS", "choose_device", "multiplies_bfloat16"]


def choose_device(name: str) -> torch.device:
    """ "auto" is the GPU where there is one, else the CPU. ConfigError for a device that this machine has not."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ConfigError(refusal("--device", name, "PyTorch cannot use it here", "Try auto or cpu")) from None
    return device
