"""Test-time training: a memory that is a small network, trained by gradient descent while a sequence is read."""

from storyreel.ops.ttt.interface import (
    BACKENDS,
    HeadNorm,
    LinearState,
    MLPState,
    TTTProblem,
    fastest_backend,
    resolve_backend,
    ttt_linear,
    ttt_mlp,
)

__all__ = [
    "BACKENDS",
    "HeadNorm",
    "LinearState",
    "MLPState",
    "TTTProblem",
    "fastest_backend",
    "resolve_backend",
    "ttt_linear",
    "ttt_mlp",
]
