"""What a storyboard is: a paragraph for every 3 s segment, and where scenes start.

Our JSON is `{"title": ..., "segments": [{"text": ..., "scene_start": true, "negative_text": ...,
"locked": true}, ...]}`; all but the text may be left out.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator

from storyreel.geometry import SEGMENT_SECONDS
from storyreel.models.words import END_SCENE, START_SCENE


class StoryboardSegment(BaseModel):
    """Three seconds of a story."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = Field(
        description="What is seen in these 3 seconds: place, characters, what they do, how the camera moves."
    )
    scene_start: bool = Field(
        default=False, description="A new scene starts here. The first segment always starts one."
    )
    negative_text: str = Field(default="", description="What must not be seen.")
    locked: bool = Field(default=False, description="The writer and --fix leave this segment as it is.")
    _line: int | None = PrivateAttr(default=None)

    @field_validator("text")
    @classmethod
    def _not_blank(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("it has no text")
        return text

    @property
    def line(self) -> int | None:
        """The line of the file on which the segment begins, counted from 1; None where it was not read from a file."""
        return self._line

    def at_line(self, line: int | None) -> StoryboardSegment:
        """The same segment, with the line where it was found."""
        found = self.model_copy()
        found._line = line
        return found


class Storyboard(BaseModel):
    """A story, segment by segment."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: str = Field(default="", description="For people; the model does not read it.")
    segments: list[StoryboardSegment] = Field(min_length=1, description="One paragraph for every 3 seconds, in order.")

    @property
    def seconds(self) -> int:
        """Length of the video that this storyboard tells."""
        return SEGMENT_SECONDS * len(self.segments)

    def starts_scene(self, segment: int) -> bool:
        """Whether a segment is the first of its scene; segment 0 always is."""
        return segment == 0 or self.segments[segment].scene_start

    def ends_scene(self, segment: int) -> bool:
        """Whether a segment is the last of its scene; the last of all always is."""
        return segment == len(self.segments) - 1 or self.segments[segment + 1].scene_start

    def marked_texts(self) -> list[str]:
        """The texts as the model reads them: scene marks in front of a scene's first and behind its last segment."""
        return [self._marked(number, segment.text) for number, segment in enumerate(self.segments)]

    def negative_texts(self) -> list[str]:
        """What must not be seen, segment by segment; "" (the text that training drops to) where nothing is said."""
        return [segment.negative_text for segment in self.segments]

    def first(self, segments: int) -> Storyboard:
        """The storyboard of the first so many segments; where it is cut, its last scene ends."""
        return self.model_copy(update={"segments": self.segments[:segments]})

    def _marked(self, number: int, text: str) -> str:
        return marked_text(text, starts_scene=self.starts_scene(number), ends_scene=self.ends_scene(number))


def marked_text(text: str, *, starts_scene: bool, ends_scene: bool) -> str:
    """A segment's text as the model reads it.

    >>> marked_text("A cat sleeps.", starts_scene=True, ends_scene=False)
    '<start_scene> A cat sleeps.'
    """
    start = f"{START_SCENE} " if starts_scene else ""
    end = f" {END_SCENE}" if ends_scene else ""
    return f"{start}{text}{end}"


def json_schema() -> dict[str, object]:
    """The JSON schema of our storyboards, for editors that check while one writes."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Storyboard.model_json_schema()}
