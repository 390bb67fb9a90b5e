"""The writer with a language model: format 1, 2, 3, each saved when it is done, the paragraphs one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from storyreel.geometry import SEGMENT_SECONDS, STAGE_SECONDS, check_seconds
from storyreel.llm.asking import Asker, Complaint, Question
from storyreel.llm.prices import LETTERS_A_TOKEN, Estimate
from storyreel.llm.prompts import Prompt, load_prompt
from storyreel.storyboard.findings import Finding
from storyreel.storyboard.lint import inspect_storyboard, mend_storyboard
from storyreel.storyboard.schema import Storyboard, StoryboardSegment
from storyreel.writing.clauses import split_sentences
from storyreel.writing.narrative import (
    Look,
    NarrativePlan,
    NarrativeStage,
    Paragraph,
    Retold,
    check_plan,
    check_retold,
    with_borders,
)
from storyreel.writing.rules import Written, plot_title, read_plot_file
from storyreel.writing.stages import PlotStage, StageFolder, digest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROMPTS = "storyreel.storyboard"
LEAST_SENTENCES, MOST_SENTENCES = 5, 8
"""Of format 1, for a whole minute; a shorter video has no more sentences than segments."""
SEGMENTS_A_SENTENCE = 3
PARAGRAPHS_BEFORE = 4
MOST_TOKENS = {"sentences": 2048, "beats": 8192, "paragraph": 2048}
USUAL_TOKENS = {"sentences": 300, "beats": 300, "paragraph": 180}
"""Of an answer; of beats for each ten segments. For the estimate, with a third more for answers that are sent back."""
TRIED_AGAIN = 4 / 3
WORDS_A_TOKEN = 0.6
MOST_WORDS = 120
MOST_KNOWN_WORDS = 2000
"""A tokenizer with more words than this has no vocabulary to keep to."""
NOT_OF_ONE_PARAGRAPH = ("count", "borders", "negative")
OnStage = Callable[[str, int, int], None]
"""Told (what, done, of how many)."""


@dataclass(frozen=True)
class Reader:
    """The video model that will read the storyboard: its tokenizer, and tokens a text may have in so many seconds.

    `words` is its whole vocabulary where that is small, else empty.
    """

    tokenizer: PreTrainedTokenizerBase
    limit: Callable[[int], int]
    words: tuple[str, ...] = ()


def fitting_length(sentences: int) -> int:
    """Seconds of the stage that gives each sentence of a plot some three segments; 63 at most."""
    wanted = SEGMENT_SECONDS * SEGMENTS_A_SENTENCE * sentences
    return next((stage for stage in STAGE_SECONDS[1:] if stage >= wanted), STAGE_SECONDS[-1])


@dataclass
class ModelWriter:
    """Writes one plot to one file. `on_plan` is told the cost before the first call, `on_stage` what is done."""

    asker: Asker
    reader: Reader
    seed: int = 0
    on_plan: Callable[[str], None] = lambda line: None
    on_stage: OnStage = lambda what, done, total: None

    def write(self, plot: Path, out: Path, seconds: int | None = None, again: bool = False) -> Written:
        """The storyboard of a plot file, written to `out` with its stages beside it; saved stages are gone on from.

        Nothing is asked before it is known that the result may be written and what it will cost. ServiceError,
        StoryboardError, ConfigError or OutputError, one line; stages that are done by then stay.
        """
        text = read_plot_file(plot)
        if seconds is not None:
            check_seconds(seconds)
        segments = (seconds or fitting_length(len(split_sentences(text)))) // SEGMENT_SECONDS
        stages = StageFolder(out, again)
        kept: list[str] = []

        of_plot = digest([text, "model", segments])
        first = stages.kept("1.plot", of_plot, PlotStage)
        of_beats = digest([first.model_dump(), segments, "model"]) if first else ""
        second = stages.kept("2.beats", of_beats, NarrativeStage)
        if second is not None:
            kept += ["plot", "beats"]
            of_board = digest([second.model_dump(), self.seed, "model"])
            if (third := stages.kept_storyboard(of_board)) is not None:
                return Written(third, (), ("plot", "beats", "storyboard"))
        elif first is not None:
            kept.append("plot")
        locked = stages.locked(len(second.beats) if second else segments)
        self.on_plan(self.asker.budget.check(self._estimate(text, first, second, segments, len(locked))))

        if first is None:
            first = self._retell(text, segments)
            stages.save("1.plot", of_plot, first)
            of_beats = digest([first.model_dump(), segments, "model"])
        if second is None:
            second = self._plan(first, segments, locked)
            stages.save("2.beats", of_beats, second)
        board, findings = self._tell(second, locked)
        stages.save_storyboard(digest([second.model_dump(), self.seed, "model"]), board)
        return Written(board, tuple(findings), tuple(kept))

    def _retell(self, text: str, segments: int) -> PlotStage:
        sentences = split_sentences(text)
        least, most = min(LEAST_SENTENCES, segments), min(MOST_SENTENCES, segments)
        if least <= len(sentences) <= most:
            return PlotStage(title=plot_title(sentences), sentences=sentences)
        self.on_stage("plot", 0, 1)
        prompt = load_prompt(PROMPTS, "sentences")
        answer = self.asker.ask(
            Question(
                prompt,
                prompt.filled(least=least, most=most, plot=text.strip(), words=self._words()),
                Retold,
                "the plot",
                MOST_TOKENS["sentences"],
                seed=self.seed,
                check=lambda retold: list(check_retold(retold, least, most)),
            )
        ).value
        return PlotStage(title=answer.title, sentences=answer.sentences)

    def _plan(self, plot: PlotStage, segments: int, locked: Mapping[int, StoryboardSegment]) -> NarrativeStage:
        self.on_stage("beats", 0, 1)
        prompt = load_prompt(PROMPTS, "beats")
        fixed = "".join(f"Segment {i + 1} is written already; its beat must say the same: {own.text}\n"
                        for i, own in sorted(locked.items()))  # fmt: skip
        question = Question(
            prompt,
            prompt.filled(
                count=segments, title=plot.title, sentences=_numbered(plot.sentences), fixed=fixed, words=self._words()
            ),
            NarrativePlan,
            "the beats",
            MOST_TOKENS["beats"],
            seed=self.seed,
            check=lambda plan: list(check_plan(plan, len(plot.sentences), segments)),
        )
        plan = self.asker.ask(question).value
        return NarrativeStage(
            title=plot.title, characters=plan.characters, places=plan.places, beats=with_borders(plan.beats)
        )

    def _tell(self, stage: NarrativeStage, locked: Mapping[int, StoryboardSegment]) -> tuple[Storyboard, list[Finding]]:
        prompt = load_prompt(PROMPTS, "paragraph")
        segments: list[StoryboardSegment] = []
        count = len(stage.beats)
        for number in range(count):
            self.on_stage("paragraphs", number, count)
            if number in locked:
                segments.append(locked[number])
                continue
            question = self._question(prompt, stage, segments, number)
            text = self.asker.ask(question).value.text
            segments.append(self._with(stage, segments, number, text).segments[number])
        self.on_stage("paragraphs", count, count)
        board = Storyboard(title=stage.title, segments=segments)
        findings = inspect_storyboard(board, self.reader.tokenizer, self.reader.limit(board.seconds))
        return board, [own for own in findings if own.level != "note"]

    def _question(
        self, prompt: Prompt, stage: NarrativeStage, segments: Sequence[StoryboardSegment], number: int
    ) -> Question[Paragraph]:
        beat, seconds = stage.beats[number], SEGMENT_SECONDS * len(stage.beats)
        limit = self.reader.limit(seconds)
        before = segments[-PARAGRAPHS_BEFORE:]
        text = prompt.filled(
            characters=_looks(stage.characters),
            places=_looks(stage.places),
            beats=_numbered([own.text for own in stage.beats]),
            before="\n".join(f"{number - len(before) + i + 1}. {own.text}" for i, own in enumerate(before)) or "(none)",
            words=self._words(),
            number=number + 1,
            most_words=min(MOST_WORDS, int(limit * WORDS_A_TOKEN)),
            place=beat.place,
            mark="A new scene begins with it." if beat.scene_start else "The scene goes on.",
            beat=beat.text,
        )
        return Question(
            prompt,
            text,
            Paragraph,
            f"segment {number + 1}",
            MOST_TOKENS["paragraph"],
            seed=self.seed,
            check=lambda paragraph: self._complaints(stage, segments, number, paragraph.text),
        )

    def _with(self, stage: NarrativeStage, segments: Sequence[StoryboardSegment], number: int, text: str) -> Storyboard:
        """The storyboard up to a new paragraph, which is mended where that is safe."""
        new = StoryboardSegment(text=text, scene_start=stage.beats[number].scene_start)
        mended = mend_storyboard(Storyboard(segments=[new]), self.reader.tokenizer).segments[0]
        mended = mended.model_copy(update={"scene_start": new.scene_start})
        return Storyboard(segments=[*segments, mended])

    def _complaints(
        self, stage: NarrativeStage, segments: Sequence[StoryboardSegment], number: int, text: str
    ) -> list[Complaint]:
        """What our lint has against a paragraph: errors must be mended, warnings should."""
        board = self._with(stage, segments, number, text)
        limit = self.reader.limit(SEGMENT_SECONDS * len(stage.beats))
        found = inspect_storyboard(board, self.reader.tokenizer, limit)
        return [
            Complaint(f"{own.message} {own.remedy}".strip(), must=own.level == "error")
            for own in found
            if own.segment == number + 1
            and own.rule not in NOT_OF_ONE_PARAGRAPH
            and (own.level != "note" or own.rule == "paragraph")
        ]

    def _words(self) -> str:
        if not self.reader.words:
            return ""
        return f"\nUse no other words than these, and names: {' '.join(self.reader.words)}\n"

    def _estimate(
        self, text: str, first: PlotStage | None, second: NarrativeStage | None, segments: int, locked: int
    ) -> Estimate:
        """A guess at the calls that are left, without those that are answered already."""
        words = len(self._words()) // LETTERS_A_TOKEN
        told = len(text) // LETTERS_A_TOKEN
        beats = USUAL_TOKENS["beats"] * (1 + segments // 10)
        total = _guess(len(second.beats) if second else segments, locked, words, beats)
        if second is None:
            total += _call("beats", words + told, beats)
        sentences = len(split_sentences(text))
        within = min(LEAST_SENTENCES, segments) <= sentences <= min(MOST_SENTENCES, segments)
        if first is None and not within:
            total += _call("sentences", words + told, USUAL_TOKENS["sentences"])
        return total


def known_vocabulary(words: frozenset[str]) -> tuple[str, ...]:
    """The words to keep to: all of a small vocabulary, none of a large one."""
    return tuple(sorted(own for own in words if own.isalpha())) if len(words) <= MOST_KNOWN_WORDS else ()


def _guess(segments: int, locked: int, words: int, beats: int) -> Estimate:
    before = PARAGRAPHS_BEFORE * USUAL_TOKENS["paragraph"]
    one = _call("paragraph", words + beats + before, USUAL_TOKENS["paragraph"])
    left = segments - locked
    return Estimate(left, left * one.tokens_in, left * one.tokens_out)


def _call(name: str, tokens_in: int, tokens_out: int) -> Estimate:
    prompt = load_prompt(PROMPTS, name)
    own = (len(prompt.instructions) + len(prompt.question)) // LETTERS_A_TOKEN
    return Estimate(1, round((own + tokens_in) * TRIED_AGAIN), round(tokens_out * TRIED_AGAIN))


def _numbered(lines: Sequence[str]) -> str:
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, start=1))


def _looks(looks: Sequence[Look]) -> str:
    return "\n".join(f"{own.name}: {own.look}" for own in looks) or "(nobody)"
