"""The question that a rater answers before the first pair, to show that the instructions were read."""

from __future__ import annotations

from random import Random

QUESTION = "Which video do you choose?"
RIGHT = "The one that answers the question above the videos better"
WRONG = (
    "The one that is longer",
    "Always the left one, if in doubt",
    "The one I would rather own",
)


def options(seed: str) -> list[str]:
    """The four answers in an order of the rater's own."""
    shuffled = [RIGHT, *WRONG]
    Random(seed).shuffle(shuffled)
    return shuffled


def is_right(seed: str, answer: str) -> bool | None:
    """Whether the answer, a place in `options` as text, is right; None where it is no place."""
    places = {str(place): option for place, option in enumerate(options(seed))}
    return places[answer] == RIGHT if answer in places else None
