"""Format 2: beats, one for each segment: where and when, who does what. Here events are spread over segments."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from storyreel.errors import ConfigError, refusal
from storyreel.geometry import SEGMENT_SECONDS, STAGE_SECONDS
from storyreel.storyboard.findings import Finding
from storyreel.toons.deeds import LEAVING
from storyreel.toons.script import PlaceKind, TimeOfDay
from storyreel.writing.clauses import Event

LONGEST_SEEN = 5
"""Segments of the longest scene that the demo model is trained on (`toons.grammar.LONGEST_SCENE`)."""
USUAL_PHASES, MOST_PHASES = 2, 3
"""Phases, one after another, that a segment of 3 s holds."""


class Beat(BaseModel):
    """What happens in one segment.

    `shot` is in the notation of toons/deeds.py: phases between slashes, deeds at the same time joined by &, a deed is
    WHO VERB [WHAT] with an optional mood behind a colon, as in "Pip get pie & Biscuit jump:surprised / Pip runout".
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    sentence: int = Field(description="The sentence of the plot that it comes from, counted from 1.")
    place: PlaceKind
    time_of_day: TimeOfDay
    scene_start: bool = False
    shot: str = Field(min_length=3)


@dataclass
class _Scene:
    """Consecutive events in one place and at one time."""

    events: list[Event]
    segments: int = 0

    @property
    def least(self) -> int:
        return math.ceil(len(self.events) / USUAL_PHASES)

    @property
    def tightest(self) -> int:
        return math.ceil(len(self.events) / MOST_PHASES)


FILLERS: dict[str, tuple[str, ...]] = {
    "eat": ("A eat T", "A eat T:happy"),
    "sleep": ("A sleep",),
    "sit": ("A sit", "A sit / A look"),
    "dance": ("A dance", "A jump:happy"),
    "laugh": ("A laugh", "A dance"),
    "cry": ("A cry", "A stand:sad", "A sit:sad"),
    "get": ("A look:happy", "A jump:happy", "A dance"),
    "put": ("A look T", "A stand:happy", "A sit"),
    "give": ("A stand:happy", "A laugh", "A dance"),
    "chase": ("A stand:angry", "A look:surprised", "A roam:angry"),
    "hide": ("A peek",),
    "peek": ("A peek",),
    "ring": ("A stand / A ring", "A look"),
    "wave": ("A wave", "A jump:happy", "A stand:happy"),
    "fall": ("A cry", "A sit:sad"),
    "crash": ("A cry", "A sit:sad"),
    "jump": ("A look", "A stand", "A roam"),
}
"""How what somebody did last goes on, where a plot is shorter than its video."""
USUAL_FILLERS = ("A look", "A stand", "A roam / A look")
REACTIONS = ("B look A", "B stand", "B look:surprised")
"""What another who is there does meanwhile."""


def fitting_seconds(events: Sequence[Event]) -> int:
    """The shortest stage length, 9 s at least, that holds events without haste; 63 s for all that are longer."""
    segments = max(3, sum(scene.least for scene in _scenes(events)))
    return next((stage for stage in STAGE_SECONDS if stage >= SEGMENT_SECONDS * segments), STAGE_SECONDS[-1])


def spread(events: Sequence[Event], segments: int) -> tuple[list[Beat], list[Finding]]:
    """Events over so many segments: joined where there are many, gone on with where there are few.

    ConfigError where they do not fit at all; it names the length that would do.
    """
    scenes = _scenes(events)
    tightest = sum(scene.tightest for scene in scenes)
    if tightest > segments:
        seconds = SEGMENT_SECONDS * tightest
        fitting = next((stage for stage in STAGE_SECONDS if stage >= seconds), None)
        way_out = f"Try --seconds {fitting}, or tell less" if fitting else "Tell less"
        limit = f"the plot's {len(events)} events in {len(scenes)} scenes need {seconds} s"
        raise ConfigError(refusal("--seconds", SEGMENT_SECONDS * segments, limit, way_out))
    _allot(scenes, segments)
    beats = [beat for scene in scenes for beat in _beats(scene)]
    findings = []
    for scene in scenes:
        if scene.segments > LONGEST_SEEN:
            message = f"its scene lasts {SEGMENT_SECONDS * scene.segments} s, more than the demo model has seen "
            message += f"({SEGMENT_SECONDS * LONGEST_SEEN} s): much of it is filled in."
            way_out = "Tell more in the plot, or ask for fewer --seconds."
            findings.append(Finding("warning", "long scene", message, way_out, sentence=scene.events[0].sentence))
    return beats, findings


