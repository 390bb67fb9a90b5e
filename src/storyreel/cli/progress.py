"""Progress of long work: stages with counts, time left from the first measured pass, peak memory.

Something moves every two seconds, also while a library loads: a bar on a terminal, a plain line elsewhere. Both write
to standard error, so that standard output stays for results.
"""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from storyreel.sampling.memory import process_peak_mib
from storyreel.sampling.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

HEARTBEAT_SECONDS = 2.0


def duration(seconds: float) -> str:
    """How long, as people say it.

    >>> duration(4.2), duration(75), duration(3700)
    ('4 s', '1 min 15 s', '1 h 01 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class StageClock:
    """Counts one stage and guesses what is left of it; the guess needs one measured pass."""

    def __init__(self, name: str, total: int | None) -> None:
        self.name = name
        self.total = total
        self.done = 0
        self.start = time.monotonic()
        self._first_pass_end: float | None = None
        self._last_pass_end = self.start

    def advance(self, passes: int = 1) -> None:
        if not passes:
            return
        self.done += passes
        self._last_pass_end = time.monotonic()
        if self._first_pass_end is None:
            self._first_pass_end = self._last_pass_end
            self._first_passes = self.done

    def elapsed(self) -> float:
        return time.monotonic() - self.start

    def left(self) -> float | None:
        """Seconds to the end of the stage; None before the first pass or without a total.

        The first pass also warms up, so it counts only until there is a second one.
        """
        if self.total is None or self._first_pass_end is None:
            return None
        later = self.done - self._first_passes
        if later:
            pace = (self._last_pass_end - self._first_pass_end) / later
        else:
            pace = (self._first_pass_end - self.start) / self.done
        since = time.monotonic() - self._last_pass_end
        return max(0.0, pace * (self.total - self.done) - since)

    def describe(self) -> str:
        """Count, time left and peak memory in one phrase."""
        parts = [f"{self.done}/{self.total}" if self.total else "", duration(self.elapsed())]
        left = self.left()
        if left is not None and self.done < (self.total or 0):
            parts.append(f"about {duration(left)} left")
        return " · ".join(part for part in [*parts, _peak()] if part)


def _peak() -> str:
    peak = process_peak_mib()
    return "" if peak is None else f"peak {peak} MiB"


class PlainProgress:
    """A line when a stage begins, at least one every two seconds while it runs, and one when it ends."""

    def __init__(self, stream: TextIO, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._stream = stream
        self._heartbeat_seconds = heartbeat_seconds
        self._clock: StageClock | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        if kind is None:
            self._finish_stage()

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage of `total` passes (None: unknown); the stage before is over."""
        self._finish_stage()
        with self._lock:
            self._clock = StageClock(name, total)
        self._line(f"{name} ...")

    def advance(self, passes: int = 1) -> None:
        """So many passes of the stage are done."""
        with self._lock:
            if self._clock:
                self._clock.advance(passes)

    def note(self, text: str) -> None:
        """A line for the user that stays."""
        self._line(text)

    def _finish_stage(self) -> None:
        with self._lock:
            clock, self._clock = self._clock, None
        if clock:
            self._line(f"{clock.name}: done in {duration(clock.elapsed())} · {_peak()}")

    def _beat(self) -> None:
        while not self._stopped.wait(self._heartbeat_seconds):
            with self._lock:
                text = f"{self._clock.name}: {self._clock.describe()}" if self._clock else ""
            if text:
                self._line(text)

    def _line(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class TerminalProgress:
    """A live line for the running stage, whose spinner turns also while a library loads; above it what is done."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        self._console = Console(file=stream, highlight=False)
        self._rich: RichProgress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[clock]}"),
            console=self._console,
            transient=True,
        )
        self._clock: StageClock | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish_stage()
        self._rich.stop()

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage of `total` passes (None: unknown); the stage before is over."""
        self._finish_stage()
        self._clock = StageClock(name, total)
        self._task = self._rich.add_task(name, total=total, clock=_Live(self._clock))

    def advance(self, passes: int = 1) -> None:
        """So many passes of the stage are done."""
        if self._clock and self._task is not None:
            self._clock.advance(passes)
            self._rich.advance(self._task, passes)

    def note(self, text: str) -> None:
        """A line for the user that stays."""
        self._console.print(text, markup=False, soft_wrap=True)

    def _finish_stage(self) -> None:
        if self._clock and self._task is not None:
            self._rich.remove_task(self._task)
            self.note(f"  {self._clock.name}: {duration(self._clock.elapsed())}")
        self._clock = self._task = None


class _Live:
    """Text that is computed anew each time the bar is drawn."""

    def __init__(self, clock: StageClock) -> None:
        self._clock = clock

    def __str__(self) -> str:
        return self._clock.describe()


class Counter:
    """Advances a progress to a count that is told from the stage's start, as in "12 are done"."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._done = 0

    def __call__(self, done: int) -> None:
        self._progress.advance(done - self._done)
        self._done = done


def open_progress(stream: TextIO | None = None) -> TerminalProgress | PlainProgress:
    """The progress that suits a stream (standard error by default); use it as a context manager."""
    target = sys.stderr if stream is None else stream
    return TerminalProgress(target) if target.isatty() else PlainProgress(target)
