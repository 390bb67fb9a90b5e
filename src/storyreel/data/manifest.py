"""The manifest of a data step: typed rows, what was dropped and why, and counts that add up.

    STEP/items/ID.json      the record of one item (a film, a take): its rows, drops, artefacts and fingerprint
    STEP/rows.jsonl         the rows of all items, sorted by id
    STEP/dropped.jsonl      what was dropped, with reasons
    STEP/manifest.json      configuration, counts, versions, and the hashes of the two files above; written last

A record is written once its artefacts are whole, and never edited. docs/data.md has the fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from storyreel.data.files import write_whole
from storyreel.data.fingerprint import canonical, hash_of, hash_of_file
from storyreel.errors import DataError

SCHEMA = 1
MANIFEST, ROWS, DROPPED, ITEMS = "manifest.json", "rows.jsonl", "dropped.jsonl", "items"
ID_DIGITS = 16


class Record(BaseModel):
    """Base of everything that a manifest holds: frozen, and no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(Record):
    """One row of a manifest; `id` is unique in it and the key of every join."""

    id: str


AnyRow = TypeVar("AnyRow", bound=Row)


class Dropped(Record):
    """Something that did not become a row. `amount` counts it in its unit (frames of a transition: their number)."""

    id: str
    unit: str
    reason: str
    detail: str
    amount: int = 1


class Account(Record):
    """How many of a unit ("film", "shot", "frame", "segment") were seen, kept and dropped."""

    unit: str
    seen: int
    kept: int
    dropped: int


class Artefact(Record):
    """A file of a step: path relative to the step's folder with forward slashes, size, SHA-256."""

    path: str
    bytes: int
    sha256: str

    @classmethod
    def of(cls, folder: Path, path: str) -> Artefact:
        """The artefact at `folder / path`, hashed now."""
        file = folder / path
        return cls(path=path, bytes=file.stat().st_size, sha256=hash_of_file(file))


class ItemRecord(Record):
    """What a step made of one item, and what from (`made_from`, whose hash is `fingerprint`)."""

    id: str
    fingerprint: str
    made_from: dict[str, Any]
    rows: list[dict[str, Any]]
    dropped: list[Dropped]
    accounts: list[Account]
    artefacts: list[Artefact]

    @property
    def content(self) -> str:
        """Hash of what came out, without what it was made from: the input hash of whatever depends on it."""
        return hash_of(self.model_dump(include={"rows", "dropped", "artefacts"}))


class Manifest(Record):
    """Head of a step's output. `source` is where its input lay: the films, or the step before, relative to this."""

    schema_version: int = SCHEMA
    step: str
    source: str
    config: dict[str, Any]
    versions: dict[str, str]
    items: int
    accounts: list[Account]
    content: str
    rows_sha256: str
    dropped_sha256: str

    def account(self, unit: str) -> Account:
        """The counts of a unit; all zero for one that did not occur."""
        return next((own for own in self.accounts if own.unit == unit), Account(unit=unit, seen=0, kept=0, dropped=0))


def span_id(film: str, start: Fraction, stop: Fraction) -> str:
    """Key of a span of a film: its id and start and stop in milliseconds, rounded, of the film's time.

    >>> span_id("0123456789abcdef", Fraction(3, 2), Fraction(9, 2))
    '0123456789abcdef-000001500-000004500'
    """
    return f"{film}-{round(start * 1000):09d}-{round(stop * 1000):09d}"


def check_counts(rows_unit: str, rows: int, dropped: Iterable[Dropped], accounts: Iterable[Account]) -> None:
    """DataError unless seen = kept + dropped for each unit, the rows are those kept, and every drop is listed."""
    listed: dict[str, int] = {}
    for own in dropped:
        listed[own.unit] = listed.get(own.unit, 0) + own.amount
    accounts = list(accounts)
    for own in accounts:
        if own.seen != own.kept + own.dropped or listed.pop(own.unit, 0) != own.dropped:
            raise DataError(
                f"the counts of {own.unit} do not add up: {own.seen} seen, {own.kept} kept, {own.dropped} dropped. "
                "Delete the step's folder and run it again; if it stays so, it is a bug."
            )
        if own.unit == rows_unit and own.kept != rows:
            raise DataError(f"{own.kept} of {own.unit} were kept, but there are {rows} rows. Run the step again.")
    if listed:
        raise DataError(f"dropped, but never counted: {', '.join(sorted(listed))}. This is a bug.")


