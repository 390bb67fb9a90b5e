"""Wording: a staged shot becomes a paragraph (format 3) and a sentence (format 2), a story a plot (format 1).

Never told: collars, wallpaper, colours of things, what stands where. Everybody in view is named, nobody else is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from storyreel.toons import phrases
from storyreel.toons.names import ROLE_OF
from storyreel.toons.script import Action, PlaceKind, TimeOfDay
from storyreel.toons.staging import StagedShot, Told

MOST_TOKENS = 88
USUAL_TOKENS = 36
"""Shorter texts are worded again a few times."""


@dataclass(frozen=True)
class Words:
    """The texts of one segment, and (name, action) for each thing told."""

    text: str
    sentence: str
    actions: tuple[tuple[str, Action], ...]


@dataclass
class _Paragraph:
    """Who has been named so far, and who was the only one in the last clause."""

    rng: Random
    named: set[str] = field(default_factory=set)
    last: str = ""

    def name(self, who: str, short: bool = False) -> str:
        """A way to name a character: in full at first, shorter later on."""
        role = ROLE_OF[who]
        brief = short or who in self.named
        self.named.add(who)
        if brief:
            form = self.rng.choices(phrases.SHORT_NAMES, phrases.SHORT_NAME_WEIGHTS)[0]
        else:
            form = self.rng.choices(phrases.WHOLE_NAMES, phrases.WHOLE_NAME_WEIGHTS)[0]
        adjective = self.rng.choice(phrases.ADJECTIVES[role.species])
        return form.format(name=role.name, species=role.species, colour=role.colour, adjective=adjective)

    def subject(self, who: str) -> str:
        """Like `name`, but sometimes a pronoun for the one of whom the last clause told alone."""
        if self.last == who and self.rng.random() < 0.6:
            return ROLE_OF[who].pronoun
        return self.name(who)


class Teller:
    """Puts staged shots into words, with choices drawn from `rng`."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng

    def tell(self, kind: PlaceKind, time: TimeOfDay, shot: StagedShot, new_scene: bool) -> Words:
        """The words of one shot; at most MOST_TOKENS words and punctuation marks, 3 to 5 sentences."""
        phases = self._told(shot)
        text = ""
        for attempt in range(8):
            text = self._text(kind, time, shot, phases, new_scene, brief=attempt > 4)
            least = USUAL_TOKENS if attempt < 4 else 0
            if least <= count_tokens(text) <= MOST_TOKENS:
                break
        sentence = self._sentence(kind, time, phases)
        actions: tuple[tuple[str, Action], ...] = tuple(
            (told.deed.who, told.deed.action) for phase in phases for told in phase
        )
        return Words(text, sentence, actions)

    def _told(self, shot: StagedShot) -> list[list[Told]]:
        """The phases with those added who only stand by, sit or sleep, and those left out whom nobody sees."""
        phases = [[told for told in phase if told.deed.who in shot.in_view] for phase in shot.told]
        for number in range(len(phases) - 1, 0, -1):
            before = {(told.deed.who, told.deed.verb) for told in phases[number - 1] if told.deed.verb in _GO_ON}
            phases[number] = [told for told in phases[number] if (told.deed.who, told.deed.verb) not in before]
        doers = {told.deed.who for phase in phases for told in phase}
        for name in shot.in_view:
            if name not in doers:
                phases[-1].append(shot.bystander(name))
        return [phase for phase in phases if phase]

    def _text(
        self, kind: PlaceKind, time: TimeOfDay, shot: StagedShot, phases: list[list[Told]], new_scene: bool, brief: bool
    ) -> str:
        rng, paragraph = self.rng, _Paragraph(self.rng)
        sentences = [self._background(kind, time, new_scene)]
        if not brief and rng.random() < 0.75:
            sentences += self._positions(shot, paragraph)
        if not brief and rng.random() < 0.55:
            sentences.insert(1, rng.choice(phrases.DETAILS[time]))
        sentences += self._actions(phases, paragraph, brief, at_most=4 - len(sentences))
        sentences.append(self._camera(shot, paragraph))
        return " ".join(map(tidy, sentences))

    def _background(self, kind: PlaceKind, time: TimeOfDay, new_scene: bool) -> str:
        rng = self.rng
        forms = phrases.BACKGROUNDS if rng.random() < 0.6 else phrases.BACKGROUNDS_BY_TIME[time]
        if not new_scene and rng.random() < 0.3:
            forms = phrases.STILL_THERE
        return rng.choice(forms).format(place=rng.choice(phrases.PLACES[kind]), time=rng.choice(phrases.TIMES[time]))

    def _positions(self, shot: StagedShot, paragraph: _Paragraph) -> list[str]:
        if len(shot.left_to_right) == 2:
            left, right = shot.left_to_right
            form = self.rng.choice(phrases.POSITIONS)
            return [form.format(A=paragraph.name(left), B=paragraph.name(right))]
        if len(shot.in_view) == 1 and shot.left_to_right:
            paragraph.last = shot.in_view[0]
            return [self.rng.choice(phrases.ALONE).format(A=paragraph.name(shot.in_view[0]))]
        return []

    def _actions(self, phases: list[list[Told]], paragraph: _Paragraph, brief: bool, at_most: int) -> list[str]:
        """The phases in order, told in so many sentences at most."""
        rng = self.rng
        sentences = [
            f"{rng.choice(phrases.FIRST) if len(phases) > 1 else ''} {self._clause(phases[0], paragraph, brief)}"
        ]
        for number, phase in enumerate(phases[1:], 1):
            left = at_most - len(sentences)
            if left == 0 or (number == 1 and rng.random() < 0.45):
                same = len(phase) == 1 and paragraph.last == phase[0].deed.who and rng.random() < 0.5
                words = self._clause(phase, paragraph, brief, no_subject=same)
                sentences[-1] += f" and then {words}" if same else f", {rng.choice(phrases.NEXT)} {words}"
            else:
                sentences.append(f"{rng.choice(phrases.NEXT_SENTENCE)} {self._clause(phase, paragraph, brief)}")
        return [sentence + "." for sentence in sentences]

    def _clause(self, phase: Sequence[Told], paragraph: _Paragraph, brief: bool, no_subject: bool = False) -> str:
        rng = self.rng
        parts = []
        for told in phase:
            subject = "" if no_subject else paragraph.subject(told.deed.who) + " "
            paragraph.last = told.deed.who
            parts.append(subject + self._deed(told, paragraph, brief))
        paragraph.last = phase[0].deed.who if len(phase) == 1 and not phase[0].deed.whom else ""
        if len(parts) == 1:
            return parts[0]
        if len(parts) == 2:
            return rng.choice(phrases.TOGETHER).format(one=parts[0], two=parts[1])
        return ", ".join(parts[:-1]) + " and " + parts[-1]

    def _deed(self, told: Told, paragraph: _Paragraph, brief: bool) -> str:
        """A verb phrase with its objects, perhaps with a mood and what is held meanwhile."""
        rng, deed = self.rng, told.deed
        form = rng.choice(phrases.DEEDS[_phrase_key(told)])
        other = paragraph.name(deed.whom) if deed.whom and "{B}" in form else ""
        if not other and deed.what and "{B}" in form:
            other = thing(deed.what)
        words = form.format(B=other, T=thing(deed.what), side=told.side, F=furniture_words(told))
        mood_is_told = deed.mood == "calm" or form.split()[-1] in _TELLS_MOOD
        if not mood_is_told and not brief and rng.random() < _MOOD_TOLD.get(deed.verb, 0.6):
            words += " " + rng.choice(phrases.MOODS[deed.mood])
        elif told.holding and told.holding != deed.what and not brief and rng.random() < 0.7:
            words += " " + rng.choice(phrases.HOLDING).format(T=thing(told.holding))
        return words

    def _camera(self, shot: StagedShot, paragraph: _Paragraph) -> str:
        camera, rng = shot.camera, self.rng
        key, who = camera.kind, shot.in_view[0]
        if key == "follow":
            who = shot.tracks[0].character
        if key in ("close_up", "follow") and len(shot.in_view) > 1:
            key = f"{key} pair"
        form = rng.choice(phrases.CAMERAS[key])
        side = "right" if camera.x_to > camera.x_from else "left"
        return form.format(side=side, A=paragraph.name(who) if "{A}" in form else "")

    def _sentence(self, kind: PlaceKind, time: TimeOfDay, phases: list[list[Told]]) -> str:
        """Format 2: the shot in one sentence."""
        paragraph, rng = _Paragraph(self.rng), self.rng
        shown = phases if len(phases) < 3 else [phases[0], phases[-1]]
        clause = self._clause(shown[0], paragraph, brief=True)
        for phase in shown[1:]:
            clause += f", {rng.choice(phrases.NEXT)} {self._clause(phase, paragraph, brief=True)}"
        form = rng.choice(phrases.SENTENCES)
        return tidy(form.format(place=phrases.PLACES_SHORT[kind], clause=clause, time=rng.choice(phrases.TIMES[time])))


