"""How many raters stand where, counted within a transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, select

from storyreel.arena.store.raters import findings_of_raters, votes_of_raters
from storyreel.arena.store.records import COMPREHENSION_TRIES
from storyreel.arena.store.schema import RATERS, SERVED
from storyreel.arena.study import Study


@dataclass(frozen=True)
class RaterCounts:
    """Raters by how far they came; each is in every line up to where they are. `excluded` may be any who consented.

    `answered`: said yes or no to taking part; before that nothing is kept of anyone. `turned_away`: took part, but
    their device or the check of the instructions ended it.
    """

    answered: int
    consented: int
    turned_away: int
    voted: int
    finished: int
    excluded: int


def rater_counts(connection: Connection, study: Study, has_seen_all: Callable[[str], bool]) -> RaterCounts:
    """`has_seen_all` tells of a rater without an open pair whether there is nothing left to serve."""
    rows = connection.execute(select(RATERS)).all()
    open_pairs = select(SERVED.c.rater).where(SERVED.c.state.in_(("open", "stalled")))
    waiting = set(connection.execute(open_pairs).scalars())
    votes = votes_of_raters(connection)
    found = findings_of_raters(connection, [row.rater for row in rows], votes, study)
    consented = [row for row in rows if row.consent is True]
    failed = [
        row for row in consented if not row.comprehension_passed and row.comprehension_tries >= COMPREHENSION_TRIES
    ]
    lost = {row.rater for row in consented if row.device is False or row.ended} | {row.rater for row in failed}
    passed = [row.rater for row in consented if row.comprehension_passed and row.rater not in lost]
    return RaterCounts(
        answered=sum(row.consent is not None for row in rows),
        consented=len(consented),
        turned_away=len(lost),
        voted=sum(bool(votes.get(row.rater)) for row in rows),
        finished=sum(rater not in waiting and has_seen_all(rater) for rater in passed),
        excluded=sum(bool(row.excluded) or "fail" in found[row.rater].values() for row in rows),
    )
