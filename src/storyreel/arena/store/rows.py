"""Rows of the database as the values that the rest of the arena works with, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from sys import intern
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from storyreel.arena.pairing import Served
from storyreel.arena.store.chain import START, row_hash
from storyreel.arena.store.schema import SERVED, VOTES
from storyreel.arena.votes import Vote

_RENAMED = {"judge": "rater", "model_a": "left_method", "model_b": "right_method"}
_LAST = select(VOTES.c.number, VOTES.c.hash).order_by(VOTES.c.number.desc()).limit(1)
_NEW_VOTES = insert(VOTES)
_FIELDS = tuple((name, _RENAMED.get(name, name)) for name in Vote.model_fields if name != "used")


def served_of(row: Row[Any]) -> Served:
    """The pair of a row of `served`. Names that come again and again are kept once: a tally holds every pair."""
    return Served(
        row.pair_id,
        intern(row.rater),
        _axes_of(row.axes),
        intern(row.story),
        intern(row.left_method),
        intern(row.right_method),
        row.kind,
        row.propensity,
    )


@lru_cache(256)
def _axes_of(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def served_row(served: Served) -> dict[str, Any]:
    """The columns of `served` that say what was shown."""
    return {
        "pair_id": served.pair_id,
        "rater": served.rater,
        "axes": json.dumps(served.axes, ensure_ascii=False),
        "story": served.story,
        "left_method": served.left,
        "right_method": served.right,
        "kind": served.kind,
        "propensity": float(served.propensity),
    }


def vote_of(row: Row[Any], *, used: bool = True) -> Vote:
    """The vote of a row of `votes`."""
    columns = row._mapping
    return Vote(**{name: columns[column] for name, column in _FIELDS}, used=used)


def add_votes(connection: Connection, votes: Iterable[Vote]) -> tuple[int, str]:
    """Appends votes to the chain, in the order given; number and hash of the last."""
    last = connection.execute(_LAST).first()
    number, head = (last.number, last.hash) if last else (0, START)
    rows: list[dict[str, Any]] = []
    for vote in votes:
        number += 1
        row = {column: getattr(vote, name) for name, column in _FIELDS} | {"number": number, "previous": head}
        head = row["hash"] = row_hash(row)
        rows.append(row)
    if rows:
        connection.execute(_NEW_VOTES, rows if len(rows) > 1 else rows[0])
    return number, head


def next_number(connection: Connection, table: Any = SERVED) -> int:
    """The number of the next row of `served` or `releases`."""
    return connection.execute(select(func.coalesce(func.max(table.c.number), 0) + 1)).scalar_one()


def plain(rows: Iterable[Row[Any]]) -> Iterable[Mapping[str, Any]]:
    """Rows by the names of their columns."""
    return (row._asdict() for row in rows)
