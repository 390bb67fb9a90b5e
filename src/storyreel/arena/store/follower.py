"""The tally of served pairs, kept right from the rows that the database has, whoever wrote them."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select

from storyreel.arena.adaptive import REFIT_EVERY, PairWeights
from storyreel.arena.pairing import Tally
from storyreel.arena.store.rows import served_of, vote_of
from storyreel.arena.store.schema import RELEASES, SERVED, VOTES
from storyreel.arena.study import Study

_SERVED = select(SERVED).where(SERVED.c.number > bindparam("last")).order_by(SERVED.c.number)
_RELEASED = (
    select(SERVED, RELEASES.c.number.label("release"))
    .join(RELEASES, RELEASES.c.pair_id == SERVED.c.pair_id)
    .where(RELEASES.c.number > bindparam("last"))
    .order_by(RELEASES.c.number)
)
_VOTED = select(VOTES).where(VOTES.c.number > bindparam("last")).order_by(VOTES.c.number)


class Follower:
    """Follows the tables `served`, `releases` and, for adaptive sampling, `votes`.

    Rows are counted once, so each must stay: call `catch_up` before a transaction writes, and `forget` if what it
    counted was undone after all.
    """

    def __init__(self, study: Study, adaptive: bool) -> None:
        self._study, self._adaptive = study, adaptive
        self.forget()

    def forget(self) -> None:
        """Counts everything anew with the next `catch_up`."""
        self.tally = Tally(self._study)
        self._weights = PairWeights(self._study) if self._adaptive else None
        self.served = self._released = self._voted = self._fitted = 0

    @property
    def weights(self) -> list[list[float]] | None:
        return self._weights.now if self._weights else None

    def catch_up(self, connection: Connection) -> None:
        """Counts what came since the last call. `served` is the number of the last row of its table."""
        for row in connection.execute(_SERVED, {"last": self.served}):
            self.tally.add(served_of(row))
            self.served = row.number
        for row in connection.execute(_RELEASED, {"last": self._released}):
            self.tally.release(served_of(row))
            self._released = row.release
        if self._weights:
            self._follow_votes(connection, self._weights)

    def _follow_votes(self, connection: Connection, weights: PairWeights) -> None:
        for row in connection.execute(_VOTED, {"last": self._voted}):
            weights.add(vote_of(row))
            self._voted = row.number
        if self._voted >= self._fitted + REFIT_EVERY:
            weights.refit()
            self._fitted = self._voted
