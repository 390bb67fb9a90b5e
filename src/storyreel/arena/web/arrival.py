"""How a visitor comes in: by the invitation alone, or from Prolific with an id that is hashed at once."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from starlette.exceptions import HTTPException

from storyreel.arena.prolific import Arrival, TokenCheck
from storyreel.arena.store.records import Finding
from storyreel.arena.web.sealed import Sealer, Session

PARTICIPANT, STUDY, SESSION, TOKEN = "PROLIFIC_PID", "STUDY_ID", "SESSION_ID", "prolific_token"
MOST_TOKEN = 8192


def arrive(
    query: Mapping[str, str], sealer: Sealer, known: Session | None, *, prolific: bool, check: TokenCheck | None
) -> Session:
    """The visitor's session. One who is `known` by a cookie stays who they are, unless another participant comes.

    HTTP 400: the study is on Prolific and the link lacks its parameters. TokenRefused: the token proves nothing.
    """
    if not prolific:
        return known or Session(nonce=secrets.token_urlsafe(16), identity=secrets.token_urlsafe(24))
    ids = [query.get(name, "") for name in (PARTICIPANT, STUDY, SESSION)]
    if not all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", own) for own in ids):
        raise HTTPException(400)
    arrival = Arrival(*ids)
    token: Finding | None = check.check(query.get(TOKEN, "")[:MOST_TOKEN], arrival) if check else None
    identity = sealer.pseudonym(arrival.participant)
    if known and known.identity == identity:
        return known
    return Session(nonce=secrets.token_urlsafe(16), identity=identity, source="prolific", token=token)
