"""How well the clips played, as the pages report it: for whoever runs the study to see that it runs well."""

from __future__ import annotations

import statistics
import threading
from collections import deque
from dataclasses import dataclass

from storyreel.arena.web.bodies import Played

REMEMBERED = 1000


@dataclass(frozen=True)
class PlaybackFigures:
    """Of the last viewings: how many reported, medians of how far the clips ran apart (frames), how many stalled."""

    viewings: int
    drift_median: float
    drift_p95: float
    stalled: int


class Playback:
    """Remembers the last reports in memory; they are no part of the study's record."""

    def __init__(self) -> None:
        self._last: deque[tuple[float, float, int]] = deque(maxlen=REMEMBERED)
        self._lock = threading.Lock()

    def note(self, played: Played) -> None:
        """Counts the report at the end of a viewing, which has the drift; those on the way have none."""
        if played.drift is not None:
            with self._lock:
                self._last.append((played.drift[0], played.drift[1], played.stalls))

    def figures(self) -> PlaybackFigures | None:
        """None before the first report."""
        with self._lock:
            last = list(self._last)
        if not last:
            return None
        middle, high, stalls = zip(*last, strict=True)
        return PlaybackFigures(len(last), statistics.median(middle), statistics.median(high), sum(map(bool, stalls)))
