"""What to read instead of a word that a text encoder has never seen.

The order is: another form of the word, a near synonym, the likest spelling. A small text encoder knows some hundred
words, a storyboard by another hand says "kitty" or "was sprinting". Nothing here knows which words a model has, they
are an argument. The groups are near synonyms in a cartoon's sense: what they share is the picture.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable
from typing import Literal, NamedTuple

Form = Literal["base", "s", "ing", "ed"]
How = Literal["form", "synonym", "guess", "unknown"]

START_SCENE, END_SCENE = "<start_scene>", "<end_scene>"
"""Scene marks of the reference's training data [C]; here, because a storyboard needs them and needs no tokenizer."""

GUESS_CUTOFF = 0.78
"""difflib ratio from which a spelling is a slip of the pen: "kichen" for "kitchen" has 0.92, "lamp" for "lion" 0.5."""
NEAR_CUTOFF = 0.55
"""difflib ratio from which a known word is worth telling as near."""

GROUPS: str = """
cat kitty kitten feline tomcat puss pussycat tabby
mouse rat rodent hamster
dog puppy pup hound doggy poodle bulldog mutt
rabbit bunny hare
duck duckling goose bird drake
kitchen cookhouse pantry galley diner
living_room lounge parlour parlor salon
bedroom nursery dormitory
bathroom washroom restroom
garden yard backyard lawn park meadow field
street road alley avenue lane sidewalk pavement town city
beach shore seaside coast seashore
forest wood jungle woodland
house home cottage cabin building
pie tart pastry flan
cheese cheddar
cake cupcake dessert muffin treat snack food meal lunch dinner breakfast supper
fish salmon tuna trout goldfish
ball football basketball beachball
book novel notebook diary magazine
flower rose tulip daisy blossom bouquet
balloon blimp
umbrella parasol
key latchkey
drum drums bongo tambourine
apple fruit pear
table desk counter worktop
chair stool armchair seat bench
sofa couch settee
door gate doorway entrance
window pane
wall fence barrier
hole burrow mousehole
bell doorbell buzzer
tree oak pine bush shrub
floor ground carpet rug
bed mattress cot
lamp light lantern
stove oven cooker
walk stroll wander step amble stride march tiptoe creep sneak
run dash sprint race rush hurry bolt flee gallop scurry scamper speed
chase pursue follow hunt
jump leap hop bounce spring
sit perch squat crouch
stand wait stay pause
eat munch chew devour gobble bite nibble taste swallow feast
laugh giggle chuckle snicker cackle grin smile
fall tumble trip slip stumble collapse drop
sleep nap doze snooze rest
wave greet beckon
look watch stare gaze glance peer observe see gape
cry weep sob wail
dance twirl spin
hide conceal lurk
peek peep spy
ring press push
pick_up grab take snatch seize lift steal
carry hold bring bear clutch haul
put_down place set lay leave
give hand offer pass
crash bump smash slam collide hit
enter arrive come reach appear
leave exit go depart disappear vanish
calm quiet peaceful relaxed still
happy glad joyful cheerful merry delighted pleased proud
sad unhappy gloomy miserable upset
angry mad furious cross annoyed enraged irate
scared afraid frightened terrified fearful nervous anxious worried
surprised astonished amazed startled shocked stunned
sleepy tired drowsy weary exhausted
day daytime morning noon afternoon daylight sunshine
night nighttime evening midnight darkness dusk moonlight
red crimson scarlet ruby maroon
blue navy azure cobalt indigo
green emerald lime olive
yellow golden gold lemon
orange tangerine amber ginger
purple violet lilac mauve lavender
pink magenta
brown tan chestnut hazel chocolate
grey gray silver ash
white snowy ivory pale
black dark ebony jet
big large huge giant enormous
small little tiny wee
quick fast swift rapid speedy
quickly fast swiftly rapidly hastily
slowly gently lazily
then next afterwards later
to toward towards
beside next near by alongside
behind after
in inside into within
on onto upon atop
camera view shot
while whilst as when
he his him himself
she her hers herself
it its itself
they them their themselves
everybody everyone all
nobody none
begin start commence
end finish stop
say speak shout yell call tell
enjoy like love
shed hut shack
boat ship
tent camp
sea ocean water
surprise shock amazement
sad sorrowful
but and yet
one 1 single
two 2 both pair
three 3
"""

