"""What a cartoon story is: cast, places, props, and what everyone does in each 3 s segment.

The grammar writes these records, the renderer draws them; neither knows the other. Stage units: 1.0 is the height of
the widest camera view, x runs right from 0 to `Place.width`, y runs down from 0 (top) to 1 (bottom). Times are seconds
from the start of the segment, 0 to 3. What a text may say and what it must never say (memory probes) is marked field by
field.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Species = Literal["cat", "mouse", "dog", "rabbit", "duck"]
PlaceKind = Literal["kitchen", "living room", "bedroom", "bathroom", "garden", "street", "beach", "forest"]
PropKind = Literal[
    "pie", "cheese", "ball", "book", "cake", "fish", "flower", "balloon", "umbrella", "key", "drum", "apple"
]
Action = Literal[
    "stand",
    "walk",
    "run",
    "jump",
    "sit",
    "eat",
    "laugh",
    "fall",
    "sleep",
    "wave",
    "look",
    "cry",
    "dance",
    "hide",
    "peek",
    "ring",
    "pick_up",
    "put_down",
    "give",
    "crash",
]
Mood = Literal["calm", "happy", "sad", "angry", "scared", "surprised", "sleepy"]
CameraKind = Literal["static", "pan", "zoom_in", "zoom_out", "close_up", "follow"]
TimeOfDay = Literal["day", "night"]


@dataclass(frozen=True)
class Character:
    """One of the cast. `name`, `species` and `colour` are told by the texts; `collar` never is (a memory probe)."""

    name: str
    species: Species
    colour: str
    collar: str


@dataclass(frozen=True)
class Furniture:
    """A thing that belongs to a place and never moves, `x` its middle in stage units. Not told by the texts."""

    kind: str
    x: float
    colour: str


@dataclass(frozen=True)
class Place:
    """Where a scene plays. `kind` is told; colours, pattern and what stands where never are (memory probes)."""

    kind: PlaceKind
    width: float
    wall_colour: str
    floor_colour: str
    pattern: str
    furniture: tuple[Furniture, ...]

    @property
    def indoors(self) -> bool:
        return self.kind in ("kitchen", "living room", "bedroom", "bathroom")


@dataclass(frozen=True)
class Prop:
    """A thing that can be carried. `kind` is told; `colour` never is."""

    name: str
    kind: PropKind
    colour: str


@dataclass(frozen=True)
class Beat:
    """What one character does between two times: moves from x_from to x_to (equal when it stays)."""

    action: Action
    start: float
    end: float
    x_from: float
    x_to: float
    mood: Mood = "calm"
    facing: Literal["left", "right", "viewer"] = "right"


@dataclass(frozen=True)
class Track:
    """The beats of one character in one segment, in order and without gaps inside [0, 3]; off stage outside them."""

    character: str
    beats: tuple[Beat, ...]


@dataclass(frozen=True)
class PropBeat:
    """Where a prop is between two times: in a character's hands (`holder`), or at a place on the stage."""

    start: float
    end: float
    holder: str | None = None
    x: float = 0.0
    y: float = 0.0
    bites: int = 0


@dataclass(frozen=True)
class PropTrack:
    """The whereabouts of one prop in one segment; nowhere outside its beats."""

    prop: str
    beats: tuple[PropBeat, ...]


@dataclass(frozen=True)
class Camera:
    """The view over a segment: its middle moves from x_from to x_to, its zoom from zoom_from to zoom_to (1: widest)."""

    kind: CameraKind
    x_from: float
    x_to: float
    zoom_from: float = 1.0
    zoom_to: float = 1.0
    y: float = 0.5


@dataclass(frozen=True)
class Segment:
    """Three seconds: one place, one camera, everyone's beats, and the paragraph that tells it (format 3).

    `sentence` tells it in one sentence (format 2). `characters_in_view` are the characters that the paragraph tells of,
    and `actions` is (name, action) for each thing that it says they do, in order.
    """

    scene: int
    place: int
    time_of_day: TimeOfDay
    camera: Camera
    tracks: tuple[Track, ...]
    props: tuple[PropTrack, ...]
    sentence: str = ""
    text: str = ""
    characters_in_view: tuple[str, ...] = ()
    actions: tuple[tuple[str, Action], ...] = ()


@dataclass(frozen=True)
class Story:
    """A whole cartoon. `plot` is format 1, the segments' `sentence`s are format 2, their `text`s are format 3."""

    seed: int
    title: str
    plot: str
    cast: tuple[Character, ...]
    places: tuple[Place, ...]
    props: tuple[Prop, ...]
    segments: tuple[Segment, ...] = field(default=())
    schemas: tuple[str, ...] = ()

    @property
    def seconds(self) -> int:
        return 3 * len(self.segments)

    def starts_scene(self, segment: int) -> bool:
        """Whether a segment is the first of its scene."""
        return segment == 0 or self.segments[segment].scene != self.segments[segment - 1].scene
