"""What a language model writes on the way from a plot to a storyboard, and what is checked of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from storyreel.geometry import SEGMENT_SECONDS
from storyreel.llm.asking import Complaint
from storyreel.storyboard.checks import LONGEST_SCENE_SECONDS

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
LONGEST_SCENE_SEGMENTS = LONGEST_SCENE_SECONDS // SEGMENT_SECONDS


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Look(_Strict):
    """A character or a place, described in the same words all through the film."""

    name: Words
    look: Words


class NarrativeBeat(_Strict):
    """What happens in one segment: a sentence."""

    sentence: int = Field(ge=1, description="The sentence of the plot that it tells, counted from 1.")
    place: Words
    scene_start: bool = False
    text: Words


class NarrativePlan(_Strict):
    """Format 2 as the model answers it."""

    characters: list[Look]
    places: list[Look] = Field(min_length=1)
    beats: list[NarrativeBeat] = Field(min_length=1)


class NarrativeStage(NarrativePlan):
    """Format 2 as it is saved."""

    title: str = ""


class Retold(_Strict):
    """Format 1 as the model answers it."""

    title: Words
    sentences: list[Words]


class Paragraph(_Strict):
    """The text of a segment as the model answers it."""

    text: Words


def check_retold(retold: Retold, least: int, most: int) -> Iterator[Complaint]:
    """Complains of too few or too many sentences."""
    if not least <= len(retold.sentences) <= most:
        yield Complaint(f"it has {len(retold.sentences)} sentences, but must have {least} to {most}.")


def check_plan(plan: NarrativePlan, sentences: int, segments: int) -> Iterator[Complaint]:
    """Complains of a wrong count, unknown places, sentences out of order or left out, and scenes that are too long."""
    if len(plan.beats) != segments:
        yield Complaint(f"it has {len(plan.beats)} beats, but must have exactly {segments}.")
    known = {place.name for place in plan.places}
    for number, beat in enumerate(plan.beats, start=1):
        if beat.place not in known:
            yield Complaint(f'beat {number} is in "{beat.place}", which is not in the list of places.')
        if beat.sentence > sentences:
            yield Complaint(f"beat {number} tells sentence {beat.sentence}, but the plot has {sentences}.")
    told = [beat.sentence for beat in plan.beats]
    if told != sorted(told):
        yield Complaint("the beats do not follow the order of the plot's sentences.", must=False)
    if segments >= sentences and (missing := sorted(set(range(1, sentences + 1)) - set(told))):
        yield Complaint(f"sentence {missing[0]} of the plot has no beat.", must=False)
    length = 0
    for number, beat in enumerate(with_borders(plan.beats), start=1):
        length = 1 if beat.scene_start else length + 1
        if length == LONGEST_SCENE_SEGMENTS + 1:
            message = f"the scene of beat {number} lasts longer than {LONGEST_SCENE_SEGMENTS} segments."
            yield Complaint(message, must=False)


def with_borders(beats: list[NarrativeBeat]) -> list[NarrativeBeat]:
    """The beats with a scene's start wherever the place changes, and at the first."""
    return [
        beat.model_copy(update={"scene_start": i == 0 or beat.scene_start or beat.place != beats[i - 1].place})
        for i, beat in enumerate(beats)
    ]
