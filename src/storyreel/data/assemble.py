"""Step `assemble`: segments of a film that follow each other, as examples of each stage, in tar shards.

ASSEMBLED/rows.jsonl                               an ExampleRow for each example: split, texts, where its bytes lie
ASSEMBLED/shards/SPLIT/SECONDSs/FILM-000.tar       KEY.safetensors (mean, logvar) and KEY.json of each example
ASSEMBLED/shards/texts/FILM-000.tar                KEY.safetensors (states) of each text of a film, once for all stages
ASSEMBLED/metadata/examples.parquet                the rows without their places, where pyarrow is installed
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Unpack

import safetensors.torch

from storyreel.data.caption_rows import read_captions
from storyreel.data.embedding_rows import EmbeddingRow, read_states, text_key
from storyreel.data.embeddings import Story, text_lengths
from storyreel.data.estimate import AtWork, Estimate, free_bytes, run_estimated
from storyreel.data.example_rows import ExampleRow, TextPlace
from storyreel.data.examples import Example, ExamplesConfig, Plan, plan_film
from storyreel.data.fingerprint import canonical, hash_of
from storyreel.data.latent_rows import LatentRow, window_moments
from storyreel.data.manifest import Account, ItemRecord, Manifest, read_manifest, read_rows
from storyreel.data.metadata import write_parquet
from storyreel.data.paths import relative
from storyreel.data.segments import SegmentRow
from storyreel.data.shards import Member, write_shards
from storyreel.data.step import Job, Outcome, Step
from storyreel.errors import ConfigError, DataError, refusal

GIB = 2**30


@dataclass(frozen=True)
class AssembleConfig:
    """Which examples there are, and how large a shard may become (an example is never split)."""

    examples: ExamplesConfig = field(default_factory=ExamplesConfig)
    shard_bytes: int = GIB

    def __post_init__(self) -> None:
        if self.shard_bytes < 1:
            raise ConfigError(refusal("shard size", self.shard_bytes, "it must be 1 byte or more", "Try 1 GiB"))


@dataclass(frozen=True)
class _Parts:
    """All that examples are made of, by id or key; `embeddings` is None where there are none."""

    story: Story
    latents: dict[str, LatentRow]
    embeddings: dict[str, EmbeddingRow] | None
    lengths: Mapping[int, int]
    is_masked: bool

    def key(self, segment: str, seconds: int) -> str:
        return text_key(self.story.marked(segment), self.length(seconds))

    def length(self, seconds: int) -> int | None:
        return None if self.is_masked else self.lengths[seconds]

    def why_not(self, row: SegmentRow, seconds: int) -> str | None:
        if row.id not in self.story.captions:
            return "no caption"
        if row.id not in self.latents:
            return "no latents"
        if self.embeddings is None:
            return None
        own = self.embeddings.get(self.key(row.id, seconds))
        if own is None:
            return "no embedding"
        return "text too long" if own.tokens > self.lengths[seconds] else None


def run(
    latents: Path,
    output: Path,
    config: AssembleConfig,
    *,
    captions: Path,
    embeddings: Path | None,
    model: Path,
    **at_work: Unpack[AtWork],
) -> Manifest:
    """Joins latents, captions and embeddings (folders of their steps) by segment id into examples for a model.

    Without `embeddings` an example has texts alone, for a trainer with a text encoder of its own. Rows are
    `ExampleRow`s; what a stage leaves out is in dropped.jsonl, of unit "segment at 9 s". DataError where the steps are
    not of the same segments, or the disk is too small.
    """
    parts = _read_parts(latents, captions, embeddings, model, config)
    jobs = []
    for film, rows in sorted(parts.story.films().items()):
        payload = _payload(parts, rows, plan_film(rows, config.examples, parts.why_not), latents, embeddings)
        inputs = {
            "examples": hash_of([own.model_dump() for own in payload.plan.examples]),
            "dropped": hash_of([own.model_dump() for own in payload.plan.dropped]),
            "texts": hash_of([payload.texts, payload.marks]),
            "latents": hash_of(sorted(row.sha256 for row in payload.latents.values())),
            "embeddings": hash_of(sorted((key, row.sha256) for key, row in payload.embeddings.items())),
        }
        jobs.append(Job(film, inputs, payload))
    return run_estimated(
        STEP,
        jobs,
        output,
        config,
        source=relative(latents, output),
        guess=lambda todo, processes: _estimate([job.payload for job in todo], output, processes),
        at_work=at_work,
        extra=lambda records: _write_metadata(output, records),
    )


def _read_parts(latents: Path, captions: Path, embeddings: Path | None, model: Path, config: AssembleConfig) -> _Parts:
    segments = (latents / read_manifest(latents, "latents").source).resolve()
    captioned, texts = read_captions(captions)
    if captioned != segments:
        raise DataError(
            f"{captions} is of the segments in {captioned}, but {latents} of those in {segments}. Give one set."
        )
    size = read_manifest(segments, "segments").config
    lengths = text_lengths(model, config.examples.stages, size["height"], size["width"])
    states, is_masked = None, True
    if embeddings is not None:
        is_masked = read_manifest(embeddings, "embeddings").config["mask"] == "padding"
        states = {row.id: row for row in read_rows(embeddings, EmbeddingRow)}
    rows = {row.id: row for row in read_rows(latents, LatentRow)}
    return _Parts(Story.read(segments, texts), rows, states, lengths, is_masked)


@dataclass(frozen=True)
class _Payload:
    """A film's examples and what they are made of. `states` are the keys of each example's texts, in order."""

    plan: Plan
    texts: dict[str, str]
    marks: dict[str, tuple[bool, bool]]
    latents: dict[str, LatentRow]
    embeddings: dict[str, EmbeddingRow]
    states: dict[str, tuple[str, ...]]
    empty: dict[str, str]
    latents_folder: str
    embeddings_folder: str


def _payload(parts: _Parts, rows: list[SegmentRow], plan: Plan, latents: Path, embeddings: Path | None) -> _Payload:
    used = {own for one in plan.examples for own in one.segments}
    states, empty, needed = {}, {}, {}
    if parts.embeddings is not None:
        for one in plan.examples:
            states[one.id] = tuple(parts.key(own, one.seconds) for own in one.segments)
            empty[one.id] = text_key("", parts.length(one.seconds))
            needed |= dict.fromkeys((*states[one.id], empty[one.id]))
        missing = [key for key in needed if key not in parts.embeddings]
        if missing:
            raise DataError(
                f"{embeddings} lacks the empty text at a stage's length. Run storyreel data embeddings again."
            )
        needed = {key: parts.embeddings[key] for key in needed}
    return _Payload(
        plan=plan,
        texts={own: parts.story.marked(own) for own in sorted(used)},
        marks={own: (parts.story.marks[own].starts, parts.story.marks[own].ends) for own in sorted(used)},
        latents={row.id: parts.latents[row.id] for row in rows if row.id in used},
        embeddings=needed,
        states=states,
        empty=empty,
        latents_folder=str(latents.resolve()),
        embeddings_folder=str(embeddings.resolve()) if embeddings else "",
    )


def _estimate(todo: list[_Payload], output: Path, processes: int) -> Estimate:
    """Sizes are exact but for headers; time by reading one example's latents, times two for writing them."""
    size, examples, speed = 0, 0, 0.0
    for payload in todo:
        for row in payload.embeddings.values():
            size += 2 * row.shape[0] * row.shape[1]
        for one in payload.plan.examples:
            size += 4 * sum(_values(payload.latents[own]) for own in one.segments)
        examples += len(payload.plan.examples)
        if payload.plan.examples and not speed:
            rows = [payload.latents[own] for own in payload.plan.examples[0].segments]
            start = time.monotonic()
            window_moments(Path(payload.latents_folder), rows)
            speed = (time.monotonic() - start) / sum(4 * _values(row) for row in rows)
    seconds = 2 * speed * size / processes
    return Estimate("assemble", examples, "examples", size, free_bytes(output), seconds)


