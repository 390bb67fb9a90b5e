"""How a rater goes back to Prolific: one completion code an outcome, from the environment or a file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from storyreel.arena.store.records import Outcome
from storyreel.errors import ConfigError, DataError

COMPLETION_PAGE = "https://app.prolific.com/submissions/complete?cc="
VARIABLE = "STORYREEL_PROLIFIC_"
"""STORYREEL_PROLIFIC_COMPLETED and so on hold the codes; they come before those of a file."""


def completion_codes(file: Path | None = None, environment: Mapping[str, str] = os.environ) -> dict[Outcome, str]:
    """The code of each outcome, from a JSON object {"COMPLETED": "C1A2B3", ...} and the environment.

    DataError: the file cannot be read, or has a name that is no outcome. ConfigError: a code is missing, is not made of
    letters and digits, or stands for two outcomes.
    """
    given = _codes_of(file) if file else {}
    known = {outcome.value for outcome in Outcome}
    for name in given:
        if name not in known:
            raise DataError(f"{file}: {name} is no outcome. Give codes for {', '.join(sorted(known))}.")
    codes: dict[Outcome, str] = {}
    for outcome in Outcome:
        code = environment.get(VARIABLE + outcome.value) or given.get(outcome.value, "")
        if not (code.isascii() and code.isalnum()):
            raise ConfigError(
                f"the completion code of {outcome.value} is {code!r}, but Prolific's are letters and digits. "
                f"Set {VARIABLE}{outcome.value}."
            )
        if code in codes.values():
            raise ConfigError(f"the completion code {code} stands for two outcomes. Make one for each on Prolific.")
        codes[outcome] = code
    return codes


def completion_url(outcome: Outcome, codes: Mapping[Outcome, str]) -> str:
    """Where to send a rater whose `RaterState.outcome` is `outcome`; show it only then."""
    return COMPLETION_PAGE + quote(codes[outcome], safe="")


def _codes_of(file: Path) -> dict[str, str]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as JSON: {error}. Give an object of outcomes and codes.") from error
    if not isinstance(found, dict) or not all(isinstance(code, str) for code in found.values()):
        raise DataError(f"{file} is no object of outcomes and codes. Give one.")
    return found
