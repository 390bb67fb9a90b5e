"""Step `captions`: a paragraph for every segment, by a vision-language model, from a file, or by people.

CAPTIONS/rows.jsonl         a CaptionRow for every segment that has a text
CAPTIONS/quality.json       faults of the texts, counted and listed
CAPTIONS/edited/ID.json     what people wrote on the annotation page; it goes before everything else
CAPTIONS/answers/           a model's answers, so that nothing is paid for twice
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from storyreel.data.caption_fields import CaptionFields, Seen
from storyreel.data.caption_quality import FEWEST_TO_JUDGE, check_share, faults_of, report
from storyreel.data.caption_texts import GivenText, check_ids, read_edited
from storyreel.data.captioner import Captioner, estimate_for, sampled_frames
from storyreel.data.files import write_whole
from storyreel.data.fingerprint import hash_of
from storyreel.data.manifest import Account, Dropped, ItemRecord, Manifest, Row, read_manifest, read_rows
from storyreel.data.paths import relative
from storyreel.data.segments import SegmentRow
from storyreel.data.step import Job, OnItem, Outcome, Step, nobody, run_step, stale_jobs
from storyreel.errors import ConfigError, refusal
from storyreel.llm.asking import Asker

QUALITY = "quality.json"


@dataclass(frozen=True)
class CaptionsConfig:
    """How captions are made.

    model: its name and server, "" for none. prompts: their names and versions. frames: shown of each segment, at most
    frame_width pixels wide. most_words: of a caption. cast: who may be named, "Name: look" a line. seed: another seed,
    other words.
    """

    model: str = ""
    prompts: str = ""
    frames: int = 4
    frame_width: int = 512
    most_words: int = 160
    cast: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.frames <= 49:
            raise ConfigError(refusal("--frames", self.frames, "a segment has 49", "Try 4"))


class CaptionRow(Row):
    """A segment's text, one line. `provenance`: the model and its prompts, the file, or "person".

    The fields are those of a model and empty for other texts; `doubts` are fields that its second look did not confirm.
    `faults`: what is wrong with the text, of `caption_quality.FAULTS`.
    """

    text: str
    provenance: str
    film: str
    shot: str
    setting: str = ""
    characters: tuple[Seen, ...] = ()
    actions: tuple[str, ...] = ()
    camera: str = ""
    doubts: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass
class _Tally:
    """Captions and faulty ones of this run so far; shared by the threads."""

    most_faulty: float
    captions: int = 0
    faulty: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, faulty: bool) -> None:
        """Counts a caption. DataError where too many are faulty to go on."""
        with self.lock:
            self.captions += 1
            self.faulty += faulty
            if self.captions >= FEWEST_TO_JUDGE:
                check_share(self.faulty, self.captions, self.most_faulty, "Look at the answers folder, then go on.")


def run(
    segments: Path,
    output: Path,
    config: CaptionsConfig,
    *,
    asker: Asker | None = None,
    given: Mapping[str, GivenText] | None = None,
    most_faulty: float = 0.2,
    at_once: int = 4,
    on_plan: Callable[[str], None] = lambda line: None,
    on_item: OnItem = nobody,
) -> Manifest:
    """Texts for the step `segments` (its folder); rows are `CaptionRow`s. An item is a shot, its segments in order.

    Where people wrote something (`output`/edited) that is the text; else `given` by id; else what `asker` is told by
    its model; a segment without any is dropped. `at_once` shots are asked for at a time. DataError where more than
    `most_faulty` (0 to 1) of the texts are faulty: on the way after 20 captions, or at the end; what is done stays.
    """
    if not 0 <= most_faulty <= 1:
        raise ConfigError(refusal("--most-faulty", most_faulty, "it is a share, 0 to 1", "Try 0.2"))
    if at_once < 1:
        raise ConfigError(refusal("--at-once", at_once, "it must be at least 1", "Try 4"))
    read_manifest(segments, "segments")
    rows = read_rows(segments, SegmentRow)
    edited = read_edited(output)
    for texts, where in ((given or {}, "--from"), (edited, str(output / "edited"))):
        check_ids(texts, (row.id for row in rows), where)
    texts = {**(given or {}), **edited}
    tally = _Tally(most_faulty)
    captioner = None if asker is None else Captioner(asker, config.frames, config.frame_width, config.cast, config.seed)
    by_shot = groupby(sorted(rows, key=lambda row: (row.shot, row.number)), key=lambda row: row.shot)
    jobs = [_job(shot, list(own), texts, segments, captioner, tally) for shot, own in by_shot]
    if asker is not None:
        todo = stale_jobs(STEP, jobs, output, config)
        left = sum(row.id not in texts for job in todo for row in job.payload.rows)
        on_plan(asker.budget.check(estimate_for(left, config.frames)))
    return run_step(
        STEP,
        jobs,
        output,
        config,
        source=relative(segments, output),
        workers=at_once,
        on_item=on_item,
        extra=lambda records: _report(output, records, most_faulty),
        run_each=_in_threads(asker.stop if asker else lambda: None),
    )


@dataclass(frozen=True)
class _Payload:
    rows: list[SegmentRow]
    texts: dict[str, GivenText]
    segments: Path
    captioner: Captioner | None
    tally: _Tally


def _job(
    shot: str,
    rows: list[SegmentRow],
    texts: Mapping[str, GivenText],
    segments: Path,
    captioner: Captioner | None,
    tally: _Tally,
) -> Job:
    own = {row.id: texts[row.id] for row in rows if row.id in texts}
    inputs = {
        "segments": hash_of([row.model_dump(mode="json") for row in rows]),
        "texts": hash_of({name: [given.text, given.provenance] for name, given in own.items()}),
    }
    return Job(shot, inputs, _Payload(rows, own, segments, captioner, tally))


def _work(payload: _Payload, config: CaptionsConfig, output: Path) -> Outcome:
    outcome = Outcome()
    before: CaptionRow | None = None
    for segment in payload.rows:
        row = _caption(payload, config, segment, before if before and segment.follows == before.id else None)
        if row is None:
            detail = "no model was asked, and nobody wrote one"
            outcome.dropped.append(Dropped(id=segment.id, unit="segment", reason="no text", detail=detail))
            continue
        before = row
        payload.tally.add(bool(row.faults))
        outcome.rows.append(row.model_dump(mode="json"))
    seen, kept = len(payload.rows), len(outcome.rows)
    outcome.accounts = [Account(unit="segment", seen=seen, kept=kept, dropped=seen - kept)]
    return outcome


def _caption(
    payload: _Payload, config: CaptionsConfig, segment: SegmentRow, before: CaptionRow | None
) -> CaptionRow | None:
    if (given := payload.texts.get(segment.id)) is not None:
        faults = tuple(faults_of(given.text, config.most_words))
        return CaptionRow(
            id=segment.id,
            film=segment.film,
            shot=segment.shot,
            text=given.text,
            provenance=given.provenance,
            faults=faults,
        )
    if payload.captioner is None:
        return None
    frames = sampled_frames(payload.segments, segment, config.frames, config.frame_width)
    made = payload.captioner.caption(frames, before.text if before else "", segment.id)
    text = made.fields.paragraph()
    faults = faults_of(text, config.most_words, _names(made.fields, config.cast))
    return CaptionRow(
        id=segment.id,
        film=segment.film,
        shot=segment.shot,
        setting=made.fields.setting,
        characters=made.fields.characters,
        actions=made.fields.actions,
        camera=made.fields.camera,
        text=text,
        provenance=f"{config.model}, {config.prompts}",
        doubts=made.doubts,
        faults=(*faults, *(("unverified",) if made.doubts else ())),
    )


def _names(fields: CaptionFields, cast: str) -> list[str]:
    """Who may be named: the cast, or, without one, whoever the caption itself lists."""
    if cast:
        return [line.partition(":")[0] for line in cast.splitlines()]
    return [own.name for own in fields.characters]


def _report(output: Path, records: Sequence[ItemRecord], most_faulty: float) -> list[str]:
    found = report([row for own in records for row in own.rows])
    write_whole(output / QUALITY, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    where = f"{output / QUALITY} lists them. Correct them (storyreel data annotate), or allow more."
    check_share(found["faulty"], found["captions"], most_faulty, where)
    return [QUALITY]


def _in_threads(stop: Callable[[], None]) -> Callable[[Callable[[Any], Any], Sequence[Any], int | None], Iterator[Any]]:
    """As `processes.each`, but in threads, which wait for a server; `stop` ends their waiting when one fails."""

    def each(function: Callable[[Any], Any], tasks: Sequence[Any], workers: int | None) -> Iterator[Any]:
        with ThreadPoolExecutor(workers) as pool:
            waiting = {pool.submit(function, task) for task in tasks}
            try:
                while waiting:
                    finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in finished:
                        yield future.result()
            except BaseException:
                stop()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    return each


STEP = Step("captions", 1, "segment", (), ("av", "numpy", "pillow"), _work)
