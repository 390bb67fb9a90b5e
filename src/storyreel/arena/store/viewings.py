"""Pairs from being served to being answered, read and written within a transaction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from storyreel.arena.pairing import Served
from storyreel.arena.store.records import (
    MOST_ATTEMPTS,
    WATCHED_SHARE,
    OpenPair,
    PairRefused,
    Progress,
    Receipt,
    TooEarly,
    VoteRefused,
)
from storyreel.arena.store.rows import add_votes, next_number, served_of, served_row
from storyreel.arena.store.schema import RELEASES, SERVED, VOTES
from storyreel.arena.votes import Vote, Winner
from storyreel.errors import ConfigError, refusal

NO_SUCH_PAIR = "This pair takes no answer. Go back to the study for the next one."
ClipSeconds = Mapping[tuple[str, str], float]

# Made once: to put a statement together takes longer than to carry it out.
_PAIR = select(SERVED).where(SERVED.c.pair_id == bindparam("pair"), SERVED.c.rater == bindparam("rater"))
_WAITING = (
    select(SERVED)
    .where(SERVED.c.rater == bindparam("rater"), SERVED.c.state.in_(("open", "stalled")))
    .order_by(SERVED.c.state, SERVED.c.set_aside_at, SERVED.c.number)
)
_SET_PAIR = update(SERVED).where(SERVED.c.pair_id == bindparam("pair"))
_NEW_PAIR = insert(SERVED)
_GIVEN = select(VOTES).where(VOTES.c.pair_id == bindparam("pair")).order_by(VOTES.c.number)
_BLANK = {"state": "open", "attempt": 1, "left_seconds": 0.0, "right_seconds": 0.0, "stalls": 0, "set_aside_at": 0}


def pair_row(connection: Connection, pair_id: str, rater: str) -> Row[Any]:
    """PairRefused, in the same words, whether the pair is not there or another rater's."""
    row = connection.execute(_PAIR, {"pair": pair_id, "rater": rater}).first()
    if row is None:
        raise PairRefused(NO_SUCH_PAIR)
    return row


def set_pair(connection: Connection, pair_id: str, **columns: Any) -> None:
    connection.execute(_SET_PAIR, {"pair": pair_id, **columns})


def open_pair(row: Row[Any], seconds: ClipSeconds) -> OpenPair:
    needed = WATCHED_SHARE * max(_lengths(row, seconds))
    return OpenPair(served_of(row), row.served_tstamp, row.attempt, needed, row.started_tstamp is not None)


def waiting_rows(connection: Connection, rater: str) -> list[Row[Any]]:
    """The rater's open pair, if there is one, and then those that stalled, by when they were set aside."""
    return list(connection.execute(_WAITING, {"rater": rater}))


def serve_new(connection: Connection, served: Served, number: int, now: float, seconds: ClipSeconds) -> OpenPair:
    """Opens the pair as row `number`."""
    connection.execute(_NEW_PAIR, {"number": number, "served_tstamp": now, **served_row(served), **_BLANK})
    lengths = (seconds[method, served.story] for method in (served.left, served.right))
    return OpenPair(served, now, 1, WATCHED_SHARE * max(lengths), False)


def serve_again(connection: Connection, row: Row[Any], seconds: ClipSeconds) -> OpenPair:
    blank = {"started_tstamp": None, "left_seconds": 0.0, "right_seconds": 0.0}
    set_pair(connection, row.pair_id, state="open", attempt=row.attempt + 1, **blank)
    return replace(open_pair(row, seconds), attempt=row.attempt + 1, started=False)


def set_aside(connection: Connection, row: Row[Any], viewings: int) -> None:
    """Closes a pair that stalled; one that did so too often is given up."""
    if row.attempt >= MOST_ATTEMPTS:
        give_up(connection, row)
    else:
        set_pair(connection, row.pair_id, state="stalled", stalls=row.stalls + 1, set_aside_at=viewings)


def give_up(connection: Connection, row: Row[Any]) -> None:
    set_pair(connection, row.pair_id, state="released")
    number = next_number(connection, RELEASES)
    connection.execute(insert(RELEASES).values(number=number, pair_id=row.pair_id))


