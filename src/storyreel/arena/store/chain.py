"""The chain of votes: each row holds the hash of the row before, so that a changed, lost or added row shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from storyreel.arena.store.schema import VOTES

START = "0" * 64
"""What the first row has for the row before."""
_COLUMNS = tuple(column.name for column in VOTES.columns if column.name != "hash")


@dataclass(frozen=True)
class Verdict:
    """`votes` rows are in order; `bad` says what is wrong with the next, or nothing. `head` is the last good hash."""

    votes: int
    head: str
    bad: str = ""


def row_hash(row: Mapping[str, object]) -> str:
    """SHA-256, in hexadecimal, of a row of `votes` with `previous` in it, without its own hash."""
    text = json.dumps([row[column] for column in _COLUMNS], allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def verify_chain(rows: Iterable[Mapping[str, object]]) -> Verdict:
    """Walks rows of `votes` in the order of their numbers; stops at the first that is not as it was written."""
    head, good = START, 0
    for row in rows:
        expected = good + 1
        if row["number"] != expected:
            return Verdict(good, head, f"vote {expected} is missing: the next has number {row['number']}")
        if row["previous"] != head:
            return Verdict(good, head, f"vote {expected} (pair {row['pair_id']}) does not follow the vote before it")
        if row["hash"] != row_hash(row):
            return Verdict(good, head, f"vote {expected} (pair {row['pair_id']}) was changed")
        head, good = str(row["hash"]), expected
    return Verdict(good, head)
