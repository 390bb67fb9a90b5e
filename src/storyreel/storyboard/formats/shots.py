"""What the formats of other programs have in common: shots of some length, which become segments of 3 s."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from storyreel.errors import ConfigError, StoryboardError, refusal
from storyreel.geometry import SEGMENT_SECONDS, STAGE_SECONDS, check_seconds
from storyreel.storyboard.schema import Storyboard, StoryboardSegment
from storyreel.wording import counted


@dataclass(frozen=True)
class Shot:
    """A paragraph of another program's file. `starts_scene`: there is a cut in front of it; `seconds` is its length."""

    text: str
    starts_scene: bool = False
    seconds: float = SEGMENT_SECONDS
    negative_text: str = ""


@dataclass(frozen=True)
class Script:
    """What was read of another program's file, and in a few words what it says that a storyboard cannot."""

    title: str
    shots: tuple[Shot, ...]
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """One format. `write` returns the file's text and what of the storyboard it cannot say.

    `recognises` and `read` take the parsed JSON (for Fountain the text); they are None where reader.py does it.
    """

    name: str
    suffix: str
    write: Callable[[Storyboard], tuple[str, tuple[str, ...]]]
    recognises: Callable[[Any], bool] | None = None
    read: Callable[[Any, int], Script] | None = None


def to_segments(script: Script, seconds: int | None) -> tuple[Storyboard, tuple[str, ...]]:
    """A script as segments: each shot as many as its length asks for, in all those of `seconds` where it is given.

    Returns what is to be said of it too. ConfigError where there are more shots than segments.
    """
    shots = script.shots
    if not shots:
        raise StoryboardError("the file has no shot with a text. Give it one.")
    counts = [max(1, round(shot.seconds / SEGMENT_SECONDS)) for shot in shots]
    if seconds is not None:
        check_seconds(seconds)
        segments = seconds // SEGMENT_SECONDS
        if segments < len(shots):
            least = SEGMENT_SECONDS * len(shots)
            fitting = next((stage for stage in STAGE_SECONDS if stage >= least), least)
            raise ConfigError(
                refusal("--seconds", seconds, f"{len(shots)} shots need {least} s at least", f"Try {fitting}")
            )
        counts = _shared_out([shot.seconds for shot in shots], segments)
    told = []
    if max(counts) > 1:
        again = sum(counts) - len(counts)
        says = "says" if again == 1 else "say"
        told.append(f"{counted(again, 'segment')} of longer shots {says} the same again")
    segments_ = [
        StoryboardSegment(
            text=shot.text, scene_start=(shot.starts_scene or number == 0) and part == 0,
            negative_text=shot.negative_text,
        )
        for number, (shot, count) in enumerate(zip(shots, counts, strict=True))
        for part in range(count)
    ]  # fmt: skip
    return Storyboard(title=script.title, segments=segments_), tuple(told)


def _shared_out(lengths: Sequence[float], segments: int) -> list[int]:
    """So many segments for shots of these lengths, one at least for each; the longest per segment gets the next."""
    counts = [1] * len(lengths)
    for _ in range(segments - len(lengths)):
        counts[max(range(len(lengths)), key=lambda i: lengths[i] / counts[i])] += 1
    return counts


def field(item: Any, key: str, kind: type, where: str) -> Any:
    """`item[key]`, of a kind; StoryboardError, one line, where it is missing or of another."""
    if not isinstance(item, dict) or key not in item:
        raise StoryboardError(f'{where} has no "{key}". Add it.')
    if not isinstance(item[key], kind):
        raise StoryboardError(f'{where}: "{key}" must be a JSON {_KINDS[kind]}. Mend it.')
    return item[key]


def only_texts(values: Sequence[Any], where: str) -> list[str]:
    """The values, all of which must be text that is not blank."""
    for number, value in enumerate(values, start=1):
        if not isinstance(value, str) or not value.strip():
            raise StoryboardError(f"{where}: number {number} must be text that is not blank. Mend it.")
    return list(values)


def not_told(storyboard: Storyboard, *, title: bool = False, negative: bool = True, scenes: bool = False) -> list[str]:
    """What a storyboard has of the things that a format cannot say."""
    inner = any(segment.scene_start for segment in storyboard.segments[1:])
    facts = (
        ("the title", title and storyboard.title),
        ("scene starts", scenes and inner),
        ("negative texts", negative and any(storyboard.negative_texts())),
        ("locks", any(segment.locked for segment in storyboard.segments)),
    )
    return [name for name, is_lost in facts if is_lost]


_KINDS: dict[type, str] = {list: "list", str: "string", dict: "object"}
