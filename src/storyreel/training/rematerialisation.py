"""Which pieces of a model are computed again for their gradients, instead of being kept: memory bought with time.

Declared outside the model, which knows its pieces by name (mixers/pieces.py) and nothing of this. Words:

- `block`: whole blocks. Their inputs alone are kept; while the gradients of one are computed, all of it is there.
- `attention`, `forward`, `reverse`, `mlp`: these pieces of each block. Their inputs are kept: four tensors `[B, T, C]`
  of a block where all are named, and one piece at a time is there. With `block` in front, one of the four.
- `projections`: to queries, keys and values, in the fused forward alone, which drops 9 tensors of a block with a TTT
  layer for three matrix products.

Measured by bytes in tests/training/test_rematerialisation.py, by time with `storyreel bench block --remat`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from storyreel.mixers.pieces import directly, run_pieces_by
from storyreel.models.forward_names import PIECES, WHOLE, remat_words
from storyreel.models.transformer import StoryreelTransformer3DModel


@dataclass(frozen=True)
class Rematerialisation:
    """What is computed again; nothing by default."""

    words: frozenset[str] = frozenset()

    @classmethod
    def of(cls, text: str) -> Rematerialisation:
        """As `remat_words`: of "block+projections", for example."""
        return cls(remat_words(text))

    def apply(self, model: nn.Module) -> None:
        """Tells the pieces of a transformer, or of a block, how they are run from now on.

        "block" is the transformer's to know; whoever has a block alone runs it by `whole`.
        """
        pieces = self.words & frozenset(PIECES)
        runner = functools.partial(_run, pieces, has_chance(model)) if pieces else directly
        run_pieces_by(model, runner)
        if isinstance(model, StoryreelTransformer3DModel):
            model.gradient_checkpointing = WHOLE in self.words
            model._gradient_checkpointing_func = functools.partial(again, has_chance(model))

    def whole(self, block: nn.Module) -> Callable[..., Any]:
        """A call of the block."""
        return functools.partial(again, has_chance(block), block) if WHOLE in self.words else block


def again(chance: bool, function: Callable[..., Any], *given: Any) -> Any:
    """What `function` makes of what is given, which alone is kept for gradients; chance: whether it draws numbers."""
    return checkpoint(function, *given, use_reentrant=False, preserve_rng_state=chance)


def has_chance(model: nn.Module) -> bool:
    """Whether a forward may draw random numbers. A CUDA graph cannot save and restore the state of their generator."""
    return any(isinstance(module, nn.Dropout) and module.p > 0 for module in model.modules())


def _run(pieces: frozenset[str], chance: bool, name: str, function: Callable[..., Any], *given: Any) -> Any:
    if name in pieces and torch.is_grad_enabled():
        return again(chance, function, *given)
    return function(*given)
