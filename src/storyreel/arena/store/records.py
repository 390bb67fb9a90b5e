"""What the store takes and gives: plain values, and the refusals that a caller has to tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from storyreel.arena.pairing import Served
from storyreel.errors import StoryreelError

WATCHED_SHARE = 0.95
"""Of both clips, how much must have been played before a vote."""
COMPREHENSION_TRIES = 2
"""Tries at the comprehension check (Prolific allows two, and asks for a return, never for a rejection)."""
MOST_ATTEMPTS = 3
"""How often a pair that stalls is served before it is given up."""

Finding = Literal["pass", "fail", "unknown"]


class StoreRefusal(StoryreelError):
    """A request that the store does not carry out; nothing was changed. `str(error)` may be shown to the rater."""


class StepRefused(StoreRefusal):
    """A step out of its order: a pair before consent or the comprehension check, or after the end (HTTP 409)."""


class PairRefused(StoreRefusal):
    """A pair that does not exist, is another rater's, or takes no vote any more (HTTP 404: say no more)."""


class VoteRefused(StoreRefusal):
    """Answers that are none: an axis too many or too few, no such winner, another answer than before (HTTP 409)."""


class TooEarly(StoreRefusal):
    """A vote before both clips were watched; `wait_seconds` by the server's clock (HTTP 425)."""

    def __init__(self, message: str, wait_seconds: float) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class StoreUnavailable(StoryreelError):
    """The database cannot take a change now: disk full or read-only, locked, gone. Nothing was kept (HTTP 503)."""


class Outcome(Enum):
    """How a rater's session ended; on Prolific each has a completion code of its own."""

    COMPLETED = "COMPLETED"
    NO_CONSENT = "NO_CONSENT"
    INCOMPATIBLE_DEVICE = "INCOMPATIBLE_DEVICE"
    SCREENED_OUT = "SCREENED_OUT"
    FIXED_SCREENOUT = "FIXED_SCREENOUT"
    FAILED_ATTENTION_CHECK = "FAILED_ATTENTION_CHECK"


PAID = frozenset({Outcome.COMPLETED, Outcome.FIXED_SCREENOUT})
"""Outcomes that are paid without a look by a person. Whether the votes are used is another question."""


@dataclass(frozen=True)
class OpenPair:
    """The pair that a rater has before them.

    `attempt` counts from 1; a stalled pair comes again with the next. `needed_seconds` must pass between the start
    of play and the vote. `served_tstamp` is in seconds since 1970; `started` tells whether play began already.
    """

    served: Served
    served_tstamp: float
    attempt: int
    needed_seconds: float
    started: bool

    @property
    def pair_id(self) -> str:
        return self.served.pair_id


@dataclass(frozen=True)
class Progress:
    """Where the viewing of a pair stands, by the server's clock. `wait_seconds` is 0 when a vote would be taken."""

    elapsed_seconds: float
    left_seconds: float
    right_seconds: float
    wait_seconds: float

    @property
    def ready(self) -> bool:
        return self.wait_seconds <= 0


@dataclass(frozen=True)
class Receipt:
    """A vote that is on the disk. The same answers again give the same receipt. `number` is that of its last row."""

    pair_id: str
    tstamp: float
    number: int
    hash: str


@dataclass(frozen=True)
class RaterState:
    """All that is known of a rater.

    `consent`, `device` None: not asked yet. `votes_left`: by axis, at most (a small study may end before). `checks`:
    findings by name. `used`: whether the votes count in ratings; `paid`: whether the session is paid; neither follows
    from the other. `outcome` is None until the session has ended, that is, until the last vote is on the disk.
    """

    rater: str
    source: str
    consent: bool | None
    device: bool | None
    comprehension: Literal["open", "passed", "failed"]
    comprehension_tries: int
    viewings_done: int
    votes_left: Mapping[str, int]
    has_open_pair: bool
    finished: bool
    checks: Mapping[str, Finding] = field(default_factory=dict)
    excluded: str = ""
    outcome: Outcome | None = None

    @property
    def may_rate(self) -> bool:
        """Whether `Store.serve` would be carried out."""
        return self.consent is True and self.device is not False and self.comprehension == "passed"

    @property
    def used(self) -> bool:
        return not self.excluded and "fail" not in self.checks.values()

    @property
    def paid(self) -> bool:
        return self.outcome in PAID
