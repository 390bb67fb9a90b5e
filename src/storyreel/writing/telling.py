"""Format 3: beats become paragraphs, staged and worded by the very code that made the demo model's training texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import cast

from storyreel.errors import StoryboardError
from storyreel.storyboard.findings import Finding
from storyreel.storyboard.schema import Storyboard
from storyreel.toons.deeds import ACTION_OF, ENTERING, LEAVING, Deed, Phases, parse_shot
from storyreel.toons.grammar import Scene, Shown, play, tell_story
from storyreel.toons.names import ROLE_OF, dress
from storyreel.toons.script import PropKind
from storyreel.toons.staging import StagingFailed
from storyreel.toons.world import World
from storyreel.toons.writer import storyboard_of
from storyreel.writing.beats import Beat
from storyreel.writing.lexicon import MOODS, PROPS

TRIES = 24
"""Stagings that are tried; the one that keeps most of the beats is told."""
FEW_TRIES = 4
"""How many where it is only asked whether any works."""
NEEDS = ("get", "eat", "look", "to", "runto")
HAS = ("give", "put")


def tell(beats: Sequence[Beat], title: str, seed: int) -> tuple[Storyboard, list[Finding]]:
    """The storyboard of beats, always the same for a seed, and what could not be staged as the beats have it.

    StoryboardError for a shot that is not in the notation.
    """
    shots = [_parse(beat, number) for number, beat in enumerate(beats, start=1)]
    told = _stage(beats, shots, title, seed)
    if told is not None:
        return told
    findings: list[Finding] = []
    for number in range(1, len(beats) + 1):
        if _stage(beats[:number], shots[:number], title, seed, enough=True) is None:
            shots[number - 1] = _simplest(shots[number - 1])
            message = f'no camera shows "{beats[number - 1].shot}"; only its first deed is told.'
            findings.append(Finding("warning", "staging", message, "Change the beat.", segment=number))
    told = _stage(beats, shots, title, seed)
    if told is None:
        raise StoryboardError("no camera can show these beats. Let fewer do something at the same time in one segment.")
    return told[0], findings + told[1]


def _stage(
    beats: Sequence[Beat], shots: Sequence[Phases], title: str, seed: int, enough: bool = False
) -> tuple[Storyboard, list[Finding]] | None:
    """The best of some stagings, with what it changes; None where none of them works. `enough`: the first will do."""
    scenes = _scenes(beats, shots)
    best: tuple[Storyboard, list[Finding]] | None = None
    for attempt in range(FEW_TRIES if enough else TRIES):
        rng = Random(f"storyreel write {seed}, attempt {attempt}")
        world = World(dress(rng), rng)
        try:
            world, shown = play(world, scenes)
        except StagingFailed:
            continue
        story = tell_story(seed, title, world, shown, ("by rules",))
        findings = list(_changes(shots, shown))
        if best is None or len(findings) < len(best[1]):
            best = Storyboard.model_validate(storyboard_of(story)), findings
        if not findings or enough:
            break
    return best


def _simplest(phases: Phases) -> Phases:
    """The first deed alone; who would hide, or needs a spot of its own, looks around."""
    deed = phases[0][0]
    return ((Deed(deed.who, "look") if deed.verb in ("hide", "peek", "crash") else deed,),)


def _parse(beat: Beat, number: int) -> Phases:
    try:
        return parse_shot(beat.shot, {name: name for name in ROLE_OF}, {kind: kind for kind in PROPS})
    except ValueError as error:
        raise StoryboardError(
            f'beat {number}: {error}. Write WHO VERB [WHAT][:MOOD], as "Pip get pie"; who: {", ".join(ROLE_OF)}; '
            f"verbs: {', '.join(ACTION_OF)}; what: {', '.join(PROPS)} or a name; moods: {', '.join(MOODS)}."
        ) from None


def _scenes(beats: Sequence[Beat], shots: Sequence[Phases]) -> list[Scene]:
    """Scenes with what must lie there, or be in somebody's hands, when they open."""
    starts = [i for i, beat in enumerate(beats) if i == 0 or beat.scene_start or _moved(beats[i - 1], beat)]
    scenes = []
    holders: dict[str, str] = {}
    lying: dict[str, str] = {}
    for start, end in zip(starts, [*starts[1:], len(beats)], strict=True):
        lies: list[PropKind] = []
        has: list[tuple[str, PropKind]] = []
        place = beats[start].place
        for deed in (deed for phases in shots[start:end] for phase in phases for deed in phase):
            if not deed.what:
                continue
            prop = cast(PropKind, deed.what)
            if prop not in holders and lying.get(prop) != place:
                if deed.verb in HAS:
                    has.append((deed.who, prop))
                elif deed.verb in NEEDS:
                    lies.append(prop)
                    lying[prop] = place
            if deed.verb in ("get", "eat"):
                holders[prop] = deed.who
            elif deed.verb == "give" and deed.whom:
                holders[prop] = deed.whom
            elif deed.verb == "put":
                holders.pop(prop, None)
                lying[prop] = place
        own = tuple(shots[start:end])
        scenes.append(Scene(place, beats[start].time_of_day, own, (False,) * len(own), tuple(lies), tuple(has)))
    return scenes


def _moved(one: Beat, two: Beat) -> bool:
    return (one.place, one.time_of_day) != (two.place, two.time_of_day)


def _changes(shots: Sequence[Phases], shown: Sequence[Shown]) -> list[Finding]:
    """A warning for each deed that the staging had to change, or that nobody would see."""
    findings = []
    for number, (phases, own) in enumerate(zip(shots, shown, strict=True), start=1):
        told = Counter((told.deed.who, told.deed.action) for phase in own.staged.told for told in phase)
        for deed in (deed for phase in phases for deed in phase):
            same = told[deed.who, deed.action] > 0
            if same:
                continue
            instead = [
                done.deed.verb for phase in own.staged.told for done in phase
                if done.deed.who == deed.who and done.deed.verb not in (*ENTERING, *LEAVING)
            ]  # fmt: skip
            shows = f'the text says "{instead[-1]}" instead' if instead else "the text leaves it out"
            what = f" the {deed.what}" if deed.what else ""
            message = f"{deed.who} cannot {deed.verb.replace('_', ' ')}{what} here, in the {own.place}; {shows}."
            findings.append(Finding("warning", "staging", message, "Change the beat or its place.", segment=number))
    return findings
