"""What is wrong, or doubtful, in a plot or a storyboard: where, what, and what mends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One finding. `segment` and `line` (of the file) count from 1, `sentence` is that of the plot; None: of the whole.

    error: no video can be made, or a part of the story is lost. warning: the video will differ from what is meant.
    note: something was read in another way. `mended` says that --fix mends it, or has mended it.
    """

    level: Level
    rule: str
    message: str
    remedy: str = ""
    segment: int | None = None
    line: int | None = None
    sentence: int | None = None
    mended: bool = False

    @property
    def where(self) -> str:
        """ "segment 2 (line 11)", "sentence 3", or "the storyboard" where it is about all of it."""
        if self.sentence is not None:
            return f"sentence {self.sentence}"
        if self.segment is None:
            return "the storyboard"
        return f"segment {self.segment}" if self.line is None else f"segment {self.segment} (line {self.line})"

    def __str__(self) -> str:
        return f"{self.level}: {self.where}: {self.message}{' ' if self.remedy else ''}{self.remedy}"

    def as_json(self) -> dict[str, Any]:
        """Its fields, those that say nothing left out."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "", False)}


def numbered(findings: Iterable[Finding]) -> list[str]:
    """A line for each finding, counted from 1."""
    return [f"{number}. {finding}" for number, finding in enumerate(findings, start=1)]
