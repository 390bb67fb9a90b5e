"""Raters who come from Prolific: the three parameters of the link, and the signed token that proves them."""

from __future__ import annotations

from dataclasses import dataclass

from storyreel.arena.store.records import Finding
from storyreel.errors import StoryreelError


class TokenRefused(StoryreelError):
    """A token that is forged, expired, for another study or for another rater: the visitor is not let in (HTTP 403)."""


@dataclass(frozen=True)
class Arrival:
    """PROLIFIC_PID, STUDY_ID and SESSION_ID of the link. Ids are 1 to 64 letters, digits, "-" or "_"."""

    participant: str
    study: str
    session: str


class TokenCheck:
    """Checks `prolific_token`s against the keys at `jwks` (a file, or an https URL), which are read again daily."""

    def __init__(self, jwks: str, audience: str) -> None:
        raise NotImplementedError

    def check(self, token: str, arrival: Arrival) -> Finding:
        """ "pass", or "unknown" while there are no keys to check with (an outage; never a reason to refuse).

        TokenRefused: everything else, an empty token included.
        """
        raise NotImplementedError
