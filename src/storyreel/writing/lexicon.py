"""What the words of a plot mean to the demo model's cartoon: a documented table, and nothing else decides.

Near synonyms come from `storyreel.models.words.GROUPS`, which `generate` reads too. The tables here add what a plot
says and a storyboard does not: words that are drawn as something else (a house as its living room), and deeds.
"""

from __future__ import annotations

import functools
from typing import NamedTuple, cast, get_args

from storyreel.models.words import GROUPS, lemmas_of
from storyreel.toons.script import Mood, PlaceKind, PropKind, Species, TimeOfDay


class Meaning(NamedTuple):
    """What a word is drawn as. `near`: it is something else, and the writer of the plot should know."""

    value: str
    near: bool = False


def word_set(words: str) -> frozenset[str]:
    """The words of a string."""
    return frozenset(words.split())


SPECIES = cast("tuple[Species, ...]", get_args(Species))
PLACES = cast("tuple[PlaceKind, ...]", get_args(PlaceKind))
PROPS = cast("tuple[PropKind, ...]", get_args(PropKind))
MOODS = cast("tuple[Mood, ...]", get_args(Mood))
TIMES = cast("tuple[TimeOfDay, ...]", get_args(TimeOfDay))

NEAR_SPECIES = {
    "cat": "lion tiger leopard panther lynx lioness",
    "mouse": "gerbil squirrel shrew mole hedgehog",
    "dog": "spaniel terrier labrador beagle retriever collie dachshund dalmatian husky pug wolf fox",
    "rabbit": "kangaroo guinea-pig",
    "duck": "chicken hen rooster swan parrot pigeon penguin chick crow owl",
}
NEAR_PLACES = {
    "kitchen": "restaurant cafe bakery",
    "living room": "house home cottage cabin building castle palace hotel room library school",
    "street": "shop market village square bridge station",
    "garden": "farm hill mountain playground zoo orchard outside outdoors",
    "beach": "river lake pond pool island harbour sand",
    "forest": "cave swamp",
}
NEAR_PROPS = {
    "pie": "pizza sandwich bread pancake waffle",
    "cake": "cookie biscuit candy sweet chocolate icecream",
    "fish": "sausage meat steak bone ham",
    "apple": "carrot banana strawberry berry cherry nut peach",
    "book": "letter map newspaper picture paper",
    "ball": "toy doll marble stone",
    "drum": "trumpet guitar piano violin flute",
    "key": "coin treasure gold jewel necklace",
    "balloon": "kite",
}
NEAR_TIMES = {"day": "sun sunny bright sunrise dawn", "night": "moon moonlit dark stars late sunset"}
NEAR_MOODS = {
    "happy": "proudly gladly laughing cheer delight joy hungry hungrily",
    "sad": "lonely alone-and-sad crying grief hurt",
    "angry": "grumpy jealous",
    "scared": "panic shy fear shyly",
    "surprised": "curious curiously confused wonder puzzled",
}

FOOD: tuple[PropKind, ...] = ("pie", "cheese", "cake", "fish", "apple")
STAND_INS: tuple[PropKind, ...] = ("key", "book", "flower", "ball", "drum", "umbrella", "balloon")
"""What is shown for a thing that cannot be drawn, in this order; for food it is FOOD."""

VERBS = """
eat bite taste nibble munch chew devour gobble swallow feast enjoy lick drink: A eat T
steal take grab get snatch fetch seize lift collect pick gather: A get T
find discover: A get T | A look B:surprised | A look:surprised
catch: A get T | B flee & A chase B
borrow rob: ~A get T
put drop lay place set lose forget hang: A put T | A stand
bake cook make build prepare hold carry keep: ~A put T | ~A stand
give hand offer pass bring return lend deliver: A give T>B | A put T | A stand
return: A give T>B | A put T | A in
share throw toss show: ~A give T>B | ~A put T | A stand
kick hit: ~A get T | ~A crash
chase pursue hunt follow run_after go_after: B flee & A chase B | A dash
run dash sprint rush hurry bolt gallop scurry scamper speed: A runto B | A dash
flee escape: A runout
run_inside burst_in: A runin
race: A race & B race | A race
walk stroll wander amble stride march tiptoe creep sneak go move travel explore step ride drive: A to B | A roam
fly swim climb roll crawl: ~A roam
leave depart disappear vanish set_off: A out
enter arrive come appear come_back go_back walk_inside come_inside: A in
jump leap hop bounce spring skip: A jump
sit perch squat crouch sit_down: A sit
rest relax lie lie_down: ~A sit
stand wait stay pause stop stand_up: A stand
sleep nap doze snooze fall_asleep go_to_sleep go_to_bed: A sleep
dream snore: ~A sleep
wake awake wake_up get_up: ~A jump:surprised
laugh giggle chuckle snicker cackle grin smile: A laugh
cry weep sob wail: A cry
dance twirl spin celebrate: A dance
sing play party cheer: ~A dance
play_with: ~A get T / A dance | ~A dance & B dance
read: ~A get T / A sit
fall tumble trip slip stumble collapse fall_over fall_down: A fall
crash bump smash slam collide: A crash
push fight attack: ~A jump:angry & B jump:scared | ~A jump:angry
wave greet beckon: A wave B | A wave
meet thank hug kiss help invite visit call: ~A wave B | ~A wave
look watch stare gaze glance peer observe see gape notice look_around look_at: A look T | A look B | A watch
search seek look_for want love like admire need smell: ~A look T | ~A look B | ~A look
hide conceal lurk: A hide
peek peep spy: A peek
ring knock ring_at: A ring
shout yell scream roar bark growl argue: ~A jump:angry
say tell ask speak talk answer whisper: ~A wave B | ~A wave
think wonder: ~A look
be become feel seem grow: A stand
have: ~A get T | A stand
"""
"""Deeds in the notation of toons/deeds.py: the words before the colon, then what they mean, the first whose A (who), B
(to whom) and T (what) the plot names. ~ marks what is drawn as something near."""

