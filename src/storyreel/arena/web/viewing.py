"""A served pair as a page shows it: nothing in it tells which methods made the clips."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from storyreel.arena.clips.library import Clip
from storyreel.arena.store.records import OpenPair
from storyreel.arena.study import Study
from storyreel.arena.votes import Winner
from storyreel.arena.web.sealed import Sealer

SIDES = ("left", "right")
ANSWERS: Mapping[str, Winner] = {"left": "model_a", "right": "model_b", "tie": "tie"}
FIELD = "answer-"
MOST_REMEMBERED = 10_000


@dataclass(frozen=True)
class Question:
    """One axis of a pair: the name of its field in the form, and the question."""

    field: str
    axis: str
    text: str


@dataclass(frozen=True)
class Viewing:
    """What a rater sees of a pair. `clips`: addresses of the left and the right one."""

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


class Hall:
    """Where viewings are put together, and where the clips of open ones are found by their names."""

    def __init__(
        self, study: Study, clips: Mapping[tuple[str, str], Clip], storyboards: Mapping[str, str], sealer: Sealer
    ) -> None:
        self.study, self._clips, self._sealer = study, clips, sealer
        self._storyboards = storyboards
        self._open: OrderedDict[str, dict[str, Clip]] = OrderedDict()
        self._questions = {
            axis.name: Question(f"{FIELD}{number}", axis.name, axis.question) for number, axis in enumerate(study.axes)
        }

    def viewing(self, pair: OpenPair) -> Viewing:
        names = self.open(pair)
        clip = next(iter(names.values()))
        left, right = (f"/clip/{name}.mp4" for name in names)
        return Viewing(
            pair.pair_id, (left, right), clip.width, clip.height, clip.seconds, clip.rate,
            self._storyboards.get(pair.served.story, ""), self.questions(pair), self.study.ties, pair.started,
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
        self._open[served.rater] = names
        self._open.move_to_end(served.rater)
        while len(self._open) > MOST_REMEMBERED:
            self._open.popitem(last=False)
        return names

    def close(self, rater: str) -> None:
        """The rater's pair is over: its clips' names mean nothing any more."""
        self._open.pop(rater, None)

    def clip(self, rater: str, name: str) -> Clip | None:
        """The clip that the rater may fetch by this name; None also where the server does not remember (`open` it)."""
        return self._open.get(rater, {}).get(name)
