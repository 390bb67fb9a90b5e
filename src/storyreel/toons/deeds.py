"""Deeds: what a plot says that somebody does, before anybody knows where and exactly when.

Plots are written in a short notation, one string for three seconds:

    "b runin / b get F & a jump:surprised / b runout"

Phases stand between slashes and follow one another; deeds joined by & happen at the same time. A deed is WHO VERB
[WHAT], with an optional mood behind a colon. WHO is a role letter, WHAT a role letter or a thing's capital letter, or
"F>a" for "F to a".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast, get_args

from storyreel.toons.script import Action, Mood

ACTION_OF: dict[str, Action] = {
    "in": "walk", "runin": "run", "doorin": "walk", "out": "walk", "runout": "run", "doorout": "walk",
    "to": "walk", "runto": "run", "roam": "walk", "dash": "run", "wander": "walk", "flee": "run", "chase": "run",
        "race": "run",
    "stand": "stand", "sit": "sit", "eat": "eat", "laugh": "laugh", "fall": "fall", "sleep": "sleep", "wave": "wave",
    "look": "look", "watch": "look", "cry": "cry", "dance": "dance", "hide": "hide", "peek": "peek", "ring": "ring",
    "get": "pick_up", "put": "put_down", "give": "give", "crash": "crash", "jump": "jump", "still": "stand",
}  # fmt: skip
ENTERING = ("in", "runin", "doorin")
LEAVING = ("out", "runout", "doorout")
TRAVELLING = ("wander", "flee", "chase", "race")
WITHIN_VIEW = ("to", "runto", "roam", "dash")
MOVING = (*ENTERING, *LEAVING, *TRAVELLING, *WITHIN_VIEW)
LASTING = ("sit", "sleep", "hide")

USUAL_MOOD: dict[str, Mood] = {
    "laugh": "happy", "dance": "happy", "wave": "happy", "eat": "happy", "cry": "sad", "fall": "surprised",
    "crash": "surprised", "sleep": "sleepy", "hide": "scared", "flee": "scared", "chase": "angry", "jump": "happy",
}  # fmt: skip


@dataclass(frozen=True)
class Deed:
    """One thing that one character does in one phase. `what` is a prop's kind, `whom` another character's name."""

    who: str
    verb: str
    what: str = ""
    whom: str = ""
    mood: Mood = "calm"

    @property
    def action(self) -> Action:
        return ACTION_OF[self.verb]

    @property
    def moves(self) -> bool:
        return self.verb in MOVING


Phases = tuple[tuple[Deed, ...], ...]


def parse_shot(notation: str, roles: Mapping[str, str], things: Mapping[str, str]) -> Phases:
    """The deeds of one three-second shot; ValueError for a word that is no role, thing, verb or mood."""
    return tuple(
        tuple(_parse_deed(deed.strip(), roles, things) for deed in phase.split("&")) for phase in notation.split("/")
    )


def _parse_deed(notation: str, roles: Mapping[str, str], things: Mapping[str, str]) -> Deed:
    words, _, told_mood = notation.partition(":")
    who, verb, *objects = words.split()
    if who not in roles or verb not in ACTION_OF or len(objects) > 1 or (told_mood and told_mood not in get_args(Mood)):
        raise ValueError(f"{notation!r} is no deed of the roles {sorted(roles)}")
    what = whom = ""
    for word in objects[0].split(">") if objects else ():
        if word in things:
            what = things[word]
        elif word in roles:
            whom = roles[word]
        else:
            raise ValueError(f"{notation!r} names {word!r}, which is neither a role nor a thing")
    mood = cast(Mood, told_mood) if told_mood else USUAL_MOOD.get(verb, "calm")
    return Deed(roles[who], verb, what, whom, mood)


def names_in(phases: Phases) -> tuple[str, ...]:
    """Everybody who does something, in the order of telling."""
    return tuple(dict.fromkeys(deed.who for phase in phases for deed in phase))


def in_order(phases: Phases) -> Phases:
    """Entrances moved to the first phase and exits to the last, or those who make them would be in view too shortly."""
    deeds = [list(phase) for phase in phases]
    for phase in deeds[1:]:
        for deed in [deed for deed in phase if deed.verb in ENTERING]:
            phase.remove(deed)
            deeds[0].append(deed)
    for phase in deeds[:-1]:
        for deed in [deed for deed in phase if deed.verb in LEAVING]:
            phase.remove(deed)
            deeds[-1].append(deed)
    return tuple(tuple(phase) for phase in deeds if phase)
