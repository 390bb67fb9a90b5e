"""The writer by rules: from a plot to a storyboard without a model and without a network."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from storyreel.errors import StoryboardError, refusal
from storyreel.geometry import SEGMENT_SECONDS, check_seconds
from storyreel.storyboard.findings import Finding
from storyreel.storyboard.schema import Storyboard
from storyreel.writing.beats import Beat, fitting_seconds, spread
from storyreel.writing.clauses import split_sentences
from storyreel.writing.plot import read_plot
from storyreel.writing.stages import BeatStage, PlotStage, StageFolder, digest
from storyreel.writing.telling import tell

MOST_CHARACTERS = 20_000


@dataclass(frozen=True)
class Written:
    """A storyboard, what its writer had to say, and which stages were found saved ("plot", "beats", "storyboard")."""

    storyboard: Storyboard
    findings: tuple[Finding, ...]
    kept: tuple[str, ...] = ()


def read_plot_file(path: Path) -> str:
    """A plot's text. StoryboardError, one line: no such file, not UTF-8, empty, far too long."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise StoryboardError(f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from None
    except OSError as error:
        why = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise StoryboardError(f"{path}: {why}.") from None
    if not split_sentences(text):
        raise StoryboardError(f"{path} holds no sentence. A plot is: A cat eats a pie. A mouse steals it.")
    if len(text) > MOST_CHARACTERS:
        way_out = "Tell it in 5 to 8 sentences"
        raise StoryboardError(refusal(str(path), f"{len(text)} characters long", "a plot is short", way_out))
    return text


@functools.lru_cache(maxsize=4)
def write_text(text: str, seconds: int | None = None, seed: int = 0) -> Written:
    """The storyboard of a plot's text, nothing saved. `seconds` None: as short as the plot can be told at ease.

    Always the same for the same arguments. StoryboardError or ConfigError, one line, where there is none.
    """
    sentences = split_sentences(text)
    beats, findings = _beats(sentences, seconds)
    storyboard, changes = tell(beats, plot_title(sentences), seed)
    return Written(storyboard, (*findings, *changes))


def write_plot(plot: Path, out: Path, seconds: int | None = None, seed: int = 0, again: bool = False) -> Written:
    """Writes the storyboard of a plot file to `out`, its stages beside it, and goes on from stages that are there.

    `seconds` as in `write_text`; `again` begins anew from the plot. Locked segments of `out` stay as they are. The
    findings are those of the stages that are made now.
    """
    text = read_plot_file(plot)
    stages = StageFolder(out, again)
    kept: list[str] = []
    findings: list[Finding] = []

    first = stages.kept("1.plot", digest(text), PlotStage)
    if first is None:
        sentences = split_sentences(text)
        first = PlotStage(title=plot_title(sentences), sentences=sentences)
    else:
        kept.append("plot")

    of_beats = digest([first.model_dump(), seconds])
    second = stages.kept("2.beats", of_beats, BeatStage)
    if second is None:
        beats, findings = _beats(first.sentences, seconds)
        second = BeatStage(title=first.title, beats=beats)
    else:
        kept.append("beats")

    of_board = digest([second.model_dump(), seed])
    third = stages.kept_storyboard(of_board)
    if third is not None:
        return Written(third, tuple(findings), (*kept, "storyboard"))
    told, changes = tell(second.beats, second.title, seed)
    # Nothing is saved before all of it is known to be good.
    merged = stages.merged(told)
    if "plot" not in kept:
        stages.save("1.plot", digest(text), first)
    if "beats" not in kept:
        stages.save("2.beats", of_beats, second)
    stages.save_storyboard(of_board, merged)
    return Written(merged, (*findings, *changes), tuple(kept))


def _beats(sentences: list[str], seconds: int | None) -> tuple[list[Beat], list[Finding]]:
    if seconds is not None:
        check_seconds(seconds)
    events, findings = read_plot(sentences)
    if not events:
        why = next((f": {own.message}" for own in findings if own.level == "error"), "")
        raise StoryboardError(f"the plot has nothing that the demo model's cartoon can show{why}")
    beats, more = spread(events, (seconds or fitting_seconds(events)) // SEGMENT_SECONDS)
    return beats, findings + more


def plot_title(sentences: list[str]) -> str:
    """The first sentence, cut to 60 characters."""
    first = sentences[0].rstrip(".!?")
    return first if len(first) <= 60 else first[:57].rsplit(" ", 1)[0] + "..."