def add_accounts(accounts: Iterable[Account]) -> list[Account]:
    """Sums by unit, sorted by unit."""
    sums: dict[str, list[int]] = {}
    for own in accounts:
        total = sums.setdefault(own.unit, [0, 0, 0])
        for place, count in enumerate((own.seen, own.kept, own.dropped)):
            total[place] += count
    return [Account(unit=unit, seen=a, kept=b, dropped=c) for unit, (a, b, c) in sorted(sums.items())]


def record_path(folder: Path, item: str) -> Path:
    """Where the record of an item lies."""
    return folder / ITEMS / f"{item}.json"


def read_record(folder: Path, item: str) -> ItemRecord | None:
    """An item's record; None where there is none, or one of another version of this format."""
    try:
        return ItemRecord.model_validate_json(record_path(folder, item).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write_record(folder: Path, record: ItemRecord) -> None:
    """Puts an item's record in its place; from then on the item is done."""
    write_whole(record_path(folder, record.id), record.model_dump_json(indent=1) + "\n")


def write_manifest(
    folder: Path,
    *,
    step: str,
    rows_unit: str,
    source: str,
    config: dict[str, Any],
    versions: dict[str, str],
    records: Sequence[ItemRecord],
) -> Manifest:
    """Joins the records into the manifest, after checking that ids are unique and counts add up; DataError if not."""
    records = sorted(records, key=lambda own: own.id)
    rows = sorted((row for own in records for row in own.rows), key=lambda row: row["id"])
    dropped = sorted(
        (one for own in records for one in own.dropped), key=lambda one: (one.id, one.unit, one.reason, one.detail)
    )
    if len({row["id"] for row in rows}) != len(rows):
        raise DataError(f"{folder}: two rows have the same id. Delete the step's folder and run it again.")
    accounts = add_accounts(account for own in records for account in own.accounts)
    check_counts(rows_unit, len(rows), dropped, accounts)
    write_whole(folder / ROWS, "".join(canonical(row) + "\n" for row in rows))
    write_whole(folder / DROPPED, "".join(canonical(one.model_dump()) + "\n" for one in dropped))
    manifest = Manifest(
        step=step,
        source=source,
        config=config,
        versions=versions,
        items=len(records),
        accounts=accounts,
        content=hash_of([(own.id, own.content) for own in records]),
        rows_sha256=hash_of_file(folder / ROWS),
        dropped_sha256=hash_of_file(folder / DROPPED),
    )
    write_whole(folder / MANIFEST, manifest.model_dump_json(indent=1) + "\n")
    return manifest


def read_manifest(folder: Path, step: str) -> Manifest:
    """The manifest of a finished step; DataError where there is none, or rows or drops are not those it names."""
    path = folder / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{folder} has no {MANIFEST}. Run storyreel data {step} to its end first.") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{path} cannot be read: {first['loc']} {first['msg']}. Run the step again.") from error
    if manifest.step != step:
        raise DataError(f"{folder} holds the step {manifest.step}, but {step} is needed. Give that step's folder.")
    for name, expected in ((ROWS, manifest.rows_sha256), (DROPPED, manifest.dropped_sha256)):
        if not (folder / name).is_file() or hash_of_file(folder / name) != expected:
            raise DataError(f"{folder / name} is not what {MANIFEST} names. Run storyreel data {step} again.")
    return manifest


def read_rows(folder: Path, kind: type[AnyRow]) -> list[AnyRow]:
    """All rows of a finished step, sorted by id."""
    return [kind.model_validate_json(line) for line in (folder / ROWS).read_text(encoding="utf-8").splitlines()]


def read_dropped(folder: Path) -> list[Dropped]:
    """All drops of a finished step."""
    return [Dropped.model_validate(json.loads(line)) for line in (folder / DROPPED).read_text("utf-8").splitlines()]