def check_played(left_seconds: float, right_seconds: float, stalls: int) -> None:
    """ConfigError: what was reported is no time, or no count."""
    for what, value in (("left_seconds", left_seconds), ("right_seconds", right_seconds), ("stalls", stalls)):
        if not (math.isfinite(value) and value >= 0):
            raise ConfigError(refusal(what, value, "it must be a finite number from 0 on", "Report what was played"))


def note_play(
    connection: Connection, row: Row[Any], reported: tuple[float, float], stalls: int, seconds: ClipSeconds, now: float
) -> Progress:
    """Starts the clock, or counts what was played up to the time that has passed since."""
    started = now if row.started_tstamp is None else row.started_tstamp
    elapsed = max(0.0, now - started)
    before, lengths = (row.left_seconds, row.right_seconds), _lengths(row, seconds)
    left, right = (
        max(old, min(float(new), elapsed, length)) for old, new, length in zip(before, reported, lengths, strict=True)
    )
    changed = {"left_seconds": left, "right_seconds": right, "started_tstamp": started}
    changed["stalls"] = max(row.stalls, stalls)
    if any(getattr(row, name) != value for name, value in changed.items()):
        set_pair(connection, row.pair_id, **changed)
    return Progress(elapsed, left, right, _wait(elapsed, (left, right), lengths))


def take_vote(
    connection: Connection, row: Row[Any], answers: Mapping[str, Winner], ties: bool, seconds: ClipSeconds, now: float
) -> Receipt:
    """Appends the answers to the chain, or finds the receipt of the same answers; else says why not."""
    served = served_of(row)
    _check_answers(served, answers, ties)
    if row.state == "voted":
        given = connection.execute(_GIVEN, {"pair": row.pair_id}).all()
        if {vote.axis: vote.winner for vote in given} != dict(answers):
            raise VoteRefused("This pair has an answer already, and an answer cannot be changed.")
        last = given[-1]
        return Receipt(row.pair_id, last.tstamp, last.number, last.hash)
    if row.state != "open":
        raise PairRefused(NO_SUCH_PAIR)
    lengths = _lengths(row, seconds)
    elapsed = 0.0 if row.started_tstamp is None else max(0.0, now - row.started_tstamp)
    wait = _wait(elapsed, (row.left_seconds, row.right_seconds), lengths)
    if wait > 0:
        raise TooEarly("Please watch both videos to their end first.", wait)
    votes = [_vote(row, served, axis, answers[axis], elapsed, now) for axis in served.axes]
    number, head = add_votes(connection, votes)
    set_pair(connection, row.pair_id, state="voted")
    return Receipt(row.pair_id, votes[-1].tstamp, number, head)


def _check_answers(served: Served, answers: Mapping[str, Winner], ties: bool) -> None:
    if set(answers) != set(served.axes):
        raise VoteRefused("Every question of this pair takes one answer. Answer all of them.")
    allowed = get_args(Winner) if ties else get_args(Winner)[:2]
    if not all(answer in allowed for answer in answers.values()):
        raise VoteRefused("This is no answer to the question. Choose one of those on the page.")


def _vote(row: Row[Any], served: Served, axis: str, winner: Winner, elapsed: float, now: float) -> Vote:
    return Vote(
        model_a=served.left,
        model_b=served.right,
        winner=winner,
        judge=served.rater,
        tstamp=max(now, row.served_tstamp),
        axis=axis,
        story=served.story,
        pair_id=served.pair_id,
        kind=served.kind,
        served_tstamp=row.served_tstamp,
        propensity=served.propensity,
        left_seconds=row.left_seconds,
        right_seconds=row.right_seconds,
        viewing_seconds=elapsed,
        stalls=row.stalls,
    )


def _lengths(row: Row[Any], seconds: ClipSeconds) -> tuple[float, float]:
    return seconds[row.left_method, row.story], seconds[row.right_method, row.story]


def _wait(elapsed: float, played: tuple[float, float], lengths: tuple[float, float]) -> float:
    """Seconds until a vote can be taken, if play goes on."""
    missing = [WATCHED_SHARE * length - own for own, length in zip(played, lengths, strict=True)]
    return max(0.0, WATCHED_SHARE * max(lengths) - elapsed, *missing)
