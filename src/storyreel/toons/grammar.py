"""The story grammar: plots filled with characters, places and things by a seed, as long as one likes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import TypeVar, cast

from storyreel.errors import ConfigError, refusal
from storyreel.toons.deeds import Phases, names_in, parse_shot
from storyreel.toons.interludes import interlude
from storyreel.toons.names import CAST, dress
from storyreel.toons.palette import PROP
from storyreel.toons.plots import PLOTS, Plot
from storyreel.toons.script import PlaceKind, Prop, PropKind, Segment, Story, TimeOfDay
from storyreel.toons.staging import StagedShot, StagingFailed, stage_shot
from storyreel.toons.wording import Teller, tell_plot
from storyreel.toons.world import World

LONGEST_SCENE = 5
Key = TypeVar("Key")
Result = TypeVar("Result")
_TRIES = 60
_SCENE_TRIES = 6
_SHOT_TRIES = 4

PLACE_SHARES: dict[PlaceKind, float] = {
    "kitchen": 1.5, "living room": 1.2, "bedroom": 1.0, "bathroom": 1.2,
    "garden": 0.9, "street": 0.8, "beach": 1.0, "forest": 1.4,
}  # fmt: skip
PROP_SHARES: dict[PropKind, float] = {
    "pie": 1.2, "cheese": 1.3, "ball": 1.0, "book": 1.0, "cake": 1.0, "fish": 2.2,
    "flower": 1.4, "balloon": 1.0, "umbrella": 1.0,
    "key": 0.3, "drum": 1.0, "apple": 1.3,
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """A scene with everything filled in, before it is staged. `lies` and `has` are done when it opens."""

    place: PlaceKind
    time: TimeOfDay
    shots: tuple[Phases, ...]
    optional: tuple[bool, ...]
    lies: tuple[PropKind, ...] = ()
    has: tuple[tuple[str, PropKind], ...] = ()


@dataclass(frozen=True)
class Shown:
    """A staged shot with where and when it plays."""

    scene: int
    place: PlaceKind
    time: TimeOfDay
    staged: StagedShot


def make_story(seed: int, segments: int) -> Story:
    """The story of a seed with so many segments of 3 s, always the same. ConfigError unless there is a segment."""
    if segments < 1:
        raise ConfigError(refusal("segments", segments, "a story has at least 1", "Try 7"))
    for attempt in range(_TRIES):
        rng = Random(f"storyreel story {seed} of {segments}, attempt {attempt}")
        world = World(dress(rng), rng)
        try:
            scenes, plots, title = _compose(rng, segments)
            world, shown = play(world, scenes)
        except StagingFailed:
            continue
        return tell_story(seed, title, world, _window(shown, segments, rng), plots)
    raise AssertionError(f"no staging of story {seed} with {segments} segments was found in {_TRIES} attempts")


def tell_story(seed: int, title: str, world: World, shown: Sequence[Shown], plots: tuple[str, ...]) -> Story:
    """A story out of staged shots: words for every shot, and only the cast, places and props that the story shows."""
    teller = Teller(world.rng)
    kinds: list[PlaceKind] = list(dict.fromkeys(own.place for own in shown))
    told = [
        teller.tell(own.place, own.time, own.staged, new_scene=i == 0 or own.scene != shown[i - 1].scene)
        for i, own in enumerate(shown)
    ]
    first = shown[0].scene
    segments = tuple(
        Segment(
            own.scene - first, kinds.index(own.place), own.time, own.staged.camera, own.staged.tracks, own.staged.props,
            words.sentence, words.text, own.staged.in_view, words.actions,
        )
        for own, words in zip(shown, told, strict=True)
    )  # fmt: skip
    names = {track.character for segment in segments for track in segment.tracks}
    props = dict.fromkeys(track.prop for segment in segments for track in segment.props)
    cast_ = tuple(character for name, character in world.cast.items() if name in names)
    things = tuple(Prop(prop, cast(PropKind, prop), world.rng.choice(tuple(PROP))) for prop in props)
    plot = tell_plot(world.rng, [own.name for own in cast_], [words.sentence for words in told], kinds)
    return Story(seed, title, plot, cast_, tuple(world.places[kind] for kind in kinds), things, segments, plots)


def play(world: World, scenes: Sequence[Scene]) -> tuple[World, list[Shown]]:
    """The world at the end and every shot of the scenes.

    A scene that no camera can show is tried in several arrangements; StagingFailed when none of them helps.
    """
    shown: list[Shown] = []
    for scene in scenes:
        world, own = _again(_SCENE_TRIES, partial(_play_scene, world, scene))
        shown += own
    return world, shown


def _again(tries: int, attempt: Callable[[], Result]) -> Result:
    """What an attempt returns, which may fail all but the last time."""
    for _ in range(tries - 1):
        try:
            return attempt()
        except StagingFailed:
            continue
    return attempt()


def _play_scene(world: World, scene: Scene) -> tuple[World, list[Shown]]:
    shown: list[Shown] = []
    world = world.copy()
    for prop in scene.lies:
        if prop not in world.held:
            world.lay(prop, scene.place)
    for name, prop in scene.has:
        world.held[prop] = name
    world.open_scene(scene.place, scene.time, scene.shots)
    for phases in scene.shots:
        world, staged = _again(_SHOT_TRIES, partial(_play_shot, world, phases))
        shown.append(Shown(world.scene, scene.place, scene.time, staged))
    return world, shown


def _play_shot(world: World, phases: Phases) -> tuple[World, StagedShot]:
    tried = world.copy()
    return tried, stage_shot(tried, phases)


def _window(shown: Sequence[Shown], segments: int, rng: Random) -> Sequence[Shown]:
    """So many consecutive shots of a longer story, mostly from the beginning of a scene on."""
    last = len(shown) - segments
    cuts = [i for i in range(last + 1) if i == 0 or shown[i].scene != shown[i - 1].scene]
    start = rng.choice(cuts) if segments > 2 and rng.random() < 0.75 else rng.randrange(last + 1)
    return shown[start : start + segments]


def _compose(rng: Random, segments: int) -> tuple[list[Scene], tuple[str, ...], str]:
    """Plots one after another until they are about long enough, then interludes and optional shots."""
    props = _weighted_order(rng, PROP_SHARES)
    if segments <= 4 and rng.random() < 0.6:
        return _vignettes(rng, segments, props)
    order = list(PLOTS)
    rng.shuffle(order)
    whole = rng.random() < 0.6
    scenes: list[Scene] = []
    names: list[str] = []
    title = ""
    homes: list[PlaceKind] = []
    for plot in order:
        length = sum(not shot.startswith("*") for scene in plot.scenes for shot in scene.shots)
        before = scenes[-1].place if scenes else None
        if plot.places[plot.scenes[0].place] == (before,) or (
            scenes and whole and sum(map(_core, scenes)) + length > segments
        ):
            continue
        filled, its_title = _fill(plot, rng, props, homes, before)
        scenes += filled
        names.append(plot.name)
        title = title or its_title
        if sum(map(_core, scenes)) > 0.8 * segments:
            break
    return _fit(scenes, segments, rng, props), tuple(names), title


def _vignettes(rng: Random, segments: int, props: list[PropKind]) -> tuple[list[Scene], tuple[str, ...], str]:
    """A short story of one or two side stories."""
    scenes: list[Scene] = []
    time: TimeOfDay = rng.choice(("day", "night"))
    while (missing := segments - sum(len(scene.shots) for scene in scenes)) > 0:
        length = rng.randint(1, missing) if not scenes and rng.random() < 0.3 else LONGEST_SCENE
        scenes.append(_interlude(scenes[-1:], time, rng, props, length))
    hero = names_in(scenes[0].shots[0])[0]
    return scenes, ("vignette",), f"a moment with {hero}"


def _core(scene: Scene) -> int:
    return scene.optional.count(False)


def _fit(scenes: list[Scene], segments: int, rng: Random, props: list[PropKind]) -> list[Scene]:
    """Interludes and optional shots until the story is long enough; what is too long is cut later by a window."""
    missing = segments - sum(map(_core, scenes))
    extra = rng.random() < 0.5
    if missing > 0 or extra:
        scenes = _cut_away(scenes, rng, props)
        missing = segments - sum(map(_core, scenes))
    keep: dict[int, set[int]] = {i: set() for i in range(len(scenes))}
    slots = [(i, j) for i, scene in enumerate(scenes) for j, own in enumerate(scene.optional) if own]
    rng.shuffle(slots)
    if missing <= 0 and extra:
        missing = 3
    breaks = list(range(1, len(scenes)))
    rng.shuffle(breaks)
    found: dict[int, Scene] = {}
    while missing > 0:
        if slots and (rng.random() < 0.4 or not breaks):
            i, j = slots.pop()
            if _core(scenes[i]) + len(keep[i]) < LONGEST_SCENE:
                keep[i].add(j)
                missing -= 1
        elif breaks:
            i = breaks.pop()
            found[i] = _interlude(
                scenes[i - 1 : i + 1], scenes[i].time, rng, props, min(missing, rng.choice((1, 2, 2, 3)))
            )
            missing -= len(found[i].shots)
        else:
            scenes = [*scenes, _interlude(scenes[-1:], scenes[-1].time, rng, props, min(missing, 3))]
            keep[len(scenes) - 1] = set()
            missing -= len(scenes[-1].shots)
    result: list[Scene] = []
    for i, scene in enumerate(scenes):
        if i in found:
            result.append(found[i])
        chosen = [j for j, optional in enumerate(scene.optional) if not optional or j in keep[i]]
        result.append(
            replace(scene, shots=tuple(scene.shots[j] for j in chosen), optional=tuple(False for _ in chosen))
        )
    return result


def _cut_away(scenes: list[Scene], rng: Random, props: list[PropKind]) -> list[Scene]:
    """Sometimes a long scene is interrupted by one shot from elsewhere."""
    long = [i for i, scene in enumerate(scenes) if len(scene.shots) >= 3]
    if not long or rng.random() < 0.3:
        return scenes
    i = rng.choice(long)
    scene = scenes[i]
    at = rng.randrange(1, len(scene.shots))
    first = replace(scene, shots=scene.shots[:at], optional=scene.optional[:at])
    second = replace(scene, shots=scene.shots[at:], optional=scene.optional[at:], lies=(), has=())
    if not _core(first) or not _core(second):
        return scenes
    return [
        *scenes[:i],
        first,
        _interlude([scene], scene.time, rng, props, rng.choice((1, 1, 2))),
        second,
        *scenes[i + 1 :],
    ]


def _interlude(neighbours: Sequence[Scene], time: TimeOfDay, rng: Random, props: list[PropKind], length: int) -> Scene:
    """A little side story in another place than the neighbours', by characters who are in neither of them."""
    busy = {name for scene in neighbours for phases in scene.shots for name in names_in(phases)}
    free = [role.name for role in CAST if role.name not in busy] or [role.name for role in CAST]
    rng.shuffle(free)
    places: list[PlaceKind] = [
        kind for kind in _weighted_order(rng, PLACE_SHARES) if all(kind != scene.place for scene in neighbours)
    ]
    kind, shots, thing = interlude(rng, places, free, props, length)
    return Scene(kind, time, shots, tuple(False for _ in shots), (thing,) if thing else ())


