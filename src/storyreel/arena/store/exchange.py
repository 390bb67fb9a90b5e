"""Votes out of a database, into one, and the proof that none was changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection, insert, select

from storyreel.arena.pairing import Served
from storyreel.arena.store.chain import Verdict, verify_chain
from storyreel.arena.store.database import Database
from storyreel.arena.store.identity import known_facts, study_as_json, study_of_json
from storyreel.arena.store.raters import add_rater, excluded_of, findings_of_raters, votes_of_raters
from storyreel.arena.store.rows import add_votes, next_number, plain, served_row, vote_of
from storyreel.arena.store.schema import META, RATERS, SERVED, VOTES
from storyreel.arena.study import Study
from storyreel.arena.votes import Vote, check_votes
from storyreel.errors import DataError

NOT_USED = "not used in the file that was imported"


class Archive:
    """A database opened for what is not a running study: to verify it, and to take votes out or in.

    DataError: there is no such database (unless `create`), or it is none of the arena, or of a newer version.
    """

    def __init__(self, database: str | Path, *, create: bool = False) -> None:
        self._database = Database(database, create=create)

    def close(self) -> None:
        self._database.close()

    def study(self) -> Study | None:
        """The study that the database was made for; None if it was made from a file of votes alone."""
        with self._database.reading() as connection:
            return stored_study(connection)

    def votes(self) -> list[Vote]:
        """All votes in order, checks and unused ones included (`used` says so)."""
        with self._database.reading() as connection:
            return all_votes(connection, stored_study(connection))

    def verify(self, noted_head: str = "") -> Verdict:
        """Walks the chain of votes. `noted_head`, a hash that was noted once, must be in it."""
        with self._database.reading() as connection:
            rows = connection.execute(select(VOTES).order_by(VOTES.c.number))
            verdict = verify_chain(plain(rows))
            if verdict.bad:
                return verdict
            voted = select(VOTES.c.pair_id)
            lost = select(SERVED).where(SERVED.c.state == "voted", SERVED.c.pair_id.not_in(voted)).limit(1)
            row = connection.execute(lost).first()
            if row:
                return replace(
                    verdict, bad=f"the vote on pair {row.pair_id}, which was answered, is missing at the end"
                )
            if noted_head and not connection.execute(select(VOTES).where(VOTES.c.hash == noted_head)).first():
                return replace(
                    verdict, bad=f"no vote has the hash {noted_head}: votes after it, or all, were written anew"
                )
            return verdict

    def import_votes(self, votes: Sequence[Vote], study: Study | None = None) -> None:
        """Appends votes that `votes.read_votes` has checked, all or none; an empty database may be given its study.

        DataError: a pair is in the database already, a vote is not of its study, or `study` is another one.
        """
        with self._database.writing() as connection:
            known = stored_study(connection)
            if study and known and study != known:
                raise DataError(f"{self._database.name} holds another study. Import without --study, or elsewhere.")
            if study and not known:
                connection.execute(insert(META).values(name="study", value=study_as_json(study)))
            _check_import(connection, votes, study or known)
            unused = {vote.judge for vote in votes if not vote.used}
            for rater in dict.fromkeys(vote.judge for vote in votes):
                latest = max(vote.tstamp for vote in votes if vote.judge == rater)
                add_rater(connection, rater, "import", latest, NOT_USED if rater in unused else "")
            connection.execute(insert(SERVED), _served_rows(votes, next_number(connection, SERVED)))
            add_votes(connection, votes)


def stored_study(connection: Connection) -> Study | None:
    text = known_facts(connection).get("study")
    return study_of_json(text) if text else None


def all_votes(connection: Connection, study: Study | None) -> list[Vote]:
    """All votes in the order of the chain; those of raters who failed a check or were excluded have `used` false."""
    rows = connection.execute(select(RATERS)).all()
    names = [row.rater for row in rows]
    found = findings_of_raters(connection, names, votes_of_raters(connection), study)
    unused = {row.rater for row in rows if excluded_of(row) or "fail" in found[row.rater].values()}
    votes = connection.execute(select(VOTES).order_by(VOTES.c.number))
    return [vote_of(row, used=row.rater not in unused) for row in votes]


def _check_import(connection: Connection, votes: Sequence[Vote], study: Study | None) -> None:
    given = dict.fromkeys(vote.pair_id for vote in votes)
    present = set(connection.execute(select(SERVED.c.pair_id)).scalars())
    again = next((pair for pair in given if pair in present), None)
    if again is not None:
        raise DataError(f"the pair {again} is in the database already. Import each vote once.")
    check_votes(votes, study, "what is imported")


def _served_rows(votes: Sequence[Vote], number: int) -> list[dict[str, object]]:
    pairs: dict[str, list[Vote]] = {}
    for vote in votes:
        pairs.setdefault(vote.pair_id, []).append(vote)
    rows = []
    for at, own in enumerate(pairs.values(), number):
        first = own[0]
        axes = tuple(vote.axis for vote in own)
        served = Served(
            first.pair_id, first.judge, axes, first.story, first.model_a, first.model_b, first.kind, first.propensity
        )
        state = {"state": "voted", "attempt": 1, "stalls": first.stalls or 0, "set_aside_at": 0}
        times = {"served_tstamp": first.served_tstamp, "started_tstamp": None}
        played = {"left_seconds": first.left_seconds or 0.0, "right_seconds": first.right_seconds or 0.0}
        rows.append(served_row(served) | {"number": at} | state | times | played)
    return rows
