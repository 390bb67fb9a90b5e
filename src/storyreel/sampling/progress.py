"""What a watcher of a run is told: plain callbacks, so that a terminal, a window or a test can listen."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Who watches a run."""

    def stage(self, name: str, total: int | None = None) -> None:
        """A stage of `total` passes (None: unknown) begins; the one before is over."""
        ...

    def advance(self, passes: int = 1) -> None:
        """So many passes of the stage are done."""
        ...

    def note(self, text: str) -> None:
        """A line for the user."""
        ...


class Silent:
    """A watcher that says nothing."""

    def stage(self, name: str, total: int | None = None) -> None:
        """Nothing is shown."""

    def advance(self, passes: int = 1) -> None:
        """Nothing is shown."""

    def note(self, text: str) -> None:
        """Nothing is shown."""
