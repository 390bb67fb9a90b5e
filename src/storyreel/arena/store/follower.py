"""The tally of served pairs, kept right from the rows that the database has, whoever wrote them."""

from __future__ import annotations

from sqlalchemy import Connection, select

from storyreel.arena.adaptive import REFIT_EVERY, PairWeights
from storyreel.arena.pairing import Tally
from storyreel.arena.store.rows import served_of, vote_of
from storyreel.arena.store.schema import RELEASES, SERVED, VOTES
from storyreel.arena.study import Study


class Follower:
    """Follows the tables `served`, `releases` and, for adaptive sampling, `votes`.

    Only rows of finished transactions are counted: call `catch_up` at the beginning of one, before it writes.
    """

    def __init__(self, study: Study, adaptive: bool) -> None:
        self.tally = Tally(study)
        self._weights = PairWeights(study) if adaptive else None
        self._served = self._released = self._voted = self._fitted = 0

    @property
    def weights(self) -> list[list[float]] | None:
        return self._weights.now if self._weights else None

    def catch_up(self, connection: Connection) -> None:
        """Counts what came since the last call."""
        rows = select(SERVED).where(SERVED.c.number > self._served).order_by(SERVED.c.number)
        for row in connection.execute(rows):
            self.tally.add(served_of(row))
            self._served = row.number
        released = (
            select(SERVED, RELEASES.c.number.label("release"))
            .join(RELEASES, RELEASES.c.pair_id == SERVED.c.pair_id)
            .where(RELEASES.c.number > self._released)
            .order_by(RELEASES.c.number)
        )
        for row in connection.execute(released):
            self.tally.release(served_of(row))
            self._released = row.release
        if self._weights:
            self._follow_votes(connection, self._weights)

    def _follow_votes(self, connection: Connection, weights: PairWeights) -> None:
        votes = select(VOTES).where(VOTES.c.number > self._voted).order_by(VOTES.c.number)
        for row in connection.execute(votes):
            weights.add(vote_of(row))
            self._voted = row.number
        if self._voted >= self._fitted + REFIT_EVERY:
            weights.refit()
            self._fitted = self._voted
