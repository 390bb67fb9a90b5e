"""Who plays whom, and what stands for what: names and things of a plot become the demo model's cast and props."""

from __future__ import annotations

import re

from storyreel.storyboard.findings import Finding
from storyreel.toons.names import CAST, ROLE_OF
from storyreel.toons.script import PropKind
from storyreel.writing.lexicon import FOOD, STAND_INS, actors, look_up

_NAME_FIRST = re.compile(r"\b([A-Z][a-z]+),? (?:is |was )?(?:the|a|an) ((?:[a-z]+ ?){1,4})")
_SPECIES_FIRST = re.compile(r"\b([a-z]+),? (?:named |called |is |whose name is )?([A-Z][a-z]+)\b")


class Casting:
    """Remembers all choices over a plot. `findings` tells each of them once, where it is not what the plot says."""

    def __init__(self, plot: str) -> None:
        self.findings: list[Finding] = []
        self._of_name: dict[str, str] = {role.name: role.name for role in CAST if re.search(rf"\b{role.name}\b", plot)}
        self._of_species: dict[str, str] = {}
        self._things: dict[str, PropKind] = {}
        self._told: set[str] = set()
        self._bind_names(plot)

    def is_name(self, word: str) -> bool:
        """Whether the plot uses a capitalised word as somebody's name."""
        return word in self._of_name

    def by_name(self, name: str) -> str:
        """The member of the cast that plays a name that `is_name`."""
        return self._of_name[name]

    def by_species(self, word: str, sentence: int) -> str | None:
        """The member of the cast for a word such as "kitten" or "rats"; None where it is no species."""
        meaning = look_up(word, actors())
        if meaning is None:
            return None
        name = self._of_species.get(meaning.value) or next(role.name for role in CAST if role.species == meaning.value)
        self._of_species[meaning.value] = name
        role = ROLE_OF[name]
        if meaning.near:
            self._tell(word, f'"{word}" is drawn as {role.name} the {role.colour} {role.species}.', sentence)
        return name

    def stand_in(self, word: str, sentence: int) -> str | None:
        """One of the cast who plays somebody that cannot be drawn; None where all are taken, which is an error."""
        if word in self._of_name:
            return self._of_name[word]
        taken = {*self._of_name.values(), *self._of_species.values()}
        free = next((role for role in reversed(CAST) if role.name not in taken), None)
        if free is None:
            message = f'"{word}" cannot be drawn, and all five of the cast have a part; what it does is left out.'
            self._tell(word, message, sentence, "error", "Give its part to one of them.")
            return None
        self._of_name[word] = free.name
        message = f'"{word}" cannot be drawn; {free.name} the {free.colour} {free.species} plays the part.'
        self._tell(word, message, sentence, "warning", f"The cast: {cast_in_words()}.")
        return free.name

    def thing_for(self, word: str, sentence: int, food: bool) -> PropKind:
        """A prop for a thing that cannot be drawn, the same whenever the plot names it."""
        if word not in self._things:
            options: tuple[PropKind, ...] = FOOD if food else STAND_INS
            used = set(self._things.values())
            free: list[PropKind] = [own for own in options if own not in used]
            kind = self._things[word] = free[0] if free else options[0]
            self._tell(word, f'"{word}" cannot be drawn; the {kind} is shown instead.', sentence, "warning")
        return self._things[word]

    def check_colour(self, name: str, colour: str, sentence: int) -> None:
        """Tells that a character cannot have a colour, where it has another."""
        role = ROLE_OF[name]
        same = {role.colour, {"grey": "gray", "orange": "ginger", "white": "snowy"}.get(role.colour, "")}
        if colour not in same:
            message = f"the {role.species} cannot be {colour}: {role.name} is always {role.colour}."
            self._tell(f"{colour} {name}", message, sentence, "warning")

    def one_only(self, name: str, sentence: int) -> None:
        """Tells that there is one of each species."""
        species = ROLE_OF[name].species
        self._tell(f"one {species}", f"there is one {species} only; one is drawn.", sentence, "warning")

    def _bind_names(self, plot: str) -> None:
        pairs = [(name, word) for name, words in _NAME_FIRST.findall(plot) for word in words.split()]
        pairs += [(name, word) for word, name in _SPECIES_FIRST.findall(plot)]
        for name, word in pairs:
            meaning = look_up(word, actors())
            if meaning is None or name in self._of_name:
                continue
            role = next(role for role in CAST if role.species == meaning.value)
            if role.name in self._of_name.values():
                self.stand_in(name, 1)
                continue
            self._of_name[name] = role.name
            message = f"{name} is drawn as {role.name} the {role.colour} {role.species}, as the model knows it."
            self._tell(name, message, 1)

    def _tell(self, key: str, message: str, sentence: int, level: str = "note", remedy: str = "") -> None:
        if key not in self._told:
            self._told.add(key)
            kind = "error" if level == "error" else "warning" if level == "warning" else "note"
            self.findings.append(Finding(kind, "casting", message, remedy, sentence=sentence))


def cast_in_words() -> str:
    """ "Biscuit the orange cat, Pip the grey mouse, ..." """
    return ", ".join(f"{role.name} the {role.colour} {role.species}" for role in CAST)
