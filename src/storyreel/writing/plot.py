"""A plot in plain English becomes events: who does what, where and when, in the notation of toons/deeds.py.

The reader is a table and a left-to-right walk, no model: sentences of the kind "A cat eats a pie in the kitchen while a
mouse watches." Whatever it cannot read, or reads as something near, becomes a finding; nothing is left out in silence.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import replace

from storyreel.models.words import lemmas_of
from storyreel.storyboard.findings import Finding
from storyreel.toons.script import PlaceKind, PropKind, TimeOfDay
from storyreel.writing import lexicon
from storyreel.writing.casting import Casting
from storyreel.writing.clauses import Clause, Event, in_words, moves
from storyreel.writing.lexicon import Meaning, look_up, word_set

_WORD = re.compile(r"[A-Za-z][A-Za-z-]*(?:['’][a-z]+)?|[,;:]")
_SPEECH = re.compile(r"[\"“][^\"”]*[\"”]")
_PLACE = re.compile(r"\b(living|sitting|drawing|dining|bath|bed) ?rooms?\b", re.IGNORECASE)
_ROOMS = {"living": "lounge", "sitting": "lounge", "drawing": "lounge", "dining": "kitchen", "bath": "bathroom"}
_DETERMINERS = word_set("a an the his her its their my our your this that every each some another two three")
_BOUNDARIES = word_set("and , ; : while as then but because when so until after before whereupon or")
_TOGETHER = frozenset(("while", "as", "and", ","))
_TARGET = frozenset(("to", "into", "toward", "towards", "onto"))
_SOURCE = frozenset(("from", "of", "leaving"))
_COLOURS = word_set("red blue green yellow orange purple violet pink brown tan grey gray white black golden ginger")
_PRONOUNS = frozenset(("he", "she", "it", "they", "him", "her", "them"))
_MANY = word_set("two three four five many several another second")
_BE_HAVE = word_set("is are was were has have had do does did")
_ADVERBS = lexicon.STOP_WORDS | {"not"}


def read_plot(sentences: list[str]) -> tuple[list[Event], list[Finding]]:
    """The events of a plot's sentences, and what the reader could not read as it stands."""
    reader = _Reader(sentences)
    for number, sentence in enumerate(sentences, start=1):
        reader.read(number, sentence)
    return reader.finish()


