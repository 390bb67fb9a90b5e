"""Where a model runs, and how fast that is. Needs torch alone, so that an unusable device is told at once."""

from __future__ import annotations

from pathlib import Path

import torch

from storyreel.errors import ConfigError, refusal

CPU_FACTS = Path("/proc/cpuinfo")


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


def multiplies_bfloat16(cpu_facts: Path = CPU_FACTS) -> bool:
    """Whether the processor has instructions for it, from Linux's list of flags; False where there is no such list."""
    try:
        flags = set(cpu_facts.read_text(encoding="utf-8").split())
    except OSError:
        return False
    return bool(flags & {"avx512_bf16", "amx_bf16"})