AUXILIARY = word_set(
    "start begin try decide manage have do will can may must shall would could should might keep let's"
)
"""Verbs that only lead to the next one."""
NEGATIONS = ("not", "never", "cannot", "can't", "doesn't", "don't", "isn't", "won't", "didn't", "couldn't", "nobody")
FURNITURE = word_set(
    "table sofa bed bath door bell window wall tree bush car boat rock tent bench chair fence sea trees hole mousehole "
    "doorbell desk armchair fireplace stove fridge lamp floor ground log shed flowerbed mushroom sky roof gate"
)
"""What stands in places anyway; a plot may name it."""
STOP_WORDS = word_set(
    """a an the his her its their my our your this that these those some any each every all both one he she it they him
    them who which whom whose and or but then so while as when because until after before with without by for of to from
    in on at into onto inside out under over near behind beside through up down off back again also too very suddenly
    soon later now just still there here is are was were be been being am has have had do does did not away around
    together once upon time first next finally named called however meanwhile another other friend friends everyone
    two three four five everybody end more than if about along across"""
)
SKIPPED_ADJECTIVES = word_set("little small tiny big large huge old young new good")
"""Said of everybody and of nobody in particular; the demo model draws its cast in one size each."""


@functools.cache
def actors() -> dict[str, Meaning]:
    """Words for the species of the cast."""
    return _with_groups(SPECIES, NEAR_SPECIES)


@functools.cache
def places() -> dict[str, Meaning]:
    """Words for places."""
    found = _with_groups(PLACES, NEAR_PLACES)
    return {**found, "bath": Meaning("bathroom"), "shower": Meaning("bathroom", near=True)}


@functools.cache
def props() -> dict[str, Meaning]:
    """Words for things that can be carried."""
    return _with_groups(PROPS, NEAR_PROPS)


@functools.cache
def times() -> dict[str, Meaning]:
    """Words for day and night; all mean just that."""
    return {word: Meaning(own.value) for word, own in _with_groups(TIMES, NEAR_TIMES).items()}


@functools.cache
def moods() -> dict[str, Meaning]:
    """Words for how somebody feels."""
    found = {word: Meaning(own.value) for word, own in _with_groups(MOODS, NEAR_MOODS).items()}
    adverbs = {word[:-1] + "ily" if word.endswith("y") else word + "ly": own for word, own in found.items()}
    found = {**adverbs, **found}
    del found["still"]
    return found


@functools.cache
def verbs() -> dict[str, tuple[str, ...]]:
    """Templates by lemma; `_` joins a verb and its particle. Whoever walks or runs can do so in, away, off and out."""
    found: dict[str, tuple[str, ...]] = {}
    for line in VERBS.strip().splitlines():
        words, _, templates = line.partition(": ")
        for word in words.split():
            meanings = tuple(part.strip() for part in templates.split("|"))
            found[word] = meanings
            pace = {"A dash": "run", "A roam": ""}.get(meanings[-1].removeprefix("~"))
            if pace is not None and "_" not in word and "B flee & A chase B" not in meanings:
                found |= dict.fromkeys((f"{word}_in",), (f"A {pace}in",))
                found |= dict.fromkeys((f"{word}_{particle}" for particle in ("away", "off", "out")), (f"A {pace}out",))
    return found | {"come_in": ("A in",)}


@functools.cache
def known_to_plots() -> frozenset[str]:
    """Every word that some table has, for hints at words that none has."""
    tables = (actors(), places(), props(), times(), moods(), verbs())
    return frozenset(word.replace("_", " ") for table in tables for word in table)


def look_up(word: str, table: dict[str, Meaning]) -> Meaning | None:
    """What a lower-case word, or the word that it is a form of, means in a table."""
    return next((table[lemma] for lemma, _ in lemmas_of(word) if lemma in table), None)


def _with_groups(values: tuple[str, ...], near: dict[str, str]) -> dict[str, Meaning]:
    """Each value, its near synonyms, and the words that are drawn as it though they are something else."""
    found: dict[str, Meaning] = {}
    groups = {line.split()[0]: line.split()[1:] for line in reversed(GROUPS.strip().splitlines())}
    for value in values:
        for word in near.get(value, "").split():
            found[word] = Meaning(value, near=True)
        for word in groups.get(value.replace(" ", "_"), ()):
            found[word] = Meaning(value)
    for value in values:
        found[value.replace(" ", "_")] = Meaning(value)
    return found
