"""A served pair as a page shows it: nothing in it tells which methods made the clips."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from storyreel.arena.clips.library import Clip
from storyreel.arena.store.records import OpenPair
from storyreel.arena.study import Study
from storyreel.arena.votes import Winner
from storyreel.arena.web.sealed import Sealer

SIDES = ("left", "right")
ANSWERS: Mapping[str, Winner] = {"left": "model_a", "right": "model_b", "tie": "tie"}
FIELD = "answer-"
MOST_REMEMBERED = 10_000
Remembered = TypeVar("Remembered")


@dataclass(frozen=True)
class Question:
    """One axis of a pair: the name of its field in the form, and the question."""

    field: str
    axis: str
    text: str


@dataclass(frozen=True)
class Viewing:
    """What a rater sees of a pair. `clips`: addresses of the left and the right one.

    `total` is what the study asks of a rater, without the hidden checks, which nothing here may tell from others.
    """

    pair: str
    clips: tuple[str, str]
    width: int
    height: int
    seconds: float
    rate: float
    story: str
    questions: tuple[Question, ...]
    ties: bool
    started: bool
    done: int
    total: int


class Hall:
    """Where viewings are put together, and where the clips of open ones are found by their names."""

    def __init__(
        self, study: Study, clips: Mapping[tuple[str, str], Clip], storyboards: Mapping[str, str], sealer: Sealer
    ) -> None:
        self.study, self._clips, self._sealer = study, clips, sealer
        self._storyboards = storyboards
        self._open: OrderedDict[str, dict[str, Clip]] = OrderedDict()
        self._shown: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._ahead: OrderedDict[str, tuple[OpenPair, int]] = OrderedDict()
        self._questions = {
            axis.name: Question(f"{FIELD}{number}", axis.name, axis.question) for number, axis in enumerate(study.axes)
        }

    def viewing(self, pair: OpenPair, done: int) -> Viewing:
        """The page of a pair, for a rater who has answered `done` pairs before."""
        names = self.open(pair)
        _remember(self._shown, pair.served.rater, (pair.pair_id, done))
        clip = next(iter(names.values()))
        left, right = (f"/clip/{name}.mp4" for name in names)
        return Viewing(
            pair.pair_id, (left, right), clip.width, clip.height, clip.seconds, clip.rate,
            self._storyboards.get(pair.served.story, ""), self.questions(pair), self.study.ties, pair.started, done,
            self._total(),
        )  # fmt: skip

    def questions(self, pair: OpenPair) -> tuple[Question, ...]:
        return tuple(self._questions[axis] for axis in pair.served.axes)

    def fields(self) -> list[str]:
        """Every answer's name in any form."""
        return [question.field for question in self._questions.values()]

    def answers(self, form: Mapping[str, str]) -> dict[str, Winner] | None:
        """The answers of a form by axis; None where one is no answer."""
        given = {question.axis: form[question.field] for question in self._questions.values() if question.field in form}
        if not set(given.values()) <= ANSWERS.keys():
            return None
        return {axis: ANSWERS[answer] for axis, answer in given.items()}

    def open(self, pair: OpenPair) -> dict[str, Clip]:
        """Clips of a pair by the names under which its rater may fetch them, left first; remembered by rater."""
        served = pair.served
        methods = dict(zip(SIDES, (served.left, served.right), strict=True))
        names = {
            self._sealer.clip_name(pair.pair_id, pair.attempt, side): self._clips[method, served.story]
            for side, method in methods.items()
        }
        _remember(self._open, served.rater, names)
        return names

    def voted(self, rater: str, pair_id: str, following: OpenPair | None) -> None:
        """The rater has answered, and `following` is served: it can be shown once without asking the store again."""
        self._open.pop(rater, None)
        self._ahead.pop(rater, None)
        before, done = self._shown.pop(rater, ("", 0))
        if following is not None and before == pair_id:
            _remember(self._ahead, rater, (following, done + 1))

    def ahead(self, rater: str) -> Viewing | None:
        """What `voted` left to be shown, once: after that a reload asks the store."""
        pair, done = self._ahead.pop(rater, (None, 0))
        return self.viewing(pair, done) if pair else None

    def _total(self) -> int:
        return self.study.votes_per_axis * (1 if self.study.all_axes_a_viewing else len(self.study.axes))

    def close(self, rater: str) -> None:
        """The rater's pair is over: its clips' names mean nothing any more."""
        self._open.pop(rater, None)
        self._ahead.pop(rater, None)

    def clip(self, rater: str, name: str) -> Clip | None:
        """The clip that the rater may fetch by this name; None also where the server does not remember (`open` it)."""
        return self._open.get(rater, {}).get(name)


def _remember(kept: OrderedDict[str, Remembered], rater: str, what: Remembered) -> None:
    kept[rater] = what
    kept.move_to_end(rater)
    while len(kept) > MOST_REMEMBERED:
        kept.popitem(last=False)