def _values(row: LatentRow) -> int:
    frames, channels, height, width = row.shape
    return frames * channels * height * width


def _work(payload: _Payload, config: AssembleConfig, output: Path) -> Outcome:
    outcome = Outcome(dropped=payload.plan.dropped, accounts=list(payload.plan.accounts))
    examples = payload.plan.examples
    outcome.accounts.append(Account(unit="example", seen=len(examples), kept=len(examples), dropped=0))
    if not examples:
        return outcome
    texts = _write_texts(payload, config, output)
    shards = {own.place.shard for own in texts.values()}
    for seconds in config.examples.stages:
        own = [one for one in examples if one.seconds == seconds]
        stem = f"shards/{examples[0].split}/{seconds:02d}s/{examples[0].film}"
        digests: list[tuple[str, tuple[int, int, int, int]]] = []
        places = write_shards(output, stem, _members(payload, own, digests), config.shard_bytes)
        for one, (place, _), (digest, shape) in zip(own, places, digests, strict=True):
            shards.add(place.shard)
            states = tuple(texts[key] for key in payload.states[one.id]) if payload.states else None
            row = ExampleRow(
                **one.model_dump(),
                texts=tuple(payload.texts[own] for own in one.segments),
                starts=tuple(payload.marks[own][0] for own in one.segments),
                ends=tuple(payload.marks[own][1] for own in one.segments),
                tokens=_tokens(payload, one),
                shape=shape,
                place=place,
                sha256=digest,
                states=states,
                empty=texts[payload.empty[one.id]] if payload.empty else None,
            )
            outcome.rows.append(row.model_dump(mode="json"))
    outcome.artefacts = sorted(shards)
    return outcome


