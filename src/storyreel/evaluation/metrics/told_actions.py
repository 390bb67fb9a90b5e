"""What the text of a toon's segment says that each character does, read back through the tables that texts are made of.

A drawn toon's record says it without reading; stories that a model was only given as text have no record.
"""

from __future__ import annotations

import functools
import re

from storyreel.toons import phrases
from storyreel.toons.deeds import ACTION_OF
from storyreel.toons.names import CAST, Role
from storyreel.toons.script import Action, Species

Told = tuple[Species, Action]


def told_actions(text: str) -> tuple[Told, ...]:
    """(species, action) for each deed that the text tells, in order, of somebody whom it names.

    >>> told_actions("Biscuit the cat sits down, and then Pip runs off to the left while he laughs.")
    (('cat', 'sit'), ('mouse', 'run'), ('mouse', 'laugh'))
    """
    said = text.lower()
    found: list[Told] = []
    last: Role | None = None
    mentions = [(match.end(), _OF_WORD[match.group()]) for match in _WHO.finditer(said)]
    for match in _deeds().finditer(said):
        before = said[: match.start()].rstrip().rpartition(" ")[2].strip(",.")
        named = [role for end, role in mentions if end <= match.start()]
        role = last if before == "then" else _OF_WORD.get(before)
        if before in phrases.PRONOUNS:
            role = next((own for own in reversed(named) if own.pronoun == before), None)
        if role is None:
            continue
        last = role
        assert match.lastgroup is not None
        found.append((role.species, ACTION_OF[match.lastgroup.rpartition("_")[0]]))
    return tuple(found)


_OF_WORD: dict[str, Role] = {word: role for role in CAST for word in (role.name.lower(), role.species)}
_WHO = re.compile(rf"\b({'|'.join(_OF_WORD)})\b")


@functools.cache
def _deeds() -> re.Pattern[str]:
    """Every way to word a deed, the longest first; the name of the group that matched begins with its verb."""
    # "stands there" words both who stands and, seldom, who watches: the first meaning counts.
    forms = {form: key.split()[0] for key, own in reversed(phrases.DEEDS.items()) for form in own}
    ordered = sorted(forms, key=lambda form: -len(re.sub(r"{\w}", "", form)))
    groups = (f"(?P<{forms[form]}_{number}>{_pattern(form)})" for number, form in enumerate(ordered))
    return re.compile(rf"\b(?:{'|'.join(groups)})\b")


def _pattern(form: str) -> str:
    """A form as a regular expression; whom it is done to is not read at its end."""
    where = (*phrases.SEATS.values(), *phrases.HIDING_PLACES.values(), *phrases.CRASHING_INTO.values())
    slots = {
        "{side}": "(?:left|right)",
        "{T}": f"(?:{'|'.join(phrases.PROPS.values())})",
        "{F}": f"(?:{'|'.join(sorted(set(where), key=len, reverse=True))})",
        "{B}": "[a-z ]{2,60}?",
    }
    pattern = re.escape(form.removesuffix(" {B}").lower()).replace(r"\{", "{").replace(r"\}", "}")
    pattern = re.sub(r"{[a-z]}", lambda match: match.group().upper(), pattern)
    for slot, own in slots.items():
        pattern = pattern.replace(slot, own)
    return pattern
