"""Who and what is on stage at a moment: the records between acting and drawing."""

from __future__ import annotations

from dataclasses import dataclass

from storyreel.toons.cast import Figure
from storyreel.toons.script import Beat, Character, Furniture, Prop


@dataclass(frozen=True)
class Actor:
    """A character on stage. `depth` orders drawing (far first); `behind` is the furniture that covers it, if any.

    Nothing of it shows below `floor`, a y in stage units.
    """

    character: Character
    figure: Figure
    beat: Beat
    seconds: float
    depth: float
    behind: Furniture | None = None
    floor: float | None = None
    bell: tuple[float, float] | None = None


@dataclass(frozen=True)
class Item:
    """A prop on stage: (x, y) is the middle of its lower edge; `mirror` -1 when it is held to the left."""

    prop: Prop
    x: float
    y: float
    depth: float
    bites: int = 0
    holder: str | None = None
    mirror: float = 1.0


@dataclass(frozen=True)
class Station:
    """Where a beat puts a character.

    `y` is where its feet end up, `ground` where they arrive before it ducks down or looks out; `aside` moves it in x.
    `behind` is what covers it, `on` what it sits or lies on, and nothing of it shows below `floor`.
    """

    y: float
    ground: float
    depth: float
    behind: Furniture | None = None
    on: Furniture | None = None
    aside: float = 0.0
    floor: float | None = None

    @classmethod
    def at(cls, lane: float) -> Station:
        """On the open ground."""
        return cls(lane, lane, lane)
