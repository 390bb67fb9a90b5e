"""Which examples a data set has: windows of segments that follow each other, with scene marks and splits.

Pure functions of rows: nothing here reads a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from storyreel.data.manifest import Account, Dropped, Record, span_id
from storyreel.data.segments import SegmentRow
from storyreel.errors import ConfigError, refusal
from storyreel.geometry import SEGMENT_SECONDS, STAGE_SECONDS, check_seconds


@dataclass(frozen=True)
class ExamplesConfig:
    """How segments become examples.

    stages: lengths in seconds. most_gap_seconds: two segments are neighbours when less of the film than this lies
    between them; crops at a cut leave up to 3 s, a dropped segment 3 s or more. stride_segments: from the beginning of
    an example to that of the next one (0: its length, so that no segment is in two examples of a stage).
    validation_share: of the films; seed: which ones.
    """

    stages: tuple[int, ...] = STAGE_SECONDS
    most_gap_seconds: float = 3.0
    stride_segments: int = 0
    validation_share: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        for seconds in self.stages:
            check_seconds(seconds)
        if not self.stages or len(set(self.stages)) != len(self.stages):
            raise ConfigError(refusal("stages", self.stages, "each length must be there once", "Try 3 9"))
        if not 0 <= self.validation_share <= 1:
            limit = "it is a share of the films, 0 to 1"
            raise ConfigError(refusal("validation share", self.validation_share, limit, "Try 0.05"))
        if self.stride_segments < 0:
            limit = "it must be 0 (the length of an example) or more"
            raise ConfigError(refusal("stride", self.stride_segments, limit, "Try 0"))


@dataclass(frozen=True)
class Marks:
    """Whether a segment is the first and the last of its scene."""

    starts: bool
    ends: bool


class Example(Record):
    """`seconds` of a film: segments by id, in order. `id` is the span from the first one's start to the last's stop."""

    id: str
    film: str
    seconds: int
    split: str
    segments: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Examples of one film, what each stage leaves out, and the counts."""

    examples: list[Example]
    dropped: list[Dropped]
    accounts: list[Account]


def scene_marks(rows: Sequence[SegmentRow], scenes: Mapping[str, int]) -> dict[str, Marks]:
    """Marks of every segment by id; `scenes` is the scene of each shot of its film, by the shot's id.

    A scene is all neighbours of the same film and scene, in the film's time, whatever window looks at them: a window
    that begins in the middle of a scene begins without a mark, as a window of a drawn story does.
    """
    ordered = sorted(rows, key=lambda row: (row.film, Fraction(row.start_seconds)))
    places = [None, *((row.film, scenes[row.shot]) for row in ordered), None]
    return {
        row.id: Marks(starts=before != own, ends=own != after)
        for row, before, own, after in zip(ordered, places, places[1:], places[2:], strict=False)
    }


def split_of(film: str, config: ExamplesConfig) -> str:
    """ "train" or "validation", from the seed and the film's id alone."""
    digest = hashlib.sha256(f"{config.seed} {film}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return "validation" if share < config.validation_share else "train"


def plan_film(
    rows: Sequence[SegmentRow], config: ExamplesConfig, why_not: Callable[[SegmentRow, int], str | None]
) -> Plan:
    """Examples of the segments of one film, for every stage from the beginning of each run of neighbours.

    `why_not(segment, seconds)` is the reason why a segment cannot be in an example of a stage; None where it can.
    """
    ordered = sorted(rows, key=lambda row: Fraction(row.start_seconds))
    plan = Plan([], [], [])
    for seconds in config.stages:
        reasons = {row.id: why_not(row, seconds) for row in ordered}
        used: set[str] = set()
        for run in _runs(ordered, reasons, config):
            windows = _windows(run, seconds, config)
            plan.examples.extend(_example(window, seconds, config) for window in windows)
            used.update(row.id for window in windows for row in window)
        unit = unit_of(seconds)
        for row in ordered:
            if row.id not in used:
                reason = reasons[row.id] or "left over"
                detail = (
                    f"{row.take}, segment {row.number}: {reasons[row.id] or 'too few others follow each other here'}"
                )
                plan.dropped.append(Dropped(id=row.id, unit=unit, reason=reason, detail=detail))
        lost = len(ordered) - len(used)
        plan.accounts.append(Account(unit=unit, seen=len(ordered), kept=len(used), dropped=lost))
    return plan


def unit_of(seconds: int) -> str:
    """The unit under which segments of a stage are counted."""
    return f"segment at {seconds} s"


def _runs(
    ordered: Sequence[SegmentRow], reasons: Mapping[str, str | None], config: ExamplesConfig
) -> list[list[SegmentRow]]:
    usable = [row for row in ordered if reasons[row.id] is None]
    runs = [usable[:1]] if usable else []
    most = Fraction(config.most_gap_seconds).limit_denominator(1000)
    for before, row in pairwise(usable):
        if Fraction(row.start_seconds) - Fraction(before.stop_seconds) < most:
            runs[-1].append(row)
        else:
            runs.append([row])
    return runs


def _windows(run: Sequence[SegmentRow], seconds: int, config: ExamplesConfig) -> list[Sequence[SegmentRow]]:
    length = seconds // SEGMENT_SECONDS
    return [run[at : at + length] for at in range(0, len(run) - length + 1, config.stride_segments or length)]


def _example(window: Sequence[SegmentRow], seconds: int, config: ExamplesConfig) -> Example:
    film = window[0].film
    return Example(
        id=span_id(film, Fraction(window[0].start_seconds), Fraction(window[-1].stop_seconds)),
        film=film,
        seconds=seconds,
        split=split_of(film, config),
        segments=tuple(row.id for row in window),
    )
