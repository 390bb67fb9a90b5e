"""The store of a study that is running: raters, pairs served, votes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select

from storyreel.arena.pairing import Served, choose
from storyreel.arena.store import checks, raters, viewings
from storyreel.arena.store.clock import Clock
from storyreel.arena.store.database import Database
from storyreel.arena.store.exchange import all_votes
from storyreel.arena.store.follower import Follower
from storyreel.arena.store.identity import check_key, claim, rater_hash
from storyreel.arena.store.overview import RaterCounts, rater_counts
from storyreel.arena.store.records import Finding, OpenPair, Outcome, Progress, RaterState, Receipt, StepRefused
from storyreel.arena.store.schema import FINDINGS, RATERS, SERVED, VOTES
from storyreel.arena.study import Study
from storyreel.arena.votes import Vote, Winner
from storyreel.errors import ConfigError, DataError, refusal

HOUR = 3600.0
_TAKEN = select(SERVED.c.number).where(SERVED.c.pair_id == bindparam("pair"))


class Store:
    """One study in one database. All methods may be called from any thread, and each is one transaction.

    What a method changed is on the disk when it returns, and StoreUnavailable is raised if it could not be. But for
    `serve`, `play` and `stalled`: that outlives the process at once, and a loss of power from the next vote on.
    Calls within `together` share one transaction.
    """

    def __init__(
        self,
        database: Database,
        study: Study,
        *,
        clips_hash: str,
        clip_seconds: Mapping[tuple[str, str], float],
        seed: int,
        key: bytes,
        adaptive: bool = False,
    ) -> None:
        """See `open`; `database` is closed with the store."""
        check_key(key)
        check_clips(study, clip_seconds)
        self._database, self._study, self._seed, self._key = database, study, seed, key
        self._seconds = dict(clip_seconds)
        with database.writing() as connection:
            claim(connection, database.name, study, clips_hash, seed, key)
            self.clock = Clock(last_moment(connection))
            self._follower, self._in_doubt = Follower(study, adaptive), False
            self._follower.catch_up(connection)

    @classmethod
    def open(
        cls,
        database: str | Path,
        study: Study,
        *,
        clips_hash: str,
        clip_seconds: Mapping[tuple[str, str], float],
        seed: int,
        key: bytes,
        adaptive: bool = False,
    ) -> Store:
        """Opens or makes the database: a path (SQLite), or a URL of SQLAlchemy (sqlite:///, postgresql://).

        `clip_seconds` has the length of each (method, story), gold clips included; `clips_hash` stands for all clips'
        bytes. `key`: 16 bytes or more, secret; raters' hashes are made with it. DataError: the database holds another
        study, was made with another key, or by a newer version. StoreUnavailable: it cannot be opened.
        """
        opened = Database(database)
        try:
            return cls(
                opened,
                study,
                clips_hash=clips_hash,
                clip_seconds=clip_seconds,
                seed=seed,
                key=key,
                adaptive=adaptive,
            )
        except BaseException:
            opened.close()
            raise

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def together(self, *, durable: bool = True) -> Iterator[None]:
        """This thread's calls within the block share one transaction and one wait for the disk, at the block's end.

        A call that raises is undone, alone. What the others returned counts when the block is left: StoreUnavailable
        from there means that nothing of any call was kept. Not `durable`: for calls that are not, in the sense above.
        """
        with self._database.writer:
            try:
                with self._database.together(durable=durable):
                    yield
            except BaseException:
                if self._in_doubt:
                    self._follower.forget()
                raise
            finally:
                self._in_doubt = False

    def admit(self, identity: str, source: str = "link") -> RaterState:
        """The rater that `identity` stands for, made if new; the identity itself is kept nowhere.

        Give "prolific:" and the participant's id, or a random token of 128 bits or more. `source` is kept.
        """
        rater = rater_hash(self._key, identity)
        with self._database.writing() as connection:
            raters.add_rater(connection, rater, source, self.clock.now())
            return self._state(connection, rater)

    def state(self, rater: str) -> RaterState:
        """PairRefused: no such rater."""
        with self._database.writing(durable=False) as connection:
            return self._state(connection, rater)

    def consent(self, rater: str, given: bool) -> RaterState:
        """Notes the answer; a refusal ends the session, a later yes opens it again."""
        return self._set(rater, consent=given)

    def device(self, rater: str, fits: bool) -> RaterState:
        """Notes whether the rater's device can show the study."""
        return self._set(rater, device=fits)

    def comprehension(self, rater: str, passed: bool) -> RaterState:
        """Counts a try; once passed, it stays passed. StepRefused: no consent, or both tries used up."""
        with self._database.writing() as connection:
            columns = raters.comprehension_of(raters.rater_row(connection, rater), passed)
            raters.set_rater(connection, rater, active_tstamp=self.clock.now(), **columns)
            return self._state(connection, rater)

    def note_check(self, rater: str, name: str, finding: Finding) -> None:
        """Notes what a check outside of the store found (a token, a captcha); one that could not run is "unknown"."""
        with self._database.writing() as connection:
            raters.rater_row(connection, rater)
            own = (FINDINGS.c.rater == rater) & (FINDINGS.c.name == name)
            connection.execute(FINDINGS.delete().where(own))
            row = {"rater": rater, "name": name, "finding": finding, "tstamp": self.clock.now()}
            connection.execute(FINDINGS.insert().values(row))

    def end(self, rater: str, outcome: Outcome) -> RaterState:
        """Ends a session before its first vote (SCREENED_OUT, FIXED_SCREENOUT). StepRefused: otherwise."""
        with self._database.writing() as connection:
            state = self._state(connection, rater)
            if outcome not in raters.SCREENED or state.viewings_done:
                raise StepRefused(f"This session cannot end with {outcome.value} now.")
            raters.set_rater(connection, rater, ended=outcome.value)
            state = self._state(connection, rater)
            self._release(connection, rater)
            return replace(state, has_open_pair=False)

    def exclude(self, rater: str, reason: str) -> None:
        """A person's decision not to use the rater's votes; they stay in the database. An empty reason undoes it."""
        self._set(rater, excluded=reason)

    def serve(self, rater: str) -> OpenPair | None:
        """The rater's open pair (after a reload, too), else the next one; None when the rater has finished.

        StepRefused: the rater may not rate (see RaterState.may_rate). PairRefused: no such rater.
        """
        with self._database.writing(durable=False) as connection:
            raters.check_may_rate(raters.rater_row(connection, rater))
            self._follow(connection)
            waiting, now = viewings.waiting_rows(connection, rater), self.clock.now()
            raters.set_rater(connection, rater, active_tstamp=now)
            if waiting and waiting[0].state == "open":
                return viewings.open_pair(waiting[0], self._seconds)
            return self._serve_next(connection, rater, waiting, now)

    def play(
        self, pair_id: str, rater: str, left_seconds: float = 0.0, right_seconds: float = 0.0, *, stalls: int = 0
    ) -> Progress:
        """Notes how much of each clip was played so far in this attempt; the first call starts the server's clock.

        What is reported counts up to the time that has passed since the start, and never goes back. Call it when play
        begins, and then every 10 s or so, or only before the vote. PairRefused: not this rater's open pair.
        """
        viewings.check_played(left_seconds, right_seconds, stalls)
        with self._database.writing(durable=False) as connection:
            row, now = viewings.pair_row(connection, pair_id, rater), self.clock.now()
            if row.state != "open":
                raise viewings.PairRefused(viewings.NO_SUCH_PAIR)
            raters.set_rater(connection, rater, active_tstamp=now)
            reported = (left_seconds, right_seconds)
            return viewings.note_play(connection, row, reported, stalls, self._seconds, now)

    def vote(
        self,
        pair_id: str,
        rater: str,
        answers: Mapping[str, Winner],
        *,
        left_seconds: float = 0.0,
        right_seconds: float = 0.0,
        stalls: int = 0,
    ) -> Receipt:
        """Takes the answers, one for each of the pair's axes ("model_a": left); "tie" only if the study has ties.

        What was played may be reported with the vote, as to `play`; but `play` must have started the clock.
        The same answers again (double click, retry) give the same receipt. TooEarly: not enough watched.
        VoteRefused: other answers than before, or no answers. PairRefused: another rater's pair, stalled, released.
        """
        viewings.check_played(left_seconds, right_seconds, stalls)
        with self._database.writing() as connection:
            row, now = viewings.pair_row(connection, pair_id, rater), self.clock.now()
            reported = left_seconds or right_seconds or stalls
            if reported and row.state == "open" and row.started_tstamp is not None:
                viewings.note_play(connection, row, (left_seconds, right_seconds), stalls, self._seconds, now)
                row = viewings.pair_row(connection, pair_id, rater)
            receipt = viewings.take_vote(connection, row, answers, self._study.ties, self._seconds, now)
            if row.state == "open":
                raters.set_rater(connection, rater, active_tstamp=now)
            return receipt

    def stalled(self, pair_id: str, rater: str) -> None:
        """Playback broke down: the pair is closed, and comes again after another one. Of a closed pair: nothing."""
        with self._database.writing(durable=False) as connection:
            row = viewings.pair_row(connection, pair_id, rater)
            if row.state == "open":
                self._follow(connection)
                viewings.set_aside(connection, row, self._follower.tally.rater(rater).viewings)

    def release(self, rater: str) -> int:
        """Gives up the unanswered pairs of a rater who has left, so that others are shown them; how many."""
        with self._database.writing() as connection:
            raters.rater_row(connection, rater)
            return self._release(connection, rater)

    def release_idle(self, seconds: float) -> int:
        """Releases the pairs of raters who did nothing for `seconds`; how many pairs."""
        with self._database.writing() as connection:
            waiting = select(SERVED.c.rater).where(SERVED.c.state.in_(("open", "stalled")))
            before = self.clock.now() - seconds
            idle = select(RATERS.c.rater).where(RATERS.c.active_tstamp < before, RATERS.c.rater.in_(waiting))
            return sum(self._release(connection, rater) for rater in connection.execute(idle).scalars().all())

    def alarms(self) -> list[str]:
        """What a person should look at now, a line each (exclusions or unknown checks above 20% in the last hour)."""
        with self._database.reading() as connection:
            recent = select(RATERS).where(RATERS.c.active_tstamp > self.clock.now() - HOUR)
            rows = connection.execute(recent).all()
            names = [row.rater for row in rows]
            votes = raters.votes_of_raters(connection, names)
            found = raters.findings_of_raters(connection, names, votes, self._study)
            return checks.alarms(found, [row.rater for row in rows if raters.excluded_of(row)])

    def rater_counts(self) -> RaterCounts:
        """How many raters stand where."""
        with self._database.writing(durable=False) as connection:
            self._follower.catch_up(connection)
            return rater_counts(connection, self._study, lambda rater: self._next(rater) is None)

    def votes(self) -> list[Vote]:
        """All votes in order, checks and unused ones included (`used` says so)."""
        with self._database.reading() as connection:
            return all_votes(connection, self._study)

    def _set(self, rater: str, **columns: object) -> RaterState:
        with self._database.writing() as connection:
            raters.rater_row(connection, rater)
            raters.set_rater(connection, rater, active_tstamp=self.clock.now(), **columns)
            return self._state(connection, rater)

    def _follow(self, connection: Connection) -> None:
        """Counts what other calls served. Those of the same transaction may yet be undone with it."""
        self._in_doubt |= self._database.parts > 0
        self._follower.catch_up(connection)

    def _state(self, connection: Connection, rater: str) -> RaterState:
        row = raters.rater_row(connection, rater)
        self._follow(connection)
        finished = not viewings.waiting_rows(connection, rater) and self._next(rater) is None
        return raters.state_of(connection, row, self._study, finished=finished)

    def _next(self, rater: str) -> Served | None:
        return choose(self._study, self._follower.tally, rater, self._seed, weights=self._follower.weights)

    def _serve_next(
        self, connection: Connection, rater: str, stalled: Sequence[Row[Any]], now: float
    ) -> OpenPair | None:
        """Opens a pair that stalled some pairs ago, or a new one, or one that stalled just now; or none."""
        served = self._follower.tally.rater(rater).viewings
        overdue = bool(stalled) and stalled[0].set_aside_at < served
        chosen = None if overdue else self._next(rater)
        if chosen:
            if connection.execute(_TAKEN, {"pair": chosen.pair_id}).first():
                chosen = replace(chosen, pair_id=rater_hash(self._key, f"{chosen.pair_id} again"))
            return viewings.serve_new(connection, chosen, self._follower.served + 1, now, self._seconds)
        return viewings.serve_again(connection, stalled[0], self._seconds) if stalled else None

    def _release(self, connection: Connection, rater: str) -> int:
        waiting = select(SERVED).where(SERVED.c.rater == rater, SERVED.c.state.in_(("open", "stalled")))
        rows = connection.execute(waiting).all()
        for row in rows:
            viewings.give_up(connection, row)
        return len(rows)


def check_clips(study: Study, clip_seconds: Mapping[tuple[str, str], float]) -> None:
    """DataError: a clip has no length. ConfigError: a length is no time."""
    shown = [(method, story) for method in study.methods for story in study.stories]
    shown += [(method, gold.story) for gold in study.gold for method in (gold.better, gold.worse)]
    for method, story in shown:
        length = clip_seconds.get((method, story))
        if length is None:
            raise DataError(f"the clip of {method} for {story} has no length. Give one for every clip of the study.")
        if not 0 < length < math.inf:
            raise ConfigError(refusal(f"the length of {method}'s {story}", length, "it must be above 0", "Correct it"))


def last_moment(connection: Connection) -> float:
    """The latest moment that the database knows of."""
    columns = (RATERS.c.active_tstamp, SERVED.c.served_tstamp, SERVED.c.started_tstamp, VOTES.c.tstamp)
    return max(connection.execute(select(func.max(column))).scalar_one() or 0.0 for column in columns)
