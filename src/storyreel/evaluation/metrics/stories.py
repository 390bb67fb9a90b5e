"""The story beside a video: its storyboard, who and where in each segment, and for toons what is true of each frame.

Beside VIDEO.mp4 may lie VIDEO.run.json (`storyreel generate`), VIDEO.json (a storyboard, as `storyreel toons` writes
it) and VIDEO.truth.json.gz (only beside a drawn toon, or what was made of its frames).
"""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from pydantic import ValidationError

from storyreel.errors import DataError
from storyreel.storyboard.reader import read_storyboard
from storyreel.storyboard.schema import Storyboard
from storyreel.toons.names import CAST
from storyreel.toons.script import PlaceKind, Species
from storyreel.toons.vocabulary import tokens, words

_T = TypeVar("_T")

RECORD, STORYBOARD, TRUTH = ".run.json", ".json", ".truth.json.gz"
PLACES = cast("tuple[PlaceKind, ...]", get_args(PlaceKind))
MOMENTS = range(3, 49, 6)
"""Frames of a segment at which it is looked who is in view, as when the probe was trained."""


@dataclass(frozen=True)
class ToonSegment:
    """What should be seen in a segment of a toon."""

    place: PlaceKind | None
    species: frozenset[Species]
    night: bool


@dataclass(frozen=True)
class Story:
    """A storyboard with, for each segment, its scene's number, a key of its place (None: not told) and its characters.

    `toon` is there for stories told in the toons' words; `truth` is the record of a drawn toon.
    """

    storyboard: Storyboard
    scenes: tuple[int, ...]
    places: tuple[str | None, ...]
    characters: tuple[frozenset[str], ...]
    toon: tuple[ToonSegment, ...] | None = None
    truth: dict[str, Any] | None = None


def files_of(video: Path) -> list[Path]:
    """What there is of the files that tell a video's story."""
    return [path for path in (video.with_suffix(ending) for ending in (RECORD, STORYBOARD, TRUTH)) if path.is_file()]


def story_of(video: Path) -> Story | None:
    """The story beside a video; None without one. StoryboardError or DataError for one that cannot be read."""
    record, board = video.with_suffix(RECORD), video.with_suffix(STORYBOARD)
    if record.is_file():
        storyboard = _recorded(record)
    elif board.is_file():
        storyboard = read_storyboard(board)
    else:
        return None
    truth = video.with_suffix(TRUTH)
    return _with_truth(storyboard, truth) if truth.is_file() else _from_texts(storyboard)


def _recorded(path: Path) -> Storyboard:
    try:
        return Storyboard.model_validate(json.loads(path.read_text(encoding="utf-8"))["storyboard"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        first = str(error).strip().splitlines()[0]
        raise DataError(f"{path} is no record of a run: {first}. Remove it, or make the video again.") from error


def _scenes(storyboard: Storyboard) -> tuple[int, ...]:
    scene, found = -1, []
    for segment in range(len(storyboard.segments)):
        scene += storyboard.starts_scene(segment)
        found.append(scene)
    return tuple(found)


def _with_truth(storyboard: Storyboard, path: Path) -> Story:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            truth = json.load(file)
        segments = truth["story"]["segments"]
        if [own["text"] for own in segments] != [own.text for own in storyboard.segments]:
            raise DataError(f"{path} is of another story than the storyboard beside it. Remove one of them.")
        toon = tuple(_drawn(truth, segment) for segment in range(len(segments)))
        places = tuple(str(own["place"]) for own in segments)
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{path} is no truth of a toon: {first}. Remove it, or draw the toon again.") from error
    who = tuple(frozenset(map(str, own.species)) for own in toon)
    return Story(storyboard, _scenes(storyboard), places, who, toon, truth)


def _drawn(truth: dict[str, Any], segment: int) -> ToonSegment:
    """Place, light, and who is at least a third in view in at least half of the moments."""
    moments = [truth["frames"][48 * segment + offset] for offset in MOMENTS]
    seen: dict[Species, int] = {}
    for one in (character for moment in moments for character in moment["characters"]):
        seen[one["species"]] = seen.get(one["species"], 0) + (one["fraction"] > 1 / 3)
    species: frozenset[Species] = frozenset(name for name, count in seen.items() if 2 * count >= len(moments))
    return ToonSegment(moments[0]["place"], species, moments[0]["time_of_day"] == "night")


def _from_texts(storyboard: Storyboard) -> Story:
    texts = [segment.text for segment in storyboard.segments]
    scenes = _scenes(storyboard)
    told: list[PlaceKind | None] = [_place_in(text) for text in texts]
    places = _carried(told, scenes)
    known = set(words())
    if not all(word in known for text in texts for word in tokens(text)):
        names = names_in(texts)
        who = tuple(frozenset(name for name in names if re.search(rf"\b{name}\b", text)) for text in texts)
        return Story(storyboard, scenes, tuple(places), who)
    nights = _carried([_night_in(text) for text in texts], scenes)
    toon = tuple(
        ToonSegment(place, _species_in(text), bool(night))
        for place, text, night in zip(places, texts, nights, strict=True)
    )
    return Story(storyboard, scenes, tuple(places), tuple(frozenset(map(str, own.species)) for own in toon), toon)


def names_in(texts: list[str]) -> list[str]:
    """Names that a storyboard uses: capitalised inside a sentence somewhere, in small letters nowhere.

    >>> names_in(["Here Tom sleeps. Jerry looks.", "The cheese! Then Jerry and Tom eat."])
    ['Jerry', 'Tom']
    """
    inside = {word for text in texts for word in re.findall(r"[a-z,;] ([A-Z][a-z]+)\b", text)}
    small = {word for text in texts for word in re.findall(r"\b[a-z]+\b", text)}
    return sorted(word for word in inside if word.lower() not in small)


def _place_in(text: str) -> PlaceKind | None:
    said = text.lower().replace("the woods", "the forest")
    found: list[PlaceKind] = [kind for kind in PLACES if re.search(rf"\b{kind}\b", said)]
    return found[0] if len(found) == 1 else None


def _night_in(text: str) -> bool | None:
    said = set(tokens(text))
    if said & {"night", "moon", "dark"}:
        return True
    return False if said & {"day", "daytime", "daylight", "sunny", "bright"} else None


def _species_in(text: str) -> frozenset[Species]:
    said = set(tokens(text))
    return frozenset(role.species for role in CAST if said & {role.name.lower(), role.species})


def _carried(values: list[_T | None], scenes: tuple[int, ...]) -> list[_T | None]:
    """What a segment does not tell is as in the segment before it of the same scene."""
    found = list(values)
    for segment in range(1, len(found)):
        if found[segment] is None and scenes[segment] == scenes[segment - 1]:
            found[segment] = found[segment - 1]
    return found