_A_BEFORE_VOWEL = re.compile(r"\b([Aa]) (?=[aeiou])")
_GO_ON = ("sit", "sleep", "dance", "cry", "laugh", "eat", "stand", "look", "jump")
_TELLS_MOOD = ("surprise", "fear", "joy", "tears", "smiles", "laugh", "sobs", "bump", "fall", "dream", "laughs")
_MOOD_TOLD = {
    "laugh": 0.15,
    "dance": 0.2,
    "wave": 0.15,
    "eat": 0.3,
    "cry": 0.1,
    "fall": 0.2,
    "crash": 0.2,
    "sleep": 0.1,
    "hide": 0.3,
    "jump": 0.4,
}


def _phrase_key(told: Told) -> str:
    deed = told.deed
    if deed.verb == "jump":
        return {"surprised": "jump up", "scared": "jump back"}.get(deed.mood, "jump")
    if deed.verb == "wave" and deed.whom:
        return "wave at"
    if deed.verb == "look" and (deed.whom or deed.what):
        return "look at"
    key = f"{deed.verb} still" if told.still and deed.verb in ("sit", "sleep") else deed.verb
    return f"{key} at" if deed.verb in ("sit", "sleep", "hide") and told.furniture else key


def thing(prop: str) -> str:
    """A prop with its article."""
    return next((words for kind, words in phrases.PROPS.items() if kind == prop), "")