IRREGULAR_PAST = """
run ran; eat ate eaten; catch caught; fall fell fallen; hold held; give gave given; take took taken;
hide hid hidden; sit sat; stand stood; sleep slept; go went gone; come came; see saw seen; say said; find found;
throw threw thrown; steal stole stolen; leave left; make made; put put; hit hit; bring brought; think thought;
ring rang rung; sing sang sung; fly flew flown; creep crept; keep kept; lie lay lain; lay laid; bite bit bitten;
spring sprang sprung; swim swam swum; wake woke woken; begin began begun; break broke broken; drive drove driven;
flee fled; feel felt; get got gotten; have had; be was were been; do did done; ride rode ridden; rise rose risen;
shake shook shaken; shut shut; slide slid; spin spun; sweep swept; tell told; wear wore worn; weep wept; hear heard;
know knew known; lead led; lose lost; meet met; read read; sell sold; send sent
"""

IRREGULAR_S = """
mouse mice; child children; foot feet; tooth teeth; man men; woman women; goose geese; leaf leaves; wolf wolves;
knife knives; shelf shelves; be is are; have has; do does
"""

ADJECTIVE_ENDINGS = {"ily": "y", "ly": "", "ier": "y", "iest": "y", "er": "", "est": ""}
"""Endings of adverbs and comparatives, and what the adjective has in their place; e or le may take it too (gently)."""


class Replacement(NamedTuple):
    """What is read instead of an unknown word. `nearest` are the likest known words, best first."""

    word: str
    replacement: str
    how: How
    nearest: tuple[str, ...] = ()


def replace_word(word: str, known: frozenset[str], unknown: str = "<unk>") -> Replacement:
    """The known word that stands in for the unknown `word` (lower case); `unknown` where nothing is like it."""
    for candidate in forms_of(word):
        if candidate in known:
            return Replacement(word, candidate, "form")
    for candidate in synonyms_of(word):
        if known.issuperset(candidate.split()):
            return Replacement(word, candidate, "synonym")
    nearest = nearest_words(word, known)
    if nearest and difflib.SequenceMatcher(None, word, nearest[0]).ratio() >= GUESS_CUTOFF:
        return Replacement(word, nearest[0], "guess", nearest)
    return Replacement(word, unknown, "unknown", nearest)


def nearest_words(word: str, known: Iterable[str], count: int = 3) -> tuple[str, ...]:
    """Up to `count` known words of like spelling, best first; none for words under four letters."""
    if len(word) < 4 or not word.isalpha():
        return ()
    comparable = sorted(other for other in known if len(other) > 2 and other.isalpha())
    return tuple(difflib.get_close_matches(word, comparable, count, NEAR_CUTOFF))


def forms_of(word: str) -> list[str]:
    """Other forms of the same word, likest first: walked -> walks, walk, walking; rabbits -> rabbit."""
    found: list[str] = []
    for lemma, form in lemmas_of(word):
        found += inflect(lemma, form)
    for ending, adjective_ending in ADJECTIVE_ENDINGS.items():
        stem = word.removesuffix(ending)
        if len(word) > len(stem) >= 2:
            found += [stem + adjective_ending, stem + "e", stem + "le", _undoubled(stem)]
    found += [word + "ly", word.removesuffix("y") + "ily"]
    return [form for form in dict.fromkeys(found) if form != word]


