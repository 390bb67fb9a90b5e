"""Step `embeddings`: every caption, with the scene marks that it needs, encoded once by a model's text encoder.

EMBEDDINGS/rows.jsonl                    an EmbeddingRow for each distinct text
EMBEDDINGS/texts/KE/KEY.safetensors      `states`, bfloat16 [n, C]

The key is the hash of the text with its marks, and of the length where the encoder sees one. A segment has one place in
its scene, so it has one marked text, and not four. Where padding is masked (as this project's models do) the states of
a text do not depend on how many rows of padding follow, and those are zero: only the text's own tokens are stored, once
for all stages. Without a mask (as the paper's authors encode) padding changes every state: a text is stored at the full
length of each stage.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Unpack

import torch
from safetensors.torch import save_file
from torch import Tensor

from storyreel.data.caption_rows import read_captions
from storyreel.data.embedding_rows import EmbeddingRow, hash_of_states, text_key
from storyreel.data.estimate import AtWork, Estimate, free_bytes, run_estimated
from storyreel.data.examples import ExamplesConfig, Marks, plan_film, scene_marks
from storyreel.data.files import whole
from storyreel.data.manifest import Account, Dropped, Manifest, read_manifest, read_rows
from storyreel.data.models_at_work import check_dtype, hash_of_part, one_thread, text_models_at_work
from storyreel.data.paths import relative
from storyreel.data.segments import SegmentRow
from storyreel.data.shots import ShotRow
from storyreel.data.step import Job, Outcome, Step
from storyreel.errors import ConfigError, refusal
from storyreel.models.sizes import ModelSizes
from storyreel.models.text import count_tokens, encode_ids, tokenize
from storyreel.storyboard.schema import marked_text

MASKS = ("padding", "none")


@dataclass(frozen=True)
class EmbeddingsConfig:
    """How texts are encoded, and for which examples.

    mask: "padding" hides padding from the encoder and makes its rows zero, as this project's models do; "none" lets it
    see them, as the paper's authors do. dtype: in which it computes, "float32" or "bfloat16".
    """

    mask: str = "padding"
    dtype: str = "float32"
    examples: ExamplesConfig = field(default_factory=ExamplesConfig)

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        if self.mask not in MASKS:
            raise ConfigError(refusal("mask", self.mask, f"it must be {' or '.join(MASKS)}", "Try padding"))


@dataclass(frozen=True)
class Story:
    """Segments of a data set with the marks of their scenes, and the texts of those that have one."""

    rows: list[SegmentRow]
    marks: dict[str, Marks]
    captions: dict[str, str]

    @classmethod
    def read(cls, segments: Path, captions: Mapping[str, str]) -> Story:
        """From the folder of the step `segments`; captions of segments that are there no longer are left out."""
        manifest = read_manifest(segments, "segments")
        scenes = (segments / manifest.source).resolve()
        read_manifest(scenes, "scenes")
        rows = read_rows(segments, SegmentRow)
        marks = scene_marks(rows, {shot.id: shot.scene for shot in read_rows(scenes, ShotRow)})
        return cls(rows, marks, {own: text for own, text in captions.items() if own in marks})

    def marked(self, segment: str) -> str:
        """The text of a segment as a model reads it."""
        own = self.marks[segment]
        return marked_text(self.captions[segment], starts_scene=own.starts, ends_scene=own.ends)

    def films(self) -> dict[str, list[SegmentRow]]:
        """Segments of each film, by its id."""
        films: dict[str, list[SegmentRow]] = {}
        for row in self.rows:
            films.setdefault(row.film, []).append(row)
        return films


def text_lengths(model: Path, stages: Iterable[int], height: int, width: int) -> dict[int, int]:
    """Tokens that a text has in a video of each stage; GeometryError where no layout fits."""
    sizes = ModelSizes.read(model)
    return {seconds: sizes.layout(seconds, height, width).text_tokens for seconds in stages}


def run(
    captions: Path,
    output: Path,
    config: EmbeddingsConfig,
    *,
    model: Path,
    device: str = "cpu",
    **at_work: Unpack[AtWork],
) -> Manifest:
    """Encodes the texts of the step `captions` (its folder) with the text encoder of a model folder.

    Rows are `EmbeddingRow`s; among them the empty text, to which training drops. A text longer than the longest of the
    stages allows is dropped. About devices and hashes see `latents.run`. DataError where the disk is too small.
    """
    segments, texts = read_captions(captions)
    story = Story.read(segments, texts)
    size = read_manifest(segments, "segments").config
    lengths = text_lengths(model, config.examples.stages, size["height"], size["width"])
    digest = hash_of_part(model, "tokenizer", "text_encoder")
    wanted = needed_texts(story, lengths, config)
    jobs = []
    for key, (text, length) in sorted(wanted.items()):
        payload = _Payload(key, text, length, max(lengths.values()), str(model), digest, device)
        jobs.append(Job(key, {"text": key, "models": digest, "limit": str(payload.limit)}, payload))
    width = ModelSizes.read(model).text_width
    return run_estimated(
        STEP,
        jobs,
        output,
        config,
        source=relative(captions, output),
        guess=lambda todo, processes: _estimate([job.payload for job in todo], output, config, width, processes),
        at_work=at_work,
    )


def needed_texts(
    story: Story, lengths: Mapping[int, int], config: EmbeddingsConfig
) -> dict[str, tuple[str, int | None]]:
    """(text, length) by key of all that the examples of these stages need; length None where padding is masked."""
    if config.mask == "padding":
        pairs = {("", None), *((story.marked(own), None) for own in story.captions)}
    else:
        pairs = {("", length) for length in lengths.values()}
        for rows in story.films().values():
            plan = plan_film(rows, config.examples, lambda row, _: None if row.id in story.captions else "no caption")
            pairs |= {(story.marked(own), lengths[one.seconds]) for one in plan.examples for own in one.segments}
    return {text_key(text, length): (text, length) for text, length in pairs}


@dataclass(frozen=True)
class _Payload:
    key: str
    text: str
    length: int | None
    limit: int
    model: str
    digest: str
    device: str


def _estimate(todo: Sequence[_Payload], output: Path, config: EmbeddingsConfig, width: int, processes: int) -> Estimate:
    with one_thread():
        tokenizer, _ = text_models_at_work(todo[0].model, todo[0].digest, todo[0].device, config.dtype)
        tokens = sum(own.length or count_tokens(tokenizer, own.text) for own in todo)
        fitting = [own for own in todo if count_tokens(tokenizer, own.text) <= (own.length or own.limit)]
        start = time.monotonic()
        for own in sorted(fitting, key=lambda own: len(own.text))[-2:]:
            start = time.monotonic()
            _states(own, config)
        seconds = (time.monotonic() - start) * len(todo) / processes
    return Estimate("embeddings", len(todo), "texts", tokens * width * 2, free_bytes(output), seconds)


def _work(payload: _Payload, config: EmbeddingsConfig, output: Path) -> Outcome:
    with one_thread():
        tokenizer, _ = text_models_at_work(payload.model, payload.digest, payload.device, config.dtype)
        ids = tokenizer(payload.text)["input_ids"]
        limit = payload.length or payload.limit
        if len(ids) > limit:
            detail = f"it has {len(ids)} tokens, but at most {limit} fit: {payload.text[:60]}..."
            return _nothing(payload, "too long", detail)
        states = _states(payload, config)
    if not bool(states.isfinite().all()):
        return _nothing(payload, "not finite", f"its states are not finite: {payload.text[:60]}...")
    name = f"texts/{payload.key[:2]}/{payload.key}.safetensors"
    with whole(output / name) as part:
        save_file({"states": states}, part, metadata={"encoder": payload.digest})
    row = EmbeddingRow(
        id=payload.key,
        text=payload.text,
        tokens=len(ids),
        unknown=sum(own == tokenizer.unk_token_id for own in ids),
        length=payload.length,
        file=name,
        shape=(states.shape[0], states.shape[1]),
        encoder=payload.digest,
        sha256=hash_of_states(states),
    )
    accounts = [Account(unit="text", seen=1, kept=1, dropped=0)]
    return Outcome(rows=[row.model_dump(mode="json")], accounts=accounts, artefacts=[name])


def _nothing(payload: _Payload, reason: str, detail: str) -> Outcome:
    dropped = Dropped(id=payload.key, unit="text", reason=reason, detail=detail)
    return Outcome(dropped=[dropped], accounts=[Account(unit="text", seen=1, kept=0, dropped=1)])


@torch.no_grad()
def _states(payload: _Payload, config: EmbeddingsConfig) -> Tensor:
    """bfloat16 `[n, C]` on the CPU: the text's own tokens, or all `length` where padding is seen."""
    tokenizer, encoder = text_models_at_work(payload.model, payload.digest, payload.device, config.dtype)
    length = payload.length or count_tokens(tokenizer, payload.text)
    ids, mask = tokenize(tokenizer, [payload.text], length)
    if config.mask == "none":
        mask = torch.ones_like(mask)
    return encode_ids(encoder, ids, mask)[0].to("cpu", torch.bfloat16)


STEP = Step("embeddings", 1, "text", ("texts",), ("safetensors", "tokenizers", "torch", "transformers"), _work)
