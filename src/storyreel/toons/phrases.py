"""Every word of the texts: tables of phrases with slots.

The vocabulary is read off these tables, so nothing may be worded elsewhere.

Slots: {A} a character, {B} another, {T} a prop, {side} left or right, {place} and {time} of the scene, {F} furniture.
"""

from __future__ import annotations

from storyreel.toons.script import PlaceKind, PropKind, Species, TimeOfDay

PLACES: dict[PlaceKind, tuple[str, ...]] = {
    "kitchen": ("in the kitchen", "in the kitchen", "in a cosy kitchen", "in the little kitchen"),
    "living room": ("in the living room", "in the living room", "in a cosy living room", "in the big living room"),
    "bedroom": ("in the bedroom", "in the bedroom", "in a quiet bedroom", "in the cosy bedroom"),
    "bathroom": ("in the bathroom", "in the bathroom", "in a clean bathroom", "in the little bathroom"),
    "garden": ("in the garden", "in the garden", "in the garden by the fence", "outside in the garden"),
    "street": ("in the street", "in the street", "outside in the street", "on the street, by the road"),
    "beach": ("on the beach", "on the beach", "at the beach by the sea", "on the sandy beach"),
    "forest": ("in the forest", "in the forest", "in the woods, among the trees", "in the forest, among the trees"),
}
PLACES_SHORT: dict[PlaceKind, str] = {
    "kitchen": "in the kitchen", "living room": "in the living room", "bedroom": "in the bedroom",
        "bathroom": "in the bathroom",
    "garden": "in the garden", "street": "in the street", "beach": "on the beach", "forest": "in the forest",
}  # fmt: skip
TIMES: dict[TimeOfDay, tuple[str, ...]] = {
    "day": ("by day", "during the day", "in the daytime", "in bright daylight", "on a bright day"),
    "night": ("at night", "by night", "late at night", "in the dark of the night", "on a dark night"),
}
BACKGROUNDS: tuple[str, ...] = (
    "We are {place} {time}.", "This happens {place} {time}.", "The scene is {place} {time}.", "{place}, {time}.",
        "It all happens {place} {time}.",
    "{time}, we see what happens {place}.", "{time}, {place}.", "The picture shows what happens {place} {time}.",
        "Here we are {place} {time}.",
)  # fmt: skip
BACKGROUNDS_BY_TIME: dict[TimeOfDay, tuple[str, ...]] = {
    "day": (
        "It is day {place}.",
        "It is daytime {place}.",
        "It is a bright day {place}.",
        "It is light outside, and we are {place}.",
    ),
    "night": (
        "It is night {place}.",
        "It is late at night {place}.",
        "It is a dark night {place}.",
        "It is dark outside, and we are {place}.",
    ),
}
STILL_THERE: tuple[str, ...] = (
    "We are still {place} {time}.", "We stay {place} {time}.", "The scene goes on {place} {time}.",
        "The story goes on {place} {time}.",
    "It is still the same place, and we are {place} {time}.",
)  # fmt: skip
DETAILS: dict[TimeOfDay, tuple[str, ...]] = {
    "day": (
        "Everything is bright and clear.", "The light is bright and warm.", "Soft daylight falls on everything.",
            "The colours are bright and friendly.",
        "It is a fine and sunny day.",
    ),
    "night": (
        "Everything is dark and quiet.", "The light is low and blue.", "Soft shadows lie over everything.",
            "The colours are dark and cool.",
        "It is late, and the moon is up.",
    ),
}  # fmt: skip

POSITIONS: tuple[str, ...] = (
    "{A} is on the left and {B} is on the right.", "{A} is on the left, {B} on the right.",
        "On the left is {A}, on the right is {B}.",
    "{B} is to the right of {A}.", "{A} is to the left of {B}.", "We see {A} on the left and {B} on the right.",
    "On the left we see {A}, and {B} is on the right side.",
        "There are two friends, {A} on the left and {B} on the right.",
)  # fmt: skip
ALONE: tuple[str, ...] = (
    "{A} is alone.", "We see {A}.", "Only {A} is here.", "Here is {A}.", "{A} is there alone.",
        "We see {A}, who is alone.", "There is only {A}.",
    "We see {A} and nobody else.",
)  # fmt: skip