def furniture_words(told: Told) -> str:
    """Where, by the furniture, a deed is done."""
    if told.deed.verb == "crash":
        return phrases.CRASHING_INTO[told.furniture]
    if told.deed.verb == "hide":
        return phrases.HIDING_PLACES.get(told.furniture, "")
    return phrases.SEATS.get(told.furniture, "")


def tidy(sentence: str) -> str:
    """One sentence with single spaces, no doubled commas, "an" before vowels and a capital."""
    words = " ".join(sentence.split()).replace(" ,", ",").replace(",,", ",").replace(",.", ".")
    words = _A_BEFORE_VOWEL.sub(r"\1n ", words)
    return words[:1].upper() + words[1:]


def count_tokens(text: str) -> int:
    """Words and punctuation marks, as the tokenizer counts them."""
    return len(text.replace(",", " , ").replace(".", " . ").split())


def tell_plot(rng: Random, names: Sequence[str], sentences: Sequence[str], kinds: Sequence[PlaceKind]) -> str:
    """Format 1: the story in 5 to 8 sentences; short stories are introduced at more length."""
    middle = list(sentences)
    if len(middle) > 6:
        middle = [middle[round(i * (len(middle) - 1) / 5)] for i in range(6)]
    cast = ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
    opening = rng.choice(phrases.OPENINGS if len(names) > 1 else phrases.OPENING_ONE).format(cast=cast)
    more = [rng.choice(phrases.BEGINNINGS).format(place=phrases.PLACES_SHORT[kinds[0]])]
    role = ROLE_OF[rng.choice(names)]
    more.append(rng.choice(phrases.PORTRAITS).format(name=role.name, colour=role.colour, species=role.species))
    more.append(rng.choice(phrases.PLEASANTRIES))
    more = more[: max(0, 4 - len(middle))]
    ending = rng.choice(phrases.ENDINGS).format(place=phrases.PLACES_SHORT[kinds[-1]])
    return " ".join(map(tidy, [opening, *more, *middle, ending][:8]))