def _fill(
    plot: Plot, rng: Random, props: list[PropKind], homes: list[PlaceKind], before: PlaceKind | None
) -> tuple[list[Scene], str]:
    """A plot with its roles, places, things and time of day filled in; it does not begin in the place `before`."""
    names = [role.name for role in CAST]
    rng.shuffle(names)
    roles = dict(zip("abcde", names, strict=True))
    places: dict[str, PlaceKind] = {}
    for letter, options in plot.places.items():
        taken = [*places.values(), before] if letter == plot.scenes[0].place else places.values()
        free: dict[PlaceKind, float] = {
            kind: PLACE_SHARES[kind] * (1.5 if kind in homes else 1.0) for kind in options if kind not in taken
        }
        places[letter] = _weighted_order(rng, free)[0]
    things: dict[str, PropKind] = {}
    for letter, options in plot.things.items():
        choice: PropKind | None = next((prop for prop in props if prop in options), None)
        things[letter] = choice or rng.choice(options)
        if choice:
            props.remove(choice)
    homes.extend(places.values())
    time: TimeOfDay = plot.time or ("day" if rng.random() < 0.54 else "night")
    scenes = [
        _fill_scene(own.shots, own.setup, places[own.place], own.time or time, roles, things) for own in plot.scenes
    ]
    return scenes, plot.title.format(**roles, **things)


def _fill_scene(
    shots: Sequence[str],
    setup: Sequence[str],
    place: PlaceKind,
    time: TimeOfDay,
    roles: Mapping[str, str],
    things: Mapping[str, PropKind],
) -> Scene:
    lies: tuple[PropKind, ...] = tuple(things[line.split()[0]] for line in setup if line.endswith("lies"))
    has: tuple[tuple[str, PropKind], ...] = tuple(
        (roles[line.split()[0]], things[line.split()[2]]) for line in setup if " has " in line
    )
    phases = tuple(parse_shot(shot.removeprefix("*"), roles, things) for shot in shots)
    return Scene(place, time, phases, tuple(shot.startswith("*") for shot in shots), lies, has)


def _weighted_order(rng: Random, shares: Mapping[Key, float]) -> list[Key]:
    """All keys in a random order in which a larger share tends to come first."""
    return sorted(shares, key=lambda key: rng.random() ** (1 / shares[key]), reverse=True)
