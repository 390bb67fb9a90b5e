"""`check`: proves every example of an assembled folder against the model's layout, before a GPU is booked."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from storyreel.data.embedding_rows import text_key
from storyreel.data.example_rows import ExampleRow, TextPlace, moments_of, states_of
from storyreel.data.manifest import Manifest, read_dropped, read_manifest, read_rows
from storyreel.data.shards import Place, read_place
from storyreel.data.step import OnItem, nobody
from storyreel.errors import DataError, GeometryError
from storyreel.geometry import SEGMENT_SECONDS, TokenLayout
from storyreel.models.sizes import ModelSizes
from storyreel.models.words import END_SCENE, START_SCENE
from storyreel.storyboard.schema import marked_text
from storyreel.wording import counted


@dataclass(frozen=True)
class Finding:
    """What is wrong with an example, in a sentence."""

    example: str
    what: str


@dataclass
class Report:
    """Findings, what a trainer would leave out and why (reason, stage: number), and statistics by name."""

    findings: list[Finding]
    left_out: dict[str, int]
    statistics: dict[str, str]

    @property
    def is_good(self) -> bool:
        return not self.findings

    def lines(self) -> list[str]:
        """For people."""
        return [
            *(f"{one.example}: {one.what}" for one in self.findings),
            *(f"left out: {number} x {what}" for what, number in self.left_out.items()),
            *(f"{name}: {value}" for name, value in self.statistics.items()),
        ]


def run(assembled: Path, model: Path, *, batch: int = 1, on_item: OnItem = nobody) -> Report:
    """Reads every byte of every example of an assembled folder as a trainer of `model` would.

    DataError where the folder is not that of a finished step; whatever is wrong with an example is a finding. `batch`:
    of the trainer, to say which stages have fewer examples than that.
    """
    manifest = read_manifest(assembled, "assemble")
    rows = read_rows(assembled, ExampleRow)
    sizes = ModelSizes.read(model)
    findings: list[Finding] = []
    members = _members(assembled, rows, findings)
    seen_texts: set[Place] = set()
    sums = _Sums()
    on_item(0, len(rows))
    for number, row in enumerate(rows, start=1):
        found = list(_problems(assembled, row, sizes, members, seen_texts, sums))
        findings.extend(Finding(row.id, what) for what in found)
        on_item(number, len(rows))
    findings.extend(_split_findings(rows))
    if not rows:
        findings.append(Finding("data set", "it has no example"))
    return Report(findings, _left_out(assembled, rows, batch), _statistics(manifest, rows, sums))


def _members(folder: Path, rows: Sequence[ExampleRow], findings: list[Finding]) -> dict[Place, str]:
    """Names of all members of all shards by their place, as tarfile reads them."""
    shards = {row.place.shard for row in rows}
    shards |= {own.place.shard for row in rows for own in (*(row.states or ()), *((row.empty,) if row.empty else ()))}
    found = {}
    for shard in sorted(shards):
        try:
            with tarfile.open(folder / shard, "r:") as tar:
                found |= {Place(shard, own.offset_data, own.size): own.name for own in tar}
        except (OSError, tarfile.TarError) as error:
            findings.append(Finding(shard, f"it cannot be read: {error}"))
    return found


class _Sums:
    """Sums over all latents, for their mean and deviation."""

    def __init__(self) -> None:
        self.count, self.total, self.squares = 0, 0.0, 0.0

    def add(self, values: torch.Tensor) -> None:
        double = values.double()
        self.count += values.numel()
        self.total += float(double.sum())
        self.squares += float(double.square().sum())


def _problems(
    folder: Path, row: ExampleRow, sizes: ModelSizes, members: dict[Place, str], seen: set[Place], sums: _Sums
) -> Iterator[str]:
    height, width = (cells * sizes.compression.space for cells in row.shape[2:])
    try:
        layout = sizes.layout(row.seconds, height, width)
    except GeometryError as error:
        yield str(error)
        return
    yield from _shape_problems(row, layout, sizes)
    yield from _text_problems(row, layout)
    for place, own, digest in _places(row):
        if place in seen:
            continue
        seen.add(place)
        if members.get(place) != f"{own}.safetensors":
            yield f"at {place.shard}, byte {place.offset}, there is no member {own}.safetensors of {place.bytes} bytes"
            continue
        if hashlib.sha256(read_place(folder, place)).hexdigest() != digest:
            yield f"{place.shard}: {own} is damaged"
    try:
        sums.add(moments_of(folder, row).mean)
        for own in _states(row):
            states_of(folder, own)
    except DataError as error:
        yield str(error)


def _states(row: ExampleRow) -> list[TextPlace]:
    return [*(row.states or ()), *((row.empty,) if row.empty else ())]


def _places(row: ExampleRow) -> list[tuple[Place, str, str]]:
    return [(row.place, row.id, row.sha256), *((own.place, own.id, own.sha256) for own in _states(row))]


def _shape_problems(row: ExampleRow, layout: TokenLayout, sizes: ModelSizes) -> Iterator[str]:
    expected = (
        layout.latents,
        sizes.compression.channels,
        layout.rows * sizes.patch,
        layout.columns * sizes.patch,
    )
    if row.shape != expected:
        yield f"its latents are {list(row.shape)}, but {row.seconds} s are {list(expected)} for this model"
    for name, count in (
        ("segments", len(row.segments)),
        ("texts", len(row.texts)),
        ("marks", len(row.starts)),
        ("marks", len(row.ends)),
        *((("counts of tokens", len(row.tokens)),) if row.tokens is not None else ()),
        *((("texts with states", len(row.states)),) if row.states is not None else ()),
    ):
        if count != layout.segments:
            yield f"it has {count} {name}, but {row.seconds} s are {layout.segments} segments of {SEGMENT_SECONDS} s"
    for own in _states(row):
        if own.shape[0] > layout.text_tokens or own.shape[1] != sizes.text_width:
            yield (
                f"states of a text are {list(own.shape)}, but the layout has {layout.text_tokens} tokens of "
                f"{sizes.text_width} values"
            )


def _text_problems(row: ExampleRow, layout: TokenLayout) -> Iterator[str]:
    """Of as many texts as have all else; that one is missing somewhere is told by `_shape_problems`."""
    for number, (text, starts, ends) in enumerate(zip(row.texts, row.starts, row.ends, strict=False), start=1):
        bare = text.removeprefix(f"{START_SCENE} ").removesuffix(f" {END_SCENE}")
        if not bare.strip():
            yield f"text {number} is empty"
        if marked_text(bare, starts_scene=starts, ends_scene=ends) != text or START_SCENE in bare or END_SCENE in bare:
            yield f"text {number} has other scene marks than its row says"
    for number, (ends, starts) in enumerate(zip(row.ends, row.starts[1:], strict=False), start=1):
        if ends != starts:
            yield f"text {number} {'ends' if ends else 'does not end'} a scene, but the next one does not agree"
    if (most := max(row.tokens or (0,))) > layout.text_tokens:
        yield f"a text has {most} tokens, but at {row.seconds} s at most {layout.text_tokens} fit"
    for own, text in zip(row.states or (), row.texts, strict=False):
        if own.id not in (text_key(text, None), text_key(text, layout.text_tokens)):
            yield "states are of another text, or of another length, than this model's layout has at this stage"


def _split_findings(rows: Sequence[ExampleRow]) -> list[Finding]:
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row.film, set()).add(row.split)
    return [Finding(film, f"it is in {' and '.join(sorted(own))}") for film, own in splits.items() if len(own) > 1]


def _left_out(assembled: Path, rows: Sequence[ExampleRow], batch: int) -> dict[str, int]:
    """By reason: segments that no example of a stage holds, and stages with fewer examples than a batch."""
    counts = Counter(f"{one.unit}: {one.reason}" for one in read_dropped(assembled))
    stages = Counter((row.split, row.seconds) for row in rows)
    for (split, seconds), number in sorted(stages.items()):
        if split == "train" and number < batch:
            counts[f"example at {seconds} s: fewer than a batch of {batch}"] = number
    return dict(sorted(counts.items()))


def _statistics(manifest: Manifest, rows: Sequence[ExampleRow], sums: _Sums) -> dict[str, str]:
    found: dict[str, str] = {"films": str(len({row.film for row in rows}))}
    stages = Counter((row.seconds, row.split) for row in rows)
    for (seconds, split), number in sorted(stages.items()):
        found[f"{seconds} s, {split}"] = f"{counted(number, 'example')}, {number * seconds / 3600:.2f} h"
    if rows:
        words = [len(text.split()) for text in {text for row in rows for text in row.texts}]
        found["words in a text"] = f"{min(words)} to {max(words)}, {sum(words) / len(words):.0f} on average"
        longest = max((max(row.tokens) for row in rows if row.tokens), default=None)
        found["longest text"] = f"{longest} tokens" if longest is not None else "not encoded"
        changes = sum(sum(row.starts[1:]) for row in rows)
        found["scene changes inside examples"] = str(changes)
    if sums.count:
        mean = sums.total / sums.count
        deviation = max(0.0, sums.squares / sums.count - mean**2) ** 0.5
        found["latents"] = f"mean {mean:.3f}, standard deviation {deviation:.3f}"
    found["content"] = manifest.content[:16]
    return found


def as_json(report: Report) -> str:
    """The report for programs."""
    findings = [{"example": one.example, "what": one.what} for one in report.findings]
    return json.dumps({"findings": findings, "left_out": report.left_out, "statistics": report.statistics}, indent=1)
