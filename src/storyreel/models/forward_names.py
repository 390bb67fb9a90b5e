"""Words by which people choose how blocks are run: their forward (models/forward.py), and what of it is computed again
for gradients (training/rematerialisation.py). Needs no large library.
"""

from __future__ import annotations

from typing import Literal, get_args

from storyreel.errors import ConfigError, refusal

Forward = Literal["auto", "plain", "mixed", "compiled", "fused"]
FORWARDS: tuple[Forward, ...] = get_args(Forward)

PIECES = ("attention", "forward", "reverse", "mlp", "projections")
WHOLE, NOTHING = "block", "none"


def check_forward(name: str) -> None:
    """ConfigError for a name that is none."""
    if name not in FORWARDS:
        raise ConfigError(refusal("forward", repr(name), f"the choices are {', '.join(FORWARDS)}", "Try auto"))


def remat_words(text: str) -> frozenset[str]:
    """The words of a text such as "block+projections"; "none" has none. ConfigError for one that is unknown."""
    words = frozenset() if text == NOTHING else frozenset(text.split("+"))
    if unknown := sorted(words - {WHOLE, *PIECES}):
        limit = f"{unknown[0]!r} is unknown; it is {NOTHING}, or some of {', '.join((WHOLE, *PIECES))} joined by +"
        raise ConfigError(refusal("remat", repr(text), limit, f"Try {WHOLE}"))
    return words