def _scenes(events: Sequence[Event]) -> list[_Scene]:
    scenes: list[_Scene] = []
    for event in events:
        last = scenes[-1].events[-1] if scenes else None
        if last is None or (last.place, last.time) != (event.place, event.time):
            scenes.append(_Scene([]))
        scenes[-1].events.append(event)
    return scenes


def _allot(scenes: list[_Scene], segments: int) -> None:
    """Segments for each scene: first what it needs at the tightest, then by turns where the need is greatest."""
    for scene in scenes:
        scene.segments = scene.tightest
    for _ in range(segments - sum(scene.segments for scene in scenes)):
        tight = [scene for scene in scenes if scene.segments < scene.least] or scenes
        min(tight, key=lambda own: own.segments / len(own.events)).segments += 1


def _beats(scene: _Scene) -> Iterator[Beat]:
    shots = _shots(scene)
    for number, (shot, event) in enumerate(shots):
        assert event.place is not None
        yield Beat(
            sentence=event.sentence, place=event.place, time_of_day=event.time, scene_start=number == 0, shot=shot
        )


def _shots(scene: _Scene) -> list[tuple[str, Event]]:
    """(shot, the event that it begins with) for each segment of a scene."""
    events, segments = scene.events, scene.segments
    if segments <= len(events):
        cuts = [round(i * len(events) / segments) for i in range(segments + 1)]
        groups = [events[a:b] for a, b in itertools.pairwise(cuts)]
        return [(" / ".join(event.deeds for event in group), group[0]) for group in groups]
    there: list[str] = []
    stays: list[list[str]] = []
    for event in events:
        gone = {deed.split()[0] for deed in event.deeds.split(" & ") if _verb(deed) in LEAVING}
        there = [name for name in dict.fromkeys((*event.who, *there)) if name not in gone]
        stays.append(there)
    extra = [0] * len(events)
    open_ = [i for i, present in enumerate(stays) if present] or []
    for _ in range(segments - len(events) if open_ else 0):
        extra[min(open_, key=lambda i: extra[i])] += 1
    shots: list[tuple[str, Event]] = []
    if not open_:
        opening = events[0]
        shots += [(USUAL_FILLERS[i % 3].replace("A", opening.who[0]), opening) for i in range(segments - len(events))]
    for event, present, more in zip(events, stays, extra, strict=True):
        shots.append((event.deeds, event))
        shots += [(_filler(event, present, number), event) for number in range(more)]
    return shots


def _verb(deed: str) -> str:
    return deed.split()[1].partition(":")[0]


def _filler(event: Event, present: Sequence[str], number: int) -> str:
    """How an event goes on for one more segment, `number` counted from 0; somebody else who is there reacts."""
    deed = next((own for own in reversed(event.deeds.split(" & ")) if own.split()[0] in present), "")
    name = deed.split()[0] if deed else present[0]
    options = FILLERS.get(_verb(deed), USUAL_FILLERS) if deed else ("A look:surprised", "A stand", "A sit")
    words = deed.partition(":")[0].split()
    thing = words[2].partition(">")[0] if len(words) > 2 else "pie"
    template = options[number % len(options)]
    if " T" in template and thing in present:
        template = "A look"
    filler = " ".join({"A": name, "T": thing}.get(word, word) for word in template.split(" "))
    filler = filler.replace(" T:", f" {thing}:")
    other = next((own for own in present if own != name), "")
    if other and number % 2 == 0 and _verb(deed or "x look") not in ("sleep", "hide"):
        doing = next((own for own in event.deeds.split(" & ") if own.split()[0] == other), "")
        if _verb(doing or "x look") not in ("sleep", "hide"):
            reaction = REACTIONS[(number // 2) % len(REACTIONS)]
            filler += " & " + " ".join({"A": name, "B": other}.get(word, word) for word in reaction.split())
    return filler
