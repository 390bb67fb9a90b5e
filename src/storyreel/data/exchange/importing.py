"""Texts of another program's data set as captions of the segments that were cut from its videos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from storyreel.data.exchange.conventions import convention
from storyreel.data.film import FilmRow
from storyreel.data.manifest import Account, Dropped, Manifest, read_manifest, read_rows
from storyreel.data.paths import relative
from storyreel.data.segments import SegmentRow
from storyreel.data.step import Job, OnItem, Outcome, Step, nobody, run_step


@dataclass(frozen=True)
class ImportConfig:
    """Which format the texts are in (`CONVENTIONS`)."""

    format: str


def run(folder: Path, segments: Path, output: Path, config: ImportConfig, *, on_item: OnItem = nobody) -> Manifest:
    """Writes the step `captions`: each segment gets the text of its video, found by the video's path in `folder`.

    `segments` (that step's folder) must have been made of the videos in `folder`. A segment whose video has no text is
    dropped, of unit "caption". DataError where the folder cannot be read as this format.
    """
    texts = {clip.video: clip.text for clip in convention(config.format).read(folder)}
    scenes = (segments / read_manifest(segments, "segments").source).resolve()
    probed = (scenes / read_manifest(scenes, "scenes").source).resolve()
    root = Path(read_manifest(probed, "probe").source)
    # The films' paths are relative to what was probed, which may be a folder in the data set, such as videos/.
    inside = relative(root, folder)
    prefix = "" if inside == "." else f"{inside}/"
    films = {film.id: prefix + film.path for film in read_rows(probed, FilmRow)}
    jobs = []
    for row in read_rows(segments, SegmentRow):
        payload = _Payload(row.id, films[row.film], texts.get(films[row.film], ""))
        jobs.append(Job(row.id, {"text": payload.text, "video": payload.video}, payload))
    source = relative(segments, output)
    return run_step(STEP, jobs, output, config, source=source, workers=1, on_item=on_item)


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
