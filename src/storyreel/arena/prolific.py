"""Raters who come from Prolific: the three parameters of the link, and the signed token that proves them.

What the token holds: docs.prolific.com, "Retrieve JSON Web Key Set" (kid, exp, aud, and the claim `prolific` with the
parameters of the study's link).
"""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import jwt

from storyreel.arena.store.records import Finding
from storyreel.errors import ConfigError, StoryreelError, refusal

JWKS_URL = "https://api.prolific.com/.well-known/study/jwks.json"
ALGORITHM = "RS256"
REFRESH_SECONDS = 86_400.0
RETRY_SECONDS = 60.0
"""A kid that is not known makes the keys be read again, but no more often than this: visitors choose their kid."""
LEEWAY_SECONDS = 30
TIMEOUT_SECONDS = 5
MOST_BYTES = 65_536
PARAMETERS = ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class TokenRefused(StoryreelError):
    """A token that is forged, expired, for another study or for another rater: the visitor is not let in (HTTP 403)."""


@dataclass(frozen=True)
class Arrival:
    """PROLIFIC_PID, STUDY_ID and SESSION_ID of the link. Ids are 1 to 64 letters, digits, "-" or "_"."""

    participant: str
    study: str
    session: str

    @classmethod
    def of(cls, parameters: Mapping[str, object]) -> Arrival:
        """The arrival of a link's parameters, or of a token's claim. TokenRefused: one is missing, or is no id."""
        values = [parameters.get(name) for name in PARAMETERS]
        for name, value in zip(PARAMETERS, values, strict=True):
            if not (isinstance(value, str) and _ID.fullmatch(value)):
                raise TokenRefused(f"The link has no {name}. Start the study from Prolific again.")
        return cls(*map(str, values))


class TokenCheck:
    """Checks `prolific_token`s against the keys at `jwks` (a file, or an https URL), which are read again daily.

    `audience` is what the token's `aud` must be: the address of this server as given to Prolific. ConfigError: `jwks`
    is an address without https.
    """

    def __init__(self, jwks: str, audience: str, now: Callable[[], float] = time.monotonic) -> None:
        if "://" in jwks and not jwks.startswith("https://"):
            raise ConfigError(refusal("the address of the keys", jwks, "it must be https", f"Try {JWKS_URL}"))
        self._jwks, self._audience, self._now = jwks, audience, now
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = self._tried_at = -float("inf")
        self._reading = threading.Lock()

    def check(self, token: str, arrival: Arrival) -> Finding:
        """`pass`, or `unknown` while there are no keys to check with (an outage; never a reason to refuse).

        TokenRefused: everything else, an empty token included.
        """
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise TokenRefused("The link has no valid token. Start the study from Prolific again.") from error
        kid = header.get("kid")
        if header.get("alg") != ALGORITHM or not isinstance(kid, str):
            raise TokenRefused("The link's token is not signed as Prolific's are. Start the study from Prolific again.")
        key, sure = self._key(kid)
        if key is None and not sure:
            return "unknown"
        if key is None:
            raise TokenRefused("The link's token is signed by someone else. Start the study from Prolific again.")
        _check_claims(token, key, self._audience, arrival)
        return "pass"

    def _key(self, kid: str) -> tuple[jwt.PyJWK | None, bool]:
        """The key, and whether the keys were read well enough ago to say that there is none."""
        with self._reading:
            now = self._now()
            due = now - self._read_at >= REFRESH_SECONDS or kid not in self._keys
            if due and now - self._tried_at >= RETRY_SECONDS:
                self._tried_at = now
                keys = _read_keys(self._jwks)
                if keys:
                    self._keys, self._read_at = keys, now
            return self._keys.get(kid), self._read_at == self._tried_at


def _check_claims(token: str, key: jwt.PyJWK, audience: str, arrival: Arrival) -> None:
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=audience,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "aud"]},
        )
    except jwt.ExpiredSignatureError as error:
        raise TokenRefused("The link has expired. Start the study from Prolific again.") from error
    except jwt.InvalidAudienceError as error:
        raise TokenRefused("The link is for another study. Start the study from Prolific again.") from error
    except jwt.InvalidTokenError as error:
        raise TokenRefused("The link's token is not valid. Start the study from Prolific again.") from error
    claim = claims.get("prolific")
    if not isinstance(claim, dict) or Arrival.of(claim) != arrival:
        raise TokenRefused("The link and its token name two people or studies. Start the study from Prolific again.")


def _read_keys(jwks: str) -> dict[str, jwt.PyJWK]:
    """The signing keys by kid; none if they cannot be had now."""
    try:
        if "://" in jwks:
            with urllib.request.urlopen(jwks, timeout=TIMEOUT_SECONDS) as answer:
                text = answer.read(MOST_BYTES)
        else:
            text = Path(jwks).read_bytes()
        found = json.loads(text)["keys"]
        keys = [jwt.PyJWK(key, ALGORITHM) for key in found if key.get("kty") == "RSA"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError):
        return {}
    return {key.key_id: key for key in keys if key.key_id}
