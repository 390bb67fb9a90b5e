"""Texts of another program's data set, or beside the films, as captions of the segments that were cut from its videos.

Texts that are known by the segment's id come in by `storyreel data captions --from` instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from storyreel.data.exchange.clip import read_text
from storyreel.data.exchange.conventions import CONVENTIONS, convention
from storyreel.data.film import FilmRow
from storyreel.data.manifest import Account, Dropped, Manifest, read_manifest, read_rows
from storyreel.data.paths import relative
from storyreel.data.segments import SegmentRow
from storyreel.data.step import Job, OnItem, Outcome, Step, nobody, run_step
from storyreel.errors import ConfigError, refusal
from storyreel.geometry import SEGMENT_SECONDS
from storyreel.storyboard.reader import read_storyboard

STORYBOARDS = "storyboards"


@dataclass(frozen=True)
class ImportConfig:
    """Which format the texts are in: one of `CONVENTIONS`, or `STORYBOARDS`."""

    format: str

    def __post_init__(self) -> None:
        if self.format not in (STORYBOARDS, *CONVENTIONS):
            limit = f"there are {', '.join((STORYBOARDS, *CONVENTIONS))}"
            raise ConfigError(refusal("format", self.format, limit, "Name one of them"))


def run(folder: Path, segments: Path, output: Path, config: ImportConfig, *, on_item: OnItem = nobody) -> Manifest:
    """Writes the step `captions`: each segment gets the text of its video, found by the video's path in `folder`.

    `segments` (that step's folder) must have been made of the videos in `folder`. With "storyboards" a film's text is
    in FILM.json beside it, a storyboard, of which a segment gets the paragraph of its time, or in FILM.txt, which all
    of its segments get. A segment without a text is dropped, of unit "caption". DataError where the folder cannot be
    read as this format.
    """
    scenes = (segments / read_manifest(segments, "segments").source).resolve()
    probed = (scenes / read_manifest(scenes, "scenes").source).resolve()
    root = Path(read_manifest(probed, "probe").source)
    # The films' paths are relative to what was probed, which may be a folder in the data set, such as videos/.
    inside = relative(root, folder)
    prefix = "" if inside == "." else f"{inside}/"
    films = {film.id: prefix + film.path for film in read_rows(probed, FilmRow)}
    text_of = _reader(folder, config.format)
    jobs = []
    for row in read_rows(segments, SegmentRow):
        payload = _Payload(row.id, films[row.film], text_of(films[row.film], Fraction(row.start_seconds)))
        jobs.append(Job(row.id, {"text": payload.text, "video": payload.video}, payload))
    source = relative(segments, output)
    return run_step(STEP, jobs, output, config, source=source, workers=1, on_item=on_item)


def _reader(folder: Path, name: str) -> Callable[[str, Fraction], str]:
    """(video, second at which a segment begins) -> its text, empty where there is none."""
    if name != STORYBOARDS:
        texts = {clip.video: clip.text for clip in convention(name).read(folder)}
        return lambda video, start: texts.get(video, "")
    known: dict[str, list[str]] = {}

    def text_of(video: str, start: Fraction) -> str:
        if video not in known:
            known[video] = _beside(folder / video)
        paragraphs = known[video]
        return paragraphs[min(round(start / SEGMENT_SECONDS), len(paragraphs) - 1)] if paragraphs else ""

    return text_of


def _beside(film: Path) -> list[str]:
    """Paragraphs for each 3 s of a film, one for all of them, or none."""
    board, text = film.with_suffix(".json"), film.with_suffix(".txt")
    if board.is_file():
        return [own.text for own in read_storyboard(board).segments]
    return [" ".join(read_text(text).split())] if text.is_file() else []


@dataclass(frozen=True)
class _Payload:
    segment: str
    video: str
    text: str


def _work(payload: _Payload, config: ImportConfig, output: Path) -> Outcome:
    if not payload.text:
        detail = f"the data set has no text of {payload.video}"
        dropped = Dropped(id=payload.segment, unit="caption", reason="no text", detail=detail)
        return Outcome(dropped=[dropped], accounts=[Account(unit="caption", seen=1, kept=0, dropped=1)])
    row = {"id": payload.segment, "text": payload.text, "provenance": f"imported from {config.format}"}
    return Outcome(rows=[row], accounts=[Account(unit="caption", seen=1, kept=1, dropped=0)])


STEP = Step("captions", 1, "caption", (), (), _work)
