"""What the store knows of raters, read and written within a transaction."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from storyreel.arena.store import checks
from storyreel.arena.store.records import (
    COMPREHENSION_TRIES,
    Finding,
    Outcome,
    PairRefused,
    RaterState,
    StepRefused,
)
from storyreel.arena.store.rows import vote_of
from storyreel.arena.store.schema import FINDINGS, RATERS, SERVED, VOTES
from storyreel.arena.study import Study
from storyreel.arena.votes import Vote

UNKNOWN_RATER = "There is no such rater. Come in by the link of the invitation."
WITHDRAWN = "consent withdrawn"
_RATER = select(RATERS).where(RATERS.c.rater == bindparam("own"))
_SET_RATER = update(RATERS).where(RATERS.c.rater == bindparam("own"))
SCREENED = frozenset({Outcome.SCREENED_OUT, Outcome.FIXED_SCREENOUT})


def add_rater(connection: Connection, rater: str, source: str, now: float, excluded: str = "") -> None:
    """Notes a rater; of one who is known, nothing changes but the time."""
    if connection.execute(select(RATERS.c.rater).where(RATERS.c.rater == rater)).first():
        set_rater(connection, rater, active_tstamp=now)
        return
    row = {"rater": rater, "source": source, "admitted_tstamp": now, "active_tstamp": now, "excluded": excluded}
    connection.execute(insert(RATERS).values(comprehension_tries=0, comprehension_passed=False, ended="", **row))


def set_rater(connection: Connection, rater: str, **columns: Any) -> None:
    connection.execute(_SET_RATER, {"own": rater, **columns})


def rater_row(connection: Connection, rater: str) -> Row[Any]:
    """PairRefused: no such rater."""
    row = connection.execute(_RATER, {"own": rater}).first()
    if row is None:
        raise PairRefused(UNKNOWN_RATER)
    return row


def check_may_rate(row: Row[Any]) -> None:
    """StepRefused: the rater may not be shown a pair (yet)."""
    if row.device is False:
        raise StepRefused("This device cannot show the study. Come back with another one.")
    if row.consent is not True:
        raise StepRefused("The study begins with your consent.")
    if not row.comprehension_passed:
        raise StepRefused("The study begins with the short check of the instructions.")
    if row.ended:
        raise StepRefused("This session has ended.")


def comprehension_of(row: Row[Any], passed: bool) -> dict[str, Any]:
    """The columns after one more try, none if it was passed before; StepRefused where no try is left."""
    if row.consent is not True:
        raise StepRefused("The study begins with your consent.")
    if row.comprehension_passed:
        return {}
    if row.comprehension_tries >= COMPREHENSION_TRIES:
        raise StepRefused("Both tries at the check of the instructions are used up.")
    return {"comprehension_tries": row.comprehension_tries + 1, "comprehension_passed": passed}


def state_of(connection: Connection, row: Row[Any], study: Study, *, finished: bool) -> RaterState:
    """The state of the rater of a row of `raters`; `finished` says that there is nothing left to serve."""
    votes = votes_of_raters(connection, [row.rater])[row.rater]
    given = Counter(vote.axis for vote in votes if vote.kind == "pair")
    pairs = Counter(connection.execute(select(SERVED.c.state).where(SERVED.c.rater == row.rater)).scalars())
    found = findings_of_raters(connection, [row.rater], {row.rater: votes}, study)[row.rater]
    comprehension = "passed" if row.comprehension_passed else "open"
    if comprehension == "open" and row.comprehension_tries >= COMPREHENSION_TRIES:
        comprehension = "failed"
    return RaterState(
        rater=row.rater,
        source=row.source,
        consent=row.consent,
        device=row.device,
        comprehension=comprehension,
        comprehension_tries=row.comprehension_tries,
        viewings_done=pairs["voted"],
        votes_left={axis: max(0, study.votes_per_axis - given[axis]) for axis in study.axis_names},
        has_open_pair=pairs["open"] > 0,
        finished=finished,
        checks=found,
        excluded=excluded_of(row),
        outcome=_outcome(row, comprehension, finished, found),
    )


def excluded_of(row: Row[Any]) -> str:
    """Why a rater's votes are not used, apart from checks; empty where there is no such reason."""
    return row.excluded or (WITHDRAWN if row.consent is False else "")


def _outcome(row: Row[Any], comprehension: str, finished: bool, found: dict[str, Finding]) -> Outcome | None:
    if row.device is False:
        return Outcome.INCOMPATIBLE_DEVICE
    if row.consent is False:
        return Outcome.NO_CONSENT
    if row.ended:
        return Outcome(row.ended)
    if comprehension == "failed":
        return Outcome.SCREENED_OUT
    if not finished:
        return None
    return Outcome.FAILED_ATTENTION_CHECK if found["gold"] == "fail" else Outcome.COMPLETED


def votes_of_raters(connection: Connection, raters: Sequence[str] | None = None) -> defaultdict[str, list[Vote]]:
    """The votes of these raters, or of all, by rater, in order."""
    found: defaultdict[str, list[Vote]] = defaultdict(list)
    wanted = select(VOTES).order_by(VOTES.c.number)
    for row in connection.execute(wanted if raters is None else wanted.where(VOTES.c.rater.in_(raters))):
        found[row.rater].append(vote_of(row))
    return found


def findings_of_raters(
    connection: Connection, raters: Iterable[str], votes: Mapping[str, Sequence[Vote]], study: Study | None
) -> dict[str, dict[str, Finding]]:
    """Findings of each rater's votes, and those that came from outside. Without a study gold pairs are unknown."""
    outside: defaultdict[str, dict[str, Finding]] = defaultdict(dict)
    for row in connection.execute(select(FINDINGS)):
        outside[row.rater][row.name] = row.finding
    return {rater: checks.findings(votes.get(rater, []), study) | outside.get(rater, {}) for rater in raters}