class _Reader:
    """The walk over a plot, with what later sentences may refer to."""

    def __init__(self, sentences: list[str]) -> None:
        self.casting = Casting(" ".join(sentences))
        self.events: list[Event] = []
        self.findings: list[Finding] = []
        self.place: PlaceKind | None = None
        self.time: TimeOfDay = "day"
        self.subjects: list[str] = []
        self.mentioned: list[str] = []
        self.prop: PropKind | None = None
        self.number = 0

    def finish(self) -> tuple[list[Event], list[Finding]]:
        """All events, with a place for those before the first that is told."""
        first = next((event.place for event in self.events if event.place), None)
        if first is None and self.events:
            eats = any(" eat " in event.deeds for event in self.events)
            first = "kitchen" if eats else "garden"
            message = f"no place is told; the story plays in the {first}."
            self.findings.append(Finding("note", "place", message, 'Say where, as in "in the street".'))
        events = [event if event.place else replace(event, place=first) for event in self.events]
        order = sorted([*self.casting.findings, *self.findings], key=lambda own: own.sentence or 0)
        return events, order

    def read(self, number: int, sentence: str) -> None:
        """One sentence: its events, and a finding for each word that means nothing here."""
        self.number = number
        self.emitted = 0
        if _SPEECH.search(sentence):
            self._find("warning", "speech", "speech cannot be drawn and is left out.", "Tell what is done.")
            sentence = _SPEECH.sub(",", sentence)
        text = _PLACE.sub(lambda found: _ROOMS.get(found[1].lower(), found[0].replace(" ", "")), sentence)
        self.words = [word.replace("’", "'") for word in _WORD.findall(text)]
        self.clause = Clause()
        self.sets_scene = sentence != text and not _WORD.search(text.replace(",", ""))
        self.at = 0
        while self.at < len(self.words):
            self.at += self._step()
        self._close()
        self._leftovers()
        if not self.emitted and not self.sets_scene:
            self._find(
                "error", "nothing happens", f'nothing that can be drawn happens in "{sentence}".',
                "Say who does what: eats, runs, hides, gives the ball to the mouse, ...",
            )  # fmt: skip

    def _find(self, level: str, rule: str, message: str, remedy: str = "") -> None:
        kind = "error" if level == "error" else "warning" if level == "warning" else "note"
        self.findings.append(Finding(kind, rule, message, remedy, sentence=self.number))

    def _low(self, ahead: int = 0) -> str:
        index = self.at + ahead
        return self.words[index].lower() if 0 <= index < len(self.words) else ""

    def _step(self) -> int:
        """Reads the word at `at`, perhaps with the next ones; how many were read."""
        word, low, clause = self.words[self.at], self._low(), self.clause
        if low in _BOUNDARIES:
            self._boundary(low)
            return 1
        if low in lexicon.NEGATIONS:
            clause.negated = True
            return 1
        if low in ("each", "one") and self._low(1) in ("other", "another"):
            clause.each_other = True
            return 2
        if low.endswith("'s"):
            return 1
        if (low in _PRONOUNS and self._is_pronoun(low)) or low in ("friend", "friends"):
            self._pronoun(low)
            return 1
        if word[0].isupper() and self.casting.is_name(word):
            self._actor(self.casting.by_name(word))
            return 1
        if span := self._verb():
            return span
        return self._noun(word, low)

    def _is_pronoun(self, low: str) -> bool:
        """Whether "her" and the like stand alone: "chases her", but "eats her pie"."""
        return low != "her" or self._low(1) in _BOUNDARIES or not self._low(1) or self._low(1) in lexicon.STOP_WORDS

    def _noun(self, word: str, low: str) -> int:
        clause = self.clause
        if (name := self.casting.by_species(low, self.number)) is not None:
            self._check_looks(name)
            self._actor(name)
        elif meaning := look_up(low, lexicon.props()):
            if low in _COLOURS:
                return 1
            self._near(low, meaning)
            prop: PropKind = next(kind for kind in lexicon.PROPS if kind == meaning.value)
            clause.props.append(prop)
        elif meaning := look_up(low, lexicon.places()):
            self._place(low, meaning)
        elif meaning := look_up(low, lexicon.times()):
            self.time = "night" if meaning.value == "night" else "day"
            self.sets_scene = True
        elif meaning := look_up(low, lexicon.moods()):
            clause.mood = meaning.value
        elif low not in lexicon.STOP_WORDS | lexicon.SKIPPED_ADJECTIVES | _COLOURS | lexicon.FURNITURE:
            clause.unknown.append(word if self.at else low)
        return 1

    def _near(self, low: str, meaning: Meaning) -> None:
        if meaning.near:
            self._find("note", "near", f'"{low}" is drawn as the {meaning.value}.')

    def _check_looks(self, name: str) -> None:
        for ahead in range(-3, 0):
            if self._low(ahead) in _COLOURS and (ahead == -1 or self._low(-1) not in lexicon.STOP_WORDS):
                self.casting.check_colour(name, self._low(ahead), self.number)
        if self._low(-1) in _MANY or (self._low(-2) in _MANY and self._low(-1) not in lexicon.STOP_WORDS):
            self.casting.one_only(name, self.number)

    def _actor(self, name: str) -> None:
        clause = self.clause
        listed = clause.others if clause.templates else clause.subjects
        if name not in listed and name not in clause.subjects:
            listed.append(name)
        self._mention(name)

    def _mention(self, name: str) -> None:
        self.mentioned = [*(own for own in self.mentioned if own != name), name]

    def _pronoun(self, low: str) -> None:
        clause = self.clause
        if clause.templates:
            clause.pronoun = low
        elif low.startswith("friend"):
            others = [name for name in self.mentioned if name not in (clause.subjects or self.subjects)]
            friend = others[-1] if others else self.casting.stand_in("friend", self.number)
            clause.subjects += [friend] if friend else []
        elif low == "they":
            clause.subjects += self.subjects if len(self.subjects) > 1 else self.mentioned[-2:]
        else:
            clause.subjects += self.subjects[:1]

    def _place(self, low: str, meaning: Meaning) -> None:
        before = [self._low(-1), self._low(-2), self._low(-3)]
        if any(word in _SOURCE for word in before[:2]):
            return
        self._near(low, meaning)
        kind: PlaceKind = next(kind for kind in lexicon.PLACES if kind == meaning.value)
        going = any(word in _TARGET for word in before) or low in ("home", "outside", "outdoors")
        if self.clause.templates and going and moves(self.clause.templates):
            self.clause.destination = kind
        else:
            self.place = kind
            self.sets_scene = True

    def _verb(self) -> int:
        """Opens a clause's deed where a verb stands here; how many words it takes, 0 where it is none."""
        span, templates = self._verb_at(self.at)
        if not span or self._is_noun(templates):
            return 0
        ahead = next((i for i in range(self.at + span, len(self.words)) if self.words[i].lower() not in _ADVERBS), 0)
        lemmas = {lemma for lemma, _ in lemmas_of(self._low())}
        leads_on = ahead and self._verb_at(ahead)[0] > 0 and ahead - self.at - span < 3
        infinitive = "to" in [self.words[i].lower() for i in range(self.at + span, ahead)] if ahead else False
        form = self.words[ahead].lower() if ahead else ""
        if leads_on and (infinitive or (lemmas & ({"be"} | lexicon.AUXILIARY) and form not in lexicon.moods())):
            if lemmas & {"want", "like", "love", "need", "hope", "plan"}:
                self._find("note", "wish", f'what somebody "{self._low()}" to do is drawn as done.')
            passive = "be" in lemmas and not form.endswith("ing")
            if passive and "by" in [word.lower() for word in self.words[ahead : ahead + 3]]:
                self.clause.passive = True
            return span
        self._open(templates, span)
        return span

    def _verb_at(self, index: int) -> tuple[int, tuple[str, ...]]:
        words = [word.lower() for word in self.words[index : index + 3]]
        if not words or (words[0] in lexicon.STOP_WORDS and words[0] not in _BE_HAVE):
            return 0, ()
        for lemma, _ in lemmas_of(words[0]):
            for span in (3, 2, 1):
                key = "_".join([lemma, *words[1:span]])
                if span <= len(words) and key in lexicon.verbs():
                    return span, lexicon.verbs()[key]
        lead = any(lemma in lexicon.AUXILIARY for lemma, _ in lemmas_of(words[0]))
        return (1, ()) if lead else (0, ())

    def _is_noun(self, templates: tuple[str, ...]) -> bool:
        """Whether a word that could be a verb stands behind an article or an adjective: "the drum", "a little walk"."""
        low, before, ahead = self._low(), self._low(-1), self._low(1)
        if not templates:
            return False
        if before in _DETERMINERS and before != "that":
            return True
        is_thing = any(look_up(low, table) for table in (lexicon.props(), lexicon.places(), lexicon.times()))
        adjective = before in lexicon.SKIPPED_ADJECTIVES | _COLOURS or look_up(before, lexicon.moods()) is not None
        return (adjective and self._low(-2) in _DETERMINERS) or (is_thing and not ahead)

    def _open(self, templates: tuple[str, ...], span: int) -> None:
        clause = self.clause
        if clause.templates:
            self._close()
            clause = self.clause
        if not clause.subjects and clause.unknown:
            head = clause.unknown.pop()
            name = self.casting.stand_in(head, self.number)
            if name:
                self._actor(name)
        clause.verb, clause.templates = self._low(), templates

    def _boundary(self, low: str) -> None:
        if self.clause.templates:
            self._close()
        elif low not in ("and", ",", "or") or (low == "," and not self.clause.subjects):
            self._leftovers()
            self.clause = Clause(mood=self.clause.mood)
        self.clause.together = low in _TOGETHER and (self.clause.together or low != ",")
        if low == "then":
            self.clause.together = False

    def _leftovers(self) -> None:
        """What was named without a verb: a second thing, somebody who is just there, words without a meaning."""
        clause = self.clause
        for name in clause.subjects if not clause.templates else ():
            if self.events and all(name not in event.who for event in self.events[-2:]):
                self._emit(f"{name} watch", together=True)
        for word in clause.unknown:
            near = difflib.get_close_matches(word.lower(), sorted(lexicon.known_to_plots()), 2, 0.7)
            hint = f"Nearest known: {', '.join(near)}." if near else "Say it in simpler words."
            self._find("warning", "unknown word", f'"{word}" has no picture in the cartoon and is left out.', hint)
        self.clause = Clause()

    def _close(self) -> None:
        """The deed of the clause that ends here becomes an event."""
        clause = self.clause
        if not clause.templates:
            return
        subjects = clause.subjects or self.subjects
        if not subjects and clause.others:
            subjects, clause.others = clause.others, []
        if clause.passive and clause.others:
            subjects, clause.others = clause.others[:1], subjects
        if clause.negated:
            self._find("warning", "negation", f'what somebody does not do ("{clause.verb}") cannot be drawn.')
        elif not subjects and self.sets_scene and clause.templates == ("A stand",):
            pass
        elif not subjects:
            message = f'nobody is named who does what "{clause.verb}" says; it is left out.'
            self._find("error", "nobody", message, "Begin the sentence with who does it.")
        else:
            self.prop = clause.props[-1] if clause.props else self.prop
            self._perform(clause, subjects)
            self.subjects = subjects
        self.clause = Clause(unknown=clause.unknown)
        self._leftovers()

    def _perform(self, clause: Clause, subjects: list[str]) -> None:
        template = self._choose(clause, subjects)
        if template.startswith("~"):
            template = template[1:]
            shown = in_words(template)
            self._find("note", "near", f'"{clause.verb}" is drawn as something near: {shown}.')
        verb = template.split()[1]
        if verb == "ring" and self.place not in ("street", "garden"):
            self.place = "street"
        phases = template.split(" / ")
        if clause.destination and verb == "flee":
            self.place = clause.destination
        elif clause.destination and clause.destination != self.place:
            runs = verb in ("dash", "runout", "runin", "runto")
            away, back = ("runout", "runin") if runs else ("out", "in")
            here = [name for name in subjects if any(name in event.who for event in self.events[-4:])]
            if here and self.place is not None:
                self._emit(" & ".join(f"{name} {away}" for name in here))
            self.place = clause.destination
            phases = [f"A {back}"]
        for number, phase in enumerate(phases):
            deeds: list[str] = []
            for name in subjects[:1] if "T>B" in phase and len(subjects) > 1 and not clause.others else subjects:
                other = self._other(clause, name, subjects)
                for deed in phase.split(" & "):
                    filled = self._filled(deed, name, other, clause)
                    if all(filled.split()[0] != own.split()[0] for own in deeds):
                        deeds.append(filled)
            self._emit(" & ".join(deeds), together=clause.together and number == 0)

    def _filled(self, deed: str, name: str, other: str, clause: Clause) -> str:
        prop = clause.props[0] if clause.props else self.prop or "pie"
        words = [{"A": name, "B": other, "T": prop, "T>B": f"{prop}>{other}"}.get(word, word) for word in deed.split()]
        filled = " ".join(words)
        if clause.mood and clause.mood != "calm" and words[0] == name and ":" not in filled:
            filled += f":{clause.mood}"
        return filled

    def _choose(self, clause: Clause, subjects: list[str]) -> str:
        """The first template for which the clause has everything; a thing or somebody unknown gets a stand-in."""
        first = clause.templates[0]
        needs_thing, needs_other = " T" in first, "B" in first.replace("T>B", "B")
        has_other = bool(self._other(clause, subjects[0], subjects))
        if needs_thing and not clause.props:
            if clause.unknown:
                word = clause.unknown.pop().lower()
                clause.props.append(self.casting.thing_for(word, self.number, food=" eat " in f" {first} "))
            elif clause.pronoun in ("it", "them") and self.prop:
                clause.props.append(self.prop)
            elif " eat " in f" {first} ":
                prop = self.prop if self.prop in lexicon.FOOD else "pie"
                clause.props.append(prop)
                self._find("note", "thing", f'what "{clause.verb}" is about is not told; the {prop} is shown.')
        elif needs_other and not has_other and clause.unknown:
            name = self.casting.stand_in(clause.unknown.pop(), self.number)
            clause.others += [name] if name else []
            has_other = bool(clause.others)
        for template in clause.templates:
            wants_other = "B" in template.replace("T>B", "B")
            if (" T" not in template or clause.props) and (not wants_other or has_other):
                return template
        return "A look"

    def _other(self, clause: Clause, name: str, subjects: list[str]) -> str:
        """To whom a deed is done: who is named, who a pronoun means, or each to the other."""
        partner = next((own for own in subjects if own != name), "")
        if clause.each_other:
            return partner
        named = next((own for own in clause.others if own != name), "")
        if named:
            return named
        if clause.pronoun:
            return next((own for own in reversed(self.mentioned) if own not in subjects), "")
        return partner if "race" in clause.templates[0] or "T>B" in clause.templates[0] else ""

    def _emit(self, deeds: str, together: bool = False) -> None:
        self.emitted += 1
        event = Event(deeds, self.number, self.place, self.time, together)
        last = self.events[-1] if self.events else None
        leaves = last is not None and re.fullmatch(r"(\w+) (run)?out(:\w+)?", last.deeds)
        if last and leaves and "chase" in deeds and last.who[0] in event.who:
            self.events.pop()  # whoever is chased runs away just so
            last = None
        if (
            last and together and last.sentence == self.number and (last.place, last.time) == (self.place, self.time)
            and not set(last.who) & set(event.who) and len(last.who) + len(event.who) <= 3
        ):  # fmt: skip
            self.events[-1] = replace(last, deeds=f"{last.deeds} & {deeds}")
        else:
            self.events.append(event)
