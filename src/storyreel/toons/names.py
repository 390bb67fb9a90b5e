"""The cast: five characters with fixed species and colour, so that a small model can learn them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from storyreel.toons.palette import COLLAR
from storyreel.toons.script import Character, Species


@dataclass(frozen=True)
class Role:
    """What never changes about one of the cast, and its pronoun."""

    name: str
    species: Species
    colour: str
    pronoun: str


CAST: tuple[Role, ...] = (
    Role("Biscuit", "cat", "orange", "he"),
    Role("Pip", "mouse", "grey", "he"),
    Role("Bruno", "dog", "brown", "he"),
    Role("Clover", "rabbit", "white", "she"),
    Role("Waddle", "duck", "yellow", "she"),
)
ROLE_OF: dict[str, Role] = {role.name: role for role in CAST}


def dress(rng: Random) -> dict[str, Character]:
    """The whole cast with collars of this story, by name. The collar is a memory probe: no text tells it."""
    return {role.name: Character(role.name, role.species, role.colour, rng.choice(tuple(COLLAR))) for role in CAST}