def synonyms_of(word: str) -> list[str]:
    """Members of the word's groups, likest first: sprinting -> running, runs, run, ...; lounge -> living room."""
    found: list[str] = []
    for lemma, form in lemmas_of(word):
        for group in _groups().get(lemma, ()):
            for member in group:
                if member != lemma:
                    found += [member.replace("_", " ")] if "_" in member else inflect(member, form)
    return [synonym for synonym in dict.fromkeys(found) if synonym != word]


def lemmas_of(word: str) -> list[tuple[str, Form]]:
    """Dictionary forms that `word` may come from, each with the form that it would be; the word itself first."""
    found: list[tuple[str, Form]] = [(word, "base")]
    endings: tuple[Form, Form] = ("ed", "ing")
    found += _irregular_forms().get(word, [])
    if word.endswith("ies"):
        found.append((word[:-3] + "y", "s"))
    if word.endswith("es"):
        found.append((word[:-2], "s"))
    if word.endswith("s") and not word.endswith("ss"):
        found.append((word[:-1], "s"))
    if word.endswith("ied"):
        found.append((word[:-3] + "y", "ed"))
    for form in endings:
        if word.endswith(form):
            stem = word.removesuffix(form)
            for lemma in (stem, stem + "e", _undoubled(stem)):
                found.append((lemma, form))
    return [(lemma, form) for lemma, form in dict.fromkeys(found) if len(lemma) > 1]


def inflect(lemma: str, form: Form) -> list[str]:
    """All forms of a word, the wanted one first, then in the order in which a story told in the present uses them."""
    everything = {
        "base": [lemma],
        "s": _s_forms(lemma),
        "ing": [stem + "ing" for stem in _stems(lemma)],
        "ed": _past_forms(lemma),
    }
    order = dict.fromkeys([form, "s", "base", "ing", "ed"])
    return [word for name in order for word in everything[name]]


def _s_forms(lemma: str) -> list[str]:
    if lemma in _irregular_s():
        return _irregular_s()[lemma]
    if lemma.endswith("y") and lemma[-2:-1] not in tuple("aeiou"):
        return [lemma[:-1] + "ies"]
    return [lemma + "es"] if lemma.endswith(("s", "x", "z", "ch", "sh", "o")) else [lemma + "s"]


def _past_forms(lemma: str) -> list[str]:
    if lemma in _irregular_past():
        return _irregular_past()[lemma]
    if lemma.endswith("y") and lemma[-2:-1] not in tuple("aeiou"):
        return [lemma[:-1] + "ied"]
    return [stem + "ed" for stem in _stems(lemma)]


def _stems(lemma: str) -> list[str]:
    """The word as it stands in front of -ing and -ed: chas(e), run or runn, walk."""
    if lemma.endswith("e"):
        return [lemma[:-1]]
    return [lemma, lemma + lemma[-1]]


def _undoubled(stem: str) -> str:
    return stem[:-1] if len(stem) > 2 and stem[-1] == stem[-2] else stem


def _table(text: str) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for entry in text.split(";"):
        lemma, *forms = entry.split()
        table.setdefault(lemma, []).extend(forms)
    return table


@functools.cache
def _irregular_past() -> dict[str, list[str]]:
    return _table(IRREGULAR_PAST)


@functools.cache
def _irregular_s() -> dict[str, list[str]]:
    return _table(IRREGULAR_S)


@functools.cache
def _irregular_forms() -> dict[str, list[tuple[str, Form]]]:
    found: dict[str, list[tuple[str, Form]]] = {}
    tables: tuple[tuple[dict[str, list[str]], Form], ...] = ((_irregular_past(), "ed"), (_irregular_s(), "s"))
    for table, form in tables:
        for lemma, words in table.items():
            for word in words:
                found.setdefault(word, []).append((lemma, form))
    return found


@functools.cache
def _groups() -> dict[str, list[list[str]]]:
    """Each word's groups, a group's members in their own order; `_` joins what a text writes as two words."""
    found: dict[str, list[list[str]]] = {}
    for line in GROUPS.strip().splitlines():
        group: list[str] = line.split()
        for word in group:
            found.setdefault(word, []).append(group)
    return found
