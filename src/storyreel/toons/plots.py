"""Plots: what happens, to whom, in which order and why, without saying who, where, with what and how it looks.

Shots are in the notation of deeds.py. Roles are lower-case letters, things capitals; `things` says what they can be.
"F lies" and "a has F" tell where a thing is when its scene opens. A line that begins with * may be left out,
    or played to
make the story longer.
"""

from __future__ import annotations

from dataclasses import dataclass

from storyreel.toons.script import PlaceKind, PropKind, TimeOfDay

ROOMS: tuple[PlaceKind, ...] = ("kitchen", "living room", "bedroom", "bathroom")
OUTSIDE: tuple[PlaceKind, ...] = ("garden", "street", "beach", "forest")
NATURE: tuple[PlaceKind, ...] = ("garden", "beach", "forest")
HIDING: tuple[PlaceKind, ...] = ("living room", "bedroom", "bathroom", "garden", "street", "beach", "forest")
FRONT: tuple[PlaceKind, ...] = ("garden", "street")
ANYWHERE: tuple[PlaceKind, ...] = (*ROOMS, *OUTSIDE)

FOOD: tuple[PropKind, ...] = ("pie", "cheese", "cake", "fish", "apple")
TOYS: tuple[PropKind, ...] = ("ball", "book", "balloon", "umbrella", "key", "drum", "flower")


@dataclass(frozen=True)
class PlotScene:
    """Consecutive shots in one place. `time` overrides the plot's time of day."""

    place: str
    shots: tuple[str, ...]
    setup: tuple[str, ...] = ()
    time: TimeOfDay | None = None


@dataclass(frozen=True)
class Plot:
    """A schema of cause and effect. `title` may use {a}, {b} and {F}-like slots."""

    name: str
    title: str
    places: dict[str, tuple[PlaceKind, ...]]
    scenes: tuple[PlotScene, ...]
    things: dict[str, tuple[PropKind, ...]]
    time: TimeOfDay | None = None


def _scene(place: str, *shots: str, setup: tuple[str, ...] = (), time: TimeOfDay | None = None) -> PlotScene:
    return PlotScene(place, shots, setup, time)


