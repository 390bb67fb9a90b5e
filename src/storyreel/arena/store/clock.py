"""The time of a running study, which never goes back."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Seconds since 1970, read once when made and then counted on by a clock that nobody can set.

    `not_before` is the last moment that the database knows of: a machine whose clock was set back while the server was
    down goes on from there.
    """

    def __init__(
        self,
        not_before: float = 0.0,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._offset = max(wall(), not_before) - monotonic()

    def now(self) -> float:
        return self._offset + self._monotonic()