WHOLE_NAMES: tuple[str, ...] = (
    "{name} the {species}", "{name} the {colour} {species}", "the {colour} {species} {name}", "the {colour} {species}",
    "the {adjective} {colour} {species} {name}", "a {colour} {species} named {name}",
        "a {adjective} {colour} {species} called {name}",
)  # fmt: skip
WHOLE_NAME_WEIGHTS = (6, 6, 2, 1, 2, 1, 1)
SHORT_NAMES: tuple[str, ...] = (
    "{name}",
    "the {species}",
    "{name} the {species}",
    "the {colour} {species}",
    "the {adjective} {species}",
)
SHORT_NAME_WEIGHTS = (5, 4, 2, 1, 1)
BEFORE_VOWELS: tuple[str, ...] = ("a", "an")
ADJECTIVES: dict[Species, tuple[str, ...]] = {
    "cat": ("proud", "fluffy", "clever"), "mouse": ("little", "tiny", "small"), "dog": ("big", "brave", "strong"),
    "rabbit": ("gentle", "fluffy", "shy"), "duck": ("funny", "cheerful", "round"),
}  # fmt: skip

DEEDS: dict[str, tuple[str, ...]] = {
    "in": ("walks in from the {side}", "comes in from the {side}", "enters from the {side}",
        "walks into view from the {side}", "appears on the {side} and walks in"),
    "runin": ("runs in from the {side}", "rushes in from the {side}", "comes running in from the {side}",
        "dashes in from the {side}"),
    "doorin": ("comes through the door", "walks in through the door", "enters through the door"),
    "out": ("walks off to the {side}", "walks away to the {side}", "leaves to the {side}",
        "walks out of view on the {side}", "goes away to the {side}"),
    "runout": ("runs off to the {side}", "runs away to the {side}", "dashes off to the {side}",
        "hurries away to the {side}"),
    "doorout": ("leaves through the door", "goes out through the door", "walks away through the door"),
    "to": ("walks up to {B}", "goes over to {B}"),
    "runto": ("runs up to {B}", "runs over to {B}"),
    "roam": ("walks to the {side}", "strolls over to the {side}", "walks across to the {side}",
        "wanders to the {side}", "takes a few steps to the {side}"),
    "dash": ("runs to the {side}", "dashes to the {side}", "runs across to the {side}", "hurries to the {side}"),
    "wander": ("walks along to the {side}", "goes for a walk to the {side}", "strolls along to the {side}",
        "walks a long way to the {side}"),
    "flee": ("flees to the {side}", "runs away to the {side}", "runs for safety to the {side}"),
    "chase": ("chases {B} to the {side}", "runs after {B} to the {side}", "chases after {B}"),
    "race": ("races to the {side}", "runs a race to the {side}", "runs very fast to the {side}"),
    "stand": ("stands there", "stands still", "stands and waits", "waits", "stands quite still"),
    "still": ("stands there", "stands by", "waits"),
    "watch": ("watches", "stands by and watches", "stands there", "looks on"),
    "sit": ("sits down", "sits", "takes a seat", "sits and rests", "sits down and rests"),
    "sit still": ("sits there", "still sits", "is sitting", "goes on sitting"),
    "sit still at": ("sits {F}", "still sits {F}", "is sitting {F}", "goes on sitting {F}"),
    "sleep still": ("sleeps", "is still asleep", "sleeps on", "goes on sleeping"),
    "sleep still at": ("sleeps {F}", "is still asleep {F}", "goes on sleeping {F}"),
    "sit at": ("sits {F}", "sits down {F}", "takes a seat {F}"),
    "eat": ("eats {T}", "takes a bite of {T}", "bites into {T}", "munches {T}", "nibbles at {T}",
        "enjoys the taste of {T}"),
    "laugh": ("laughs", "laughs out loud", "giggles", "bursts out laughing", "laughs and laughs", "has a good laugh"),
    "fall": ("falls over", "falls down", "trips and falls", "slips and falls to the ground", "tumbles over",
        "takes a bad fall"),
    "sleep": ("sleeps", "is fast asleep", "takes a nap", "is asleep", "sleeps soundly", "dreams a sweet dream"),
    "sleep at": ("sleeps {F}", "is fast asleep {F}", "takes a nap {F}"),
    "wave": ("waves", "waves hello", "waves and smiles", "gives a friendly wave", "lifts an arm and waves"),
    "wave at": ("waves at {B}", "waves to {B}", "says hello to {B} with a wave"),
    "look": ("looks around", "looks about", "takes a look around", "looks here and there", "looks left and right"),
    "look at": ("looks at {B}", "stares at {B}", "takes a look at {B}"),
    "cry": ("cries", "weeps", "sobs", "bursts into tears", "cries big tears", "weeps and sobs"),
    "dance": ("dances", "does a little dance", "dances around", "dances with joy", "does a happy dance",
        "sways and dances"),
    "hide": ("hides", "gets out of sight", "hides away"),
    "hide at": ("hides {F}", "goes to hide {F}", "gets out of sight {F}"),
    "peek": ("peeks out", "peeps out", "peeks around", "takes a careful peek", "sticks out a nose and peeks"),
    "ring": ("rings the door bell", "presses the door bell", "rings the bell at the door", "rings the bell"),
    "get": ("picks up {T}", "takes {T}", "grabs {T}", "lifts {T} up", "picks {T} up", "takes hold of {T}"),
    "put": ("puts {T} down", "puts down {T}", "sets {T} down", "lays {T} down"),
    "give": ("gives {T} to {B}", "hands {T} to {B}", "hands {T} over to {B}"),
    "crash": ("crashes into {F}", "runs into {F}", "bumps into {F}", "runs right into {F}", "hits {F} with a bump"),
    "jump": ("jumps", "jumps up and down", "hops up and down", "leaps into the air", "jumps high", "makes a big jump"),
    "jump up": ("jumps up in surprise", "leaps up in surprise", "jumps with surprise"),
    "jump back": ("jumps in fear", "leaps back in fear", "jumps up in fear"),
}  # fmt: skip
MOODS: dict[str, tuple[str, ...]] = {
    "happy": ("happily", "with a smile", "cheerfully", "full of joy", "in a good mood", "with a happy face"),
    "sad": ("sadly", "with a sad face", "full of sorrow"),
    "angry": ("angrily", "with an angry face", "full of anger", "in a bad mood", "with a frown"),
    "scared": ("in fear", "with a scared face", "full of fear"),
    "surprised": ("in surprise", "with a surprised face", "in wonder"),
    "sleepy": ("sleepily", "with a sleepy face"),
}
HOLDING: tuple[str, ...] = ("with {T}", "holding {T}", "with {T} in hand", "carrying {T}")
SEATS: dict[str, str] = {
    "table": "at the table", "sofa": "on the sofa", "bed": "on the bed", "bath": "in the bath", "bench": "on the bench",
    "deck chair": "in the deck chair", "log": "on the log",
}  # fmt: skip
HIDING_PLACES: dict[str, str] = {
    "sofa": "behind the sofa", "bed": "behind the bed", "armchair": "behind the armchair", "bath": "behind the bath",
        "shed": "behind the shed",
    "bush": "behind the bush", "car": "behind the car", "boat": "behind the boat", "rock": "behind the rock",
        "tent": "behind the tent",
    "mouse hole": "in the mouse hole", "toy chest": "behind the toy chest",
        "laundry basket": "behind the laundry basket",
    "flowerbed": "behind the flowers", "wheelbarrow": "behind the wheelbarrow", "letter box": "behind the letter box",
    "sandcastle": "behind the sandcastle", "mushroom": "behind the mushroom", "log": "behind the log",
}  # fmt: skip
CRASHING_INTO: dict[str, str] = {
    "wall": "the wall", "car": "the car", "apple tree": "the apple tree", "lamp post": "the lamp post",
        "tree": "the tree", "palm": "the palm tree",
    "pine": "the tree", "oak": "the tree", "rock": "the rock", "tent": "the tent",
}  # fmt: skip
PROPS: dict[PropKind, str] = {
    "pie": "the pie", "cheese": "the cheese", "ball": "the ball", "book": "the book", "cake": "the cake",
        "fish": "the fish", "flower": "the flower",
    "balloon": "the balloon", "umbrella": "the umbrella", "key": "the key", "drum": "the drum", "apple": "the apple",
}  # fmt: skip