PLOTS: tuple[Plot, ...] = (
    Plot("theft and chase", "the stolen {F}", {"H": ROOMS, "O": ANYWHERE, "X": ANYWHERE}, (
        _scene("H", "a sit / a eat F", "*a eat F", "a put F / a sleep", "a sleep & b in / b look F",
               "b get F / a jump:surprised & b runout", "*a look:surprised / a cry", "a stand:angry / a runout:angry",
                   setup=("F lies", )),
        _scene("O", "b runin / b laugh", "a runin:angry / b jump:scared", "b flee & a chase b", "a crash & b look a",
            "*b fall & a cry"),
        _scene("X", "b in / b eat F", "*b stand / b hide", "*b eat F", "b sit:sad / b stand:sad"),
        _scene("H", "a cry", "b in:sad / b give F>a", "a jump & b wave"),
    ), {"F": FOOD}),
    Plot("birthday", "a birthday {F}", {"H": ("kitchen", "living room", "garden"), "X": ANYWHERE, "O": OUTSIDE}, (
        _scene("H", "a put F", "a dance", "*a look:happy / a wave", setup=("a has F",)),
        _scene("X", "b get T / b jump", "*b dance", "b look T:happy / b out", setup=("T lies",)),
        _scene("O", "c in / c wave & b in", "b jump & c dance", "*b fall & c laugh"),
        _scene("H", "a stand / b runin & a jump:surprised", "b give T>a / a laugh", "*a dance & b dance",
            "b eat F & a wave b"),
        _scene("X", "a sit & b in / b sleep", time="night"),
    ), {"F": ("cake", "pie"), "T": ("balloon", "flower", "drum", "ball", "book")}),
    Plot("lost toy", "the lost {T}", {"H": ROOMS, "O": ANYWHERE, "X": ANYWHERE}, (
        _scene("O", "a get T / a jump", "*a dance", "a put T / a sit", "a sleep", setup=("T lies",)),
        _scene("H", "b sit / b look:surprised", "b runout"),
        _scene("O", "b runin / b get T & a sleep", "b laugh / b runout & a sleep", "a look:surprised / a cry",
            "*a roam:sad"),
        _scene("X", "b in / b put T", "a in:sad / b peek", "a get T / a jump:happy & b laugh", "*a fall & b wave a"),
        _scene("H", "a sit & b dance", "*a laugh & b jump"),
    ), {"T": ("ball", "key", "book", "drum", "umbrella", "balloon")}),
    Plot("hide and seek", "{a} plays hide and seek", {"O": HIDING, "X": HIDING, "Y": ANYWHERE}, (
        _scene("O", "a wave b & b jump", "b dash / b runout & a look", "a sit", "*a look / a stand"),
        _scene("X", "b runin / b hide", "b peek", "*b stand / b hide", "*b peek"),
        _scene("Y", "a in / a look:surprised", "a roam / a look", "*a crash", "a out"),
        _scene("X", "b peek & a in", "a look b / b jump:surprised & a laugh", "a dance & b dance",
            "*a wave b & b wave a"),
        _scene("O", "b look / a runin & b laugh", "a look & b sit / a hide", "a peek & b roam"),
    ), {}),
    Plot("surprise visit", "{b} rings the bell", {"H": ROOMS, "D": FRONT, "X": OUTSIDE}, (
        _scene("X", "b get T / b look:happy", "*b dance", "b out", setup=("T lies",)),
        _scene("H", "a sleep", "*a sit:sad"),
        _scene("D", "b in / b ring", "b wave / b ring", "*b stand:sad / b ring"),
        _scene("H", "a look:surprised / a jump", "a doorout"),
        _scene("D", "b ring / a doorin & b jump", "b give T>a / a laugh & b wave a", "*a fall & b dance",
            "a look / a doorout & b wave"),
        _scene("H", "a put T / b doorin", "a dance & b sit", "*a laugh & b laugh", "b sleep & a look T"),
    ), {"T": ("flower", "book", "cake", "pie", "fish", "balloon", "umbrella")}),
    Plot("forgotten umbrella", "the forgotten {T}", {"H": ROOMS, "O": ("street", "beach", "forest"), "X": ROOMS}, (
        _scene("H", "a put T / a look", "a wave / a doorout", "b in / b look T:surprised", "b get T / b runout",
            setup=("a has T", )),
        _scene("O", "a in / a look:sad", "a cry", "*a sit:sad", "b runin:happy / b wave a", "b give T>a / a jump",
            "a wander & b wander"),
        _scene("X", "a in / a put T & b in", "*a sit & b look T", "b laugh & a dance"),
    ), {"T": ("umbrella", "book", "drum")}),
    Plot("picnic", "a picnic with {F}", {"O": NATURE, "H": ROOMS, "X": OUTSIDE}, (
        _scene("H", "a get F / a laugh", "a out", setup=("F lies",)),
        _scene("O", "b sit / a in & b wave", "a put F / a sit & b look", "b eat F & a laugh", "*a sit & b fall",
            "b put F & a sleep / b sleep"),
        _scene("X", "c roam / c look:surprised", "c jump:happy", "c runout"),
        _scene("O", "a sleep & c runin / c get F", "c laugh / c runout & a sleep", "a jump:surprised", "*a cry",
            setup=()),
        _scene("X", "c in / c eat F", "a runin:angry / c jump:scared", "c cry & a stand:angry",
            "a wave c / c laugh & a laugh"),
    ), {"F": FOOD}),
    Plot("bedtime", "{a} cannot sleep", {"B": ("bedroom", ), "L": ("living room", "kitchen", "garden", "bathroom"),
        "X": ANYWHERE}, (
        _scene("B", "a in:sleepy / a sleep", "a sleep"),
        _scene("L", "b get T / b dance", "b dance", "*b fall / b laugh", setup=("T lies",)),
        _scene("B", "a jump:surprised / a sit:sad", "a cry", "a runout:angry"),
        _scene("L", "b dance / a in:angry & b dance", "a stand:angry & b look a:scared", "b put T / b cry",
            "*a laugh & b jump"),
        _scene("X", "b get G / b look", "*b dance", "b out", setup=("G lies",)),
        _scene("B", "a sit & b in", "b give G>a / a laugh", "a sleep & b wave"),
    ), {"T": ("drum", "ball", "balloon"), "G": ("book", "flower", "apple", "cheese")}, "night"),
    Plot("dance party", "{a} gives a party", {"L": ROOMS, "X": ANYWHERE, "O": ANYWHERE}, (
        _scene("L", "a get T / a dance", "*a jump:happy", setup=("T lies",)),
        _scene("X", "b sit:sad / b look:surprised", "b jump", "b runout"),
        _scene("O", "c cry", "b in / b wave c & c stand", "*b crash & c laugh", "c laugh & b dance",
            "b runout & c runout"),
        _scene("L", "a dance / b runin & a dance", "c in / c dance & b jump", "*a laugh & b dance & c sit",
            "a fall & b jump:surprised", "a laugh & b laugh"),
    ), {"T": ("drum", "balloon", "flower", "umbrella")}),
    Plot("rescue", "{b} helps {a}", {"O": OUTSIDE, "H": ROOMS, "X": ROOMS}, (
        _scene("O", "a runin / a jump", "a dash / a fall", "*a look:sad", "a cry"),
        _scene("H", "b sit / b look:surprised", "b get T / b runout", setup=("T lies",)),
        _scene("O", "a cry", "b runin / b look a:surprised & a cry", "b give T>a / a laugh", "*b dance & a sit",
            "a wave b / a out & b wave"),
        _scene("X", "a in / a sleep", "b in / b sit & a sleep"),
    ), {"T": ("flower", "apple", "cheese", "balloon", "book")}),
    Plot("treasure key", "the {K} and the {F}", {"O": NATURE, "D": FRONT, "H": ROOMS}, (
        _scene("O", "a in / a look K:surprised", "a get K / a jump", "*a stand / a fall", "b peek & a laugh",
            "a out & b look:surprised", setup=("K lies", )),
        _scene("D", "a in / a ring", "*a stand / a ring", "b in / b wave & a jump:surprised", "a give K>b / b laugh",
            "b doorout / a doorout"),
        _scene("H", "b in / b look F & a doorin", "a jump & b get F", "b give F>a / a eat F", "*b eat F & a laugh",
            setup=("F lies", )),
    ), {"K": ("key",), "F": FOOD}),
    Plot("race", "{a} races {b}", {"O": OUTSIDE, "X": ANYWHERE, "Y": ANYWHERE}, (
        _scene("O", "a jump & b wave a", "a race & b race", "*a runout & b fall"),
        _scene("X", "a runin / a laugh", "a sit / a sleep", "a sleep & b runin", "b dash / b runout & a sleep",
            "*a look:surprised", "a jump:surprised / a runout"),
        _scene("Y", "b runin / b jump", "b dance", "a runin:sad / a cry & b look a", "b wave a / a laugh & b laugh"),
    ), {}),
    Plot("borrowed thing", "who has the {T}", {"H": ROOMS, "X": ANYWHERE, "O": OUTSIDE}, (
        _scene("H", "a get T / a sit", "*a laugh", "a put T / a out", "b in / b get T", "b look:happy / b out",
            setup=("T lies", )),
        _scene("X", "b in / b sit", "*b laugh", "b sleep"),
        _scene("H", "a in / a look:surprised", "a roam / a look", "a cry"),
        _scene("O", "c roam", "a in:sad / c wave a", "a cry & c look a", "c jump / a runout & c look"),
        _scene("X", "b sleep & a runin / a look b:angry", "b jump:scared & a stand:angry", "b give T>a / a laugh",
            "*a dance & b dance"),
    ), {"T": ("book", "drum", "umbrella", "ball", "balloon")}),
    Plot("hungry guest", "{c} wants the {F}", {"O": ("beach", "garden", "forest", "street"), "H": ROOMS, "X": HIDING}, (
        _scene("O", "a get F / a jump", "a wander", "*a stand / a eat F", "c peek & a stand", "a out",
            setup=("F lies", )),
        _scene("H", "b sit / a in & b wave", "a put F / a dance & b dance", "b eat F & a sit"),
        _scene("X", "c in:sad / c cry", "*c fall", "c look / c hide", "c peek"),
        _scene("H", "a look:surprised / b out & a stand", "c in / c look F", "a give G>c / c eat G",
            "c dance & a laugh", setup=("a has G", )),
    ), {"F": FOOD, "G": FOOD}),
    Plot("gift for a friend", "a {T} for {b}", {"O": OUTSIDE, "X": ANYWHERE, "H": ROOMS}, (
        _scene("H", "b sit:sad / b cry", "a in / a look b", "a wave b / a out & b sit"),
        _scene("O", "a in / a look T:happy", "a get T / a dance", "*a roam", "a dash / a fall", "a laugh / a out",
            setup=("T lies", )),
        _scene("X", "c stand / a in & c wave a", "c dance & a jump", "*c sit & a laugh", "a wave c / a out & c wave"),
        _scene("H", "b cry", "a runin / a give T>b", "b jump & a laugh", "b put T / b dance & a dance",
            "*b laugh & a sit"),
    ), {"T": ("flower", "ball", "balloon", "book", "drum", "umbrella")}),
    Plot("clumsy chase", "{b} laughs at {a}", {"H": ROOMS, "O": OUTSIDE}, (
        _scene("H", "a sleep", "b runin / b get T", "b dance & a jump:surprised", "b flee & a chase b",
            "a crash & b laugh", setup=("T lies", )),
        _scene("O", "b runin / b hide", "a runin:angry / a look", "*a crash", "b peek & a sit:sad",
            "b laugh & a jump:surprised", "a crash & b jump:surprised"),
        _scene("H", "a in:sad / a cry", "b in:sad / b give T>a", "a laugh & b wave a"),
    ), {"T": ("drum", "ball", "umbrella", "balloon", "flower")}),
)  # fmt: skip
