"""Side stories of one to four shots.

Alone they are short stories; between scenes they let time pass before a place comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from storyreel.toons.deeds import Phases, parse_shot
from storyreel.toons.plots import ANYWHERE, FOOD, FRONT, HIDING, TOYS
from storyreel.toons.script import PlaceKind, PropKind


@dataclass(frozen=True)
class Vignette:
    """Shots for roles d, e and f, perhaps with a thing Q, in a kind of place; every beginning of it is a story too."""

    shots: tuple[str, ...]
    places: tuple[PlaceKind, ...] = ANYWHERE
    things: tuple[PropKind, ...] = ()


def _plain(*shots: str) -> Vignette:
    return Vignette(shots)


def _hiding(*shots: str) -> Vignette:
    return Vignette(shots, HIDING)


def _ringing(*shots: str) -> Vignette:
    return Vignette(shots, FRONT)


def _food(*shots: str) -> Vignette:
    return Vignette(shots, things=FOOD)


def _toy(*shots: str) -> Vignette:
    return Vignette(shots, things=TOYS)


VIGNETTES: tuple[Vignette, ...] = (
    _plain("d in / d fall", "d cry", "d stand:sad / d out:sad"),
    _plain("d runin / d fall & e laugh", "d stand:angry & e laugh", "d dance & e dance"),
    _plain("d fall / d cry", "d sit:sad", "d stand / d wave"),
    _plain("d crash", "d cry", "d sit:sad"),
    _plain("d crash / d stand", "d fall", "d crash / d cry"),
    _plain("d crash & e stand", "d fall & e laugh", "d stand:angry & e sit"),
    _plain("d flee & e chase d", "e crash & d stand", "d laugh & e cry"),
    _plain("d stand / d sleep", "d sleep", "d jump:surprised / d fall"),
    _plain("d sleep & e in", "e stand & d sleep", "e fall & d jump:surprised"),
    _plain("d wave e & e stand", "d dance & e jump", "d fall & e laugh", "d cry & e sit"),
    _plain("d wander", "d stand / d wave", "d sit"),
    _plain("d race & e race", "d fall & e stand", "e wave d & d cry"),
    _plain("d stand:sad & e stand", "d cry & e look d", "e dance & d laugh"),
    _hiding("d runin / d hide", "d peek", "d stand / d hide", "d peek"),
    _hiding("d stand:scared / d hide", "d peek", "d jump / d hide"),
    _hiding("d peek", "d peek", "d stand / d laugh"),
    _hiding("e stand & d peek", "e sit & d peek", "d jump & e fall"),
    _hiding("d stand & e stand / d hide", "e sit & d peek", "e dance & d peek", "e laugh & d jump"),
    _hiding("d dash / d hide", "d peek", "d sit"),
    _ringing("d in / d ring", "d stand / d ring", "d ring / d doorout"),
    _ringing("d ring", "d stand:sad / d ring", "d sit:sad"),
    _ringing("d runin / d ring", "d ring & e doorin", "e wave d & d jump"),
    _ringing("e sit & d ring", "d ring / d stand & e sleep", "d cry & e sleep"),
    _food("d get Q / d eat Q", "d eat Q", "d dance"),
    _food("d eat Q", "d eat Q", "d stand / d sleep"),
    _food("d eat Q & e stand", "d eat Q & e cry", "d fall & e laugh"),
    _food("d get Q", "e in / d give Q>e", "e eat Q & d sit", "e eat Q & d stand"),
    _food("d in / d eat Q & e stand", "d put Q / d sit", "d eat Q & e sleep"),
    _toy("d get Q", "d put Q", "d stand / d get Q", "d put Q / d out"),
    _toy("d get Q & e stand", "d give Q>e", "e put Q / e jump & d sit", "d get Q & e dance"),
    _toy("d get Q / d fall", "d put Q / d cry", "d sit:sad"),
    _toy("d stand:happy / d get Q", "d give Q>e & e stand", "e give Q>d & d stand", "d put Q & e sleep"),
    _toy("d get Q / d roam", "d put Q / d stand", "d sleep"),
    _plain("d dance & e dance & f stand", "d fall & e laugh & f stand", "d cry & e sit & f wave d"),
    _plain("d sit & e stand & f in", "f fall & d laugh & e laugh", "f dance & d sit & e stand"),
    _food("d eat Q & e stand & f in", "d give Q>e & f cry", "e eat Q & d laugh & f stand"),
)  # fmt: skip


_RARE = {"crash": 5.0, "hide": 3.5, "peek": 2.5, "fall": 1.5, "eat": 2.0, "ring": 1.5, "put": 1.5, "give": 1.0}


def _weight(vignette: Vignette) -> float:
    """Vignettes make up for what the plots tell seldom."""
    words = " ".join(vignette.shots).split()
    return 1.0 + sum(_RARE.get(word, 0.0) for word in words) / len(vignette.shots)


_WEIGHTS = tuple(map(_weight, VIGNETTES))


def interlude(
    rng: Random, places: Sequence[PlaceKind], free: Sequence[str], props: list[PropKind], length: int
) -> tuple[PlaceKind, tuple[Phases, ...], PropKind | None]:
    """(place, shots, thing): at most `length` shots by the `free` characters in the first of `places` that fits.

    The thing, if any, is taken out of `props`.
    """
    roles = dict(zip("def", free, strict=False))  # as many as there are of either
    while True:
        vignette = rng.choices(VIGNETTES, _WEIGHTS)[0]
        place: PlaceKind | None = next((kind for kind in places if kind in vignette.places), None)
        thing: PropKind | None = next((prop for prop in props if prop in vignette.things), None)
        words = " ".join(vignette.shots[:length]).replace(">", " ").split()
        if place is None or (vignette.things and thing is None) or {"e", "f"} & set(words) - set(roles):
            continue
        if thing:
            props.remove(thing)
        shots = tuple(parse_shot(shot, roles, {"Q": thing} if thing else {}) for shot in vignette.shots[:length])
        return place, shots, thing
