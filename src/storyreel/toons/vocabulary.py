"""Every word that the texts can contain, read off the tables of phrases."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator

from storyreel.toons import phrases
from storyreel.toons.names import CAST

TOKEN = re.compile(r"[a-z]+|[.,]")


@functools.cache
def words() -> tuple[str, ...]:
    """Every lower-case word and punctuation mark that texts can contain, sorted."""
    tables = (value for name, value in vars(phrases).items() if name.isupper())
    found = {word for text in _texts(tables) for word in tokens(re.sub(r"{\w+}", " ", text))}
    for role in CAST:
        found.update((role.name.lower(), role.species, role.colour, role.pronoun))
    return tuple(sorted(found))


def tokens(text: str) -> list[str]:
    """Words and punctuation marks of a text, lower-cased."""
    return TOKEN.findall(text.lower())


def _texts(tables: Iterable[object]) -> Iterator[str]:
    for table in tables:
        if isinstance(table, str):
            yield table
        elif isinstance(table, dict):
            yield from _texts(table.values())
        elif isinstance(table, tuple):
            yield from _texts(table)