def _tokens(payload: _Payload, one: Example) -> tuple[int, ...] | None:
    if not payload.states:
        return None
    return tuple(payload.embeddings[key].tokens for key in payload.states[one.id])


def _write_texts(payload: _Payload, config: AssembleConfig, output: Path) -> dict[str, TextPlace]:
    """States of every text of a film in shards of their own; their places by key."""
    rows = [payload.embeddings[key] for key in sorted(payload.embeddings)]
    digests: list[str] = []

    def members() -> Iterator[list[Member]]:
        for row in rows:
            states = read_states(Path(payload.embeddings_folder), row, whole_hash=True)
            data = safetensors.torch.save({"states": states})
            digests.append(hashlib.sha256(data).hexdigest())
            yield [(f"{row.id}.safetensors", data)]

    film = payload.plan.examples[0].film
    places = write_shards(output, f"shards/texts/{film}", members(), config.shard_bytes)
    return {
        row.id: TextPlace(id=row.id, place=place, shape=row.shape, sha256=digest)
        for row, (place,), digest in zip(rows, places, digests, strict=True)
    }


def _members(
    payload: _Payload, examples: list[Example], digests: list[tuple[str, tuple[int, int, int, int]]]
) -> Iterator[list[Member]]:
    """Latents and texts of each example; appends the hash and the shape of the latents to `digests`."""
    for one in examples:
        rows = [payload.latents[own] for own in one.segments]
        moments = window_moments(Path(payload.latents_folder), rows, whole_hash=True)
        data = safetensors.torch.save({"mean": moments.mean.contiguous(), "logvar": moments.logvar.contiguous()})
        frames, channels, height, width = moments.mean.shape
        digests.append((hashlib.sha256(data).hexdigest(), (frames, channels, height, width)))
        texts = [payload.texts[own] for own in one.segments]
        facts = {**one.model_dump(), "texts": texts, "states": payload.states.get(one.id)}
        yield [(f"{one.id}.safetensors", data), (f"{one.id}.json", canonical(facts).encode())]


def _write_metadata(output: Path, records: list[ItemRecord]) -> list[str]:
    rows = sorted(chain.from_iterable(own.rows for own in records), key=lambda row: row["id"])
    return write_parquet(output, "metadata/examples.parquet", rows)


STEP = Step("assemble", 1, "example", ("shards", "metadata"), ("safetensors", "torch"), _work)
