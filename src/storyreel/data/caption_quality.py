"""What is wrong with captions as texts: of each alone, and of all together; and how much of it is allowed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from storyreel.errors import DataError
from storyreel.wording import counted

FAULTS = ("empty", "cut", "looping", "too long", "unknown name", "unverified", "repeated")
LOOP_WORDS, LOOP_TIMES = 4, 3
FEWEST_TO_JUDGE = 20
"""Captions before a run is stopped on its way; at its end it is judged by all it has."""
_WORD = re.compile(r"[\w'’-]+")
_NAME = re.compile(r"(?<![.!?:;\"“] )(?<!^)(?<![\w'’-])[A-Z][a-z]+(?![\w-])")
_ENDS = (".", "!", "?", '"', "”", ")")


def faults_of(text: str, most_words: int, names: Iterable[str] | None = None) -> list[str]:
    """Faults of one text. `names`: who may be named; None: not known, so nobody is missed."""
    words = [word.lower() for word in _WORD.findall(text)]
    if not words:
        return ["empty"]
    groups = Counter(tuple(words[i : i + LOOP_WORDS]) for i in range(len(words) - LOOP_WORDS + 1))
    known = None if names is None else {word for name in names for word in _WORD.findall(name)}
    found = {
        "cut": not text.rstrip().endswith(_ENDS),
        "looping": max(groups.values(), default=0) >= LOOP_TIMES,
        "too long": len(words) > most_words,
        "unknown name": known is not None and any(own not in known for own in _NAME.findall(text)),
    }
    return [fault for fault, there in found.items() if there]


def repeated(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Ids of captions that are word for word those of an earlier id, with that id."""
    first: dict[str, str] = {}
    found = {}
    for row in sorted(rows, key=lambda row: row["id"]):
        words = " ".join(_WORD.findall(row["text"].lower()))
        if first.setdefault(words, row["id"]) != row["id"]:
            found[row["id"]] = first[words]
    return found


def report(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts of each fault, the captions that have any, and the mean length in words."""
    again = repeated(rows)
    faulty = {row["id"]: [*row["faults"], *(["repeated"] if row["id"] in again else [])] for row in rows}
    faulty = {own: faults for own, faults in faulty.items() if faults}
    words = sum(len(_WORD.findall(row["text"])) for row in rows)
    return {
        "captions": len(rows),
        "faulty": len(faulty),
        "mean_words": round(words / len(rows), 1) if rows else 0,
        "faults": {fault: sum(fault in own for own in faulty.values()) for fault in FAULTS},
        "ids": faulty,
        "repeats": again,
    }


def check_share(faulty: int, captions: int, most: float, where: str) -> None:
    """DataError where a larger share than `most` (0 to 1) of the captions is faulty."""
    if captions and faulty / captions > most:
        raise DataError(
            f"{faulty} of {counted(captions, 'caption')} are faulty ({faulty / captions:.0%}), more than --most-faulty "
            f"{most:g}. {where}"
        )
