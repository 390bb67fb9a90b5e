"""Sentences, and what is read of one clause: the parts between the words of a plot and its events."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from storyreel.toons.script import PlaceKind, PropKind, TimeOfDay

_SENTENCE = re.compile(r"(?:[\"“][^\"”]*[\"”]|[^.!?\n])+(?:[.!?]+|\n|$)")


@dataclass(frozen=True)
class Event:
    """Something that happens: `deeds` is one phase of a shot. `place` None: not told yet."""

    deeds: str
    sentence: int
    place: PlaceKind | None
    time: TimeOfDay
    together: bool = False

    @property
    def who(self) -> tuple[str, ...]:
        return tuple(deed.split()[0] for deed in self.deeds.split(" & "))


@dataclass
class Clause:
    """What has been read since the last boundary."""

    subjects: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    props: list[PropKind] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    templates: tuple[str, ...] = ()
    verb: str = ""
    mood: str = ""
    pronoun: str = ""
    each_other: bool = False
    destination: PlaceKind | None = None
    together: bool = False
    negated: bool = False
    passive: bool = False


def split_sentences(plot: str) -> list[str]:
    """Format 1: the sentences of a plot, white space tidied."""
    found = [" ".join(match.group().split()) for match in _SENTENCE.finditer(plot)]
    return [sentence for sentence in found if re.search(r"\w", sentence)]


def moves(templates: tuple[str, ...]) -> bool:
    verbs = {template.removeprefix("~").split()[1] for template in templates}
    return bool(verbs & {"roam", "dash", "in", "runin", "out", "runout", "jump", "runto", "to"})


def in_words(template: str) -> str:
    """A template for people: "A get T / A sit" becomes "picks the thing up, then sits"."""
    told = {"get": "picks it up", "put": "puts it down", "give": "gives it", "look": "looks", "jump": "jumps",
        "wave": "waves", "dance": "dances", "sit": "sits", "sleep": "sleeps", "roam": "walks", "stand": "stands",
        "crash": "crashes into something", "flee": "runs"}  # fmt: skip
    verbs = [phase.split()[1].partition(":") for phase in template.split(" / ")]
    return ", then ".join(told.get(verb, verb) + (f" ({mood})" if mood else "") for verb, _, mood in verbs)