TOGETHER: tuple[str, ...] = ("{one} while {two}", "{one} and {two}", "{one}, and {two}", "{one} as {two}")
NEXT: tuple[str, ...] = ("then", "and then", "and after that", "and a moment later", "and next")
NEXT_SENTENCE: tuple[str, ...] = (
    "then",
    "after that,",
    "next,",
    "now",
    "a moment later,",
    "soon",
    "in the next moment",
)
FIRST: tuple[str, ...] = ("", "", "", "first", "at first,", "to begin with,")
SIDES: tuple[str, ...] = ("left", "right")
PRONOUNS: tuple[str, ...] = ("he", "she")

CAMERAS: dict[str, tuple[str, ...]] = {
    "static": (
        "The camera stays where it is.", "The camera keeps still and looks on.", "The camera stays still.",
            "The camera does not move.", "The view stays the same.", "The camera stands still.", "The camera rests."),
    "pan": (
        "The camera glides gently to the {side}.", "The view moves slowly to the {side}.",
            "The camera slowly moves to the {side}.", "The camera pans to the {side}.",
            "The camera slowly pans {side}.", "The view slides to the {side}."),
    "zoom_in": (
        "The camera gently moves nearer.", "The view grows closer little by little.", "The camera slowly zooms in.",
            "The camera zooms in.", "The camera comes closer and closer.", "The camera moves in closer."),
    "zoom_out": (
        "The camera gently moves away.", "The view grows wider little by little.", "The camera slowly zooms out.",
            "The camera zooms out.", "The camera moves back and shows more.", "The camera goes farther away."),
    "close_up": (
        "The camera is near and {A} fills the picture.", "In this close view we look right at {A}.",
            "This is a close view of {A}.", "The camera is very close to {A}.", "We see {A} from close by.",
            "The camera shows {A} from close by."),
    "close_up pair": ("This is a close view.", "The camera is very close.", "We see it from close by."),
    "follow": ("The camera follows {A}.", "The camera goes along with {A}.", "The camera moves along with {A}."),
    "follow pair": ("The camera follows them.", "The camera goes along with them.",
        "The camera moves along with them."),
}  # fmt: skip

SENTENCES: tuple[str, ...] = ("{place}, {clause}.", "{clause} {place}.", "{time}, {clause} {place}.")
OPENINGS: tuple[str, ...] = (
    "This is a story about {cast}.",
    "Here is a tale of {cast}.",
    "The heroes of this story are {cast}.",
    "Today we meet {cast}.",
)
OPENING_ONE: tuple[str, ...] = (
    "This is a story about {cast}.",
    "Here is a tale of {cast}.",
    "The hero of this story is {cast}.",
    "Today we meet {cast}.",
)
BEGINNINGS: tuple[str, ...] = ("It begins {place}.", "The story begins {place}.", "It all starts {place}.")
ENDINGS: tuple[str, ...] = (
    "That is how the story ends.",
    "So the story ends {place}.",
    "And that is the end.",
    "It all ends {place}.",
)
PORTRAITS: tuple[str, ...] = ("{name} is a {colour} {species}.", "{name} is the {colour} {species}.")
PLEASANTRIES: tuple[str, ...] = (
    "What a day it is.",
    "There is a lot to see.",
    "Everybody has something to do.",
    "Nobody knows what comes next.",
    "It is a short story.",
    "Let us see what happens.",
)
