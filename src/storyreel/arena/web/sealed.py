"""What the server hands out and wants back unchanged: session cookies, form tokens, names of clips."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

from itsdangerous import BadData, URLSafeTimedSerializer
from itsdangerous.timed import TimestampSigner
from pydantic import BaseModel, ConfigDict, ValidationError

from storyreel.arena.store.records import Finding

SESSION_SECONDS = 7 * 24 * 3600
ADMIN_SECONDS = 12 * 3600
MOST_KNOWN = 10_000
Clock = Callable[[], float]


class Session(BaseModel):
    """A visitor: before consent `identity` alone (never a Prolific id itself), afterwards `rater`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    nonce: str
    identity: str = ""
    source: Literal["link", "prolific"] = "link"
    token: Finding | None = None
    rater: str = ""


class Sealer:
    """Signs with `key` by HMAC-SHA-256; each purpose has a key of its own. `clock`: seconds since 1970."""

    def __init__(self, key: bytes, clock: Clock) -> None:
        self._key, self._clock = key, clock
        self._known: OrderedDict[str, tuple[Session, int]] = OrderedDict()

        class Signer(TimestampSigner):
            def get_timestamp(self) -> int:
                return int(clock())

        def serializer(salt: str) -> URLSafeTimedSerializer:
            options = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}
            return URLSafeTimedSerializer(key, salt=salt, signer=Signer, signer_kwargs=options)

        self._sessions, self._admins = serializer("session"), serializer("admin")

    def seal(self, session: Session) -> str:
        return str(self._sessions.dumps(session.model_dump(exclude_defaults=True)))

    def unseal(self, cookie: str | None) -> Session | None:
        """The session of a cookie that this server made within SESSION_SECONDS, else None."""
        known = self._known.get(cookie or "")
        if known is not None and 0 <= int(self._clock()) - known[1] <= SESSION_SECONDS:
            return known[0]
        try:
            sealed, made = self._sessions.loads(cookie or "", max_age=SESSION_SECONDS, return_timestamp=True)
            session = Session.model_validate(sealed)
        except (BadData, ValidationError):
            return None
        # Only what proved to be ours is kept, so nobody can push others out with cookies that they made up.
        self._known[cookie or ""] = session, int(made.timestamp())
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return session

    def seal_admin(self) -> str:
        return str(self._admins.dumps(secrets.token_urlsafe(16)))

    def is_admin(self, cookie: str | None) -> bool:
        try:
            self._admins.loads(cookie or "", max_age=ADMIN_SECONDS)
        except BadData:
            return False
        return True

    def form_token(self, session: Session, purpose: str) -> str:
        """What a form of this session for this purpose must bring back."""
        return self._mac("form", session.nonce, session.rater, purpose)

    def clip_name(self, pair_id: str, attempt: int, side: str) -> str:
        """A name for one side of one served pair, which says nothing to anyone else."""
        return self._mac("clip", pair_id, str(attempt), side)

    def pseudonym(self, participant: str) -> str:
        """What stands for a participant's id in the cookie and for the store."""
        return self._mac("participant", participant)

    def shuffle_seed(self, *words: str) -> str:
        return self._mac("shuffle", *words)

    def _mac(self, *words: str) -> str:
        message = b"".join(len(word.encode()).to_bytes(4, "big") + word.encode() for word in words)
        digest = hmac.new(self._key, message, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest[:24]).decode()
