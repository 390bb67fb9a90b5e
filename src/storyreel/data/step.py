"""How every data step runs: item by item, on all cores, from where a killed run stopped.

An item whose record has today's fingerprint, and whose artefacts are there, is kept as it is; the others are made anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storyreel.data.files import locked, sweep
from storyreel.data.fingerprint import hash_of, made_from, versions_of
from storyreel.data.manifest import (
    MANIFEST,
    Account,
    Artefact,
    Dropped,
    ItemRecord,
    Manifest,
    read_record,
    record_path,
    write_manifest,
    write_record,
)
from storyreel.errors import DataError
from storyreel.processes import each

OnItem = Callable[[int, int], None]
"""Told (items done, items) at the start and after each item."""


Each = Callable[[Callable[[Any], Any], Sequence[Any], int | None], Iterator[Any]]
"""How a function runs over tasks: (function, tasks, workers) -> results as they are finished."""


def nobody(done: int, items: int) -> None:
    """An OnItem that does nothing."""


@dataclass(frozen=True)
class Step:
    """A data step. `work(payload, config, output)` makes one item; it must be a function of a module.

    `version` is raised when the same ingredients are made into something else. `rows_unit` is the unit that rows count,
    `folders` those that hold artefacts, `libraries` the distributions that the result depends on.
    """

    name: str
    version: int
    rows_unit: str
    folders: tuple[str, ...]
    libraries: tuple[str, ...]
    work: Callable[[Any, Any, Path], Outcome]


@dataclass(frozen=True)
class Job:
    """One item to make: its id, hashes of what goes in, and what `work` is handed (small and plain)."""

    id: str
    inputs: Mapping[str, str]
    payload: Any


@dataclass
class Outcome:
    """What `work` made of an item; artefacts are paths relative to the step's folder, whole on the disk."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    artefacts: list[str] = field(default_factory=list)


def run_step(
    step: Step,
    jobs: Sequence[Job],
    output: Path,
    config: Any,
    *,
    source: str,
    workers: int | None = None,
    on_item: OnItem = nobody,
    extra: Callable[[list[ItemRecord]], list[str]] | None = None,
    run_each: Each | None = None,
) -> Manifest:
    """Makes every item that is missing or stale, removes what belongs to none, and writes the manifest.

    `config` is a frozen dataclass of JSON values, all of them part of each fingerprint. `workers` is the number of
    processes (default: all cores; 1: this process alone). `extra(records)` may write files about all items together,
    and returns their paths. `run_each` stands in for `each`. DataError where another run
    has the folder, or counts do not add up.
    """
    parameters = dataclasses.asdict(config)
    versions = versions_of(step.libraries)
    with locked(output):
        recipes = _recipes(step, jobs, config)
        if len(recipes) != len(jobs):
            raise DataError(f"{step.name}: two items have the same id. This is a bug.")
        sweep(output, (), set())
        records = _fresh(recipes, output)
        todo = [job for job in jobs if job.id not in records]
        if todo:
            # What lies there no longer is the result of a whole run, until the end of this one.
            (output / MANIFEST).unlink(missing_ok=True)
        on_item(len(records), len(jobs))
        tasks = [_Task(step, job, config, output, recipes[job.id]) for job in todo]
        for record in (run_each or each)(_make, tasks, workers):
            records[record.id] = record
            on_item(len(records), len(jobs))
        ordered = [records[job.id] for job in jobs]
        _remove_strangers(output, set(records))
        paths = {artefact.path for own in ordered for artefact in own.artefacts}
        paths |= set(extra(ordered)) if extra else set()
        sweep(output, step.folders, paths)
        return write_manifest(
            output,
            step=step.name,
            rows_unit=step.rows_unit,
            source=source,
            config=parameters,
            versions=versions,
            records=ordered,
        )


def stale_jobs(step: Step, jobs: Sequence[Job], output: Path, config: Any) -> list[Job]:
    """The jobs that `run_step` would do now."""
    fresh = _fresh(_recipes(step, jobs, config), output)
    return [job for job in jobs if job.id not in fresh]


def _recipes(step: Step, jobs: Sequence[Job], config: Any) -> dict[str, dict[str, Any]]:
    """What each item is made from, by id."""
    parameters, versions = dataclasses.asdict(config), versions_of(step.libraries)
    return {job.id: made_from(step.name, step.version, job.inputs, parameters, versions) for job in jobs}


def _fresh(recipes: Mapping[str, dict[str, Any]], output: Path) -> dict[str, ItemRecord]:
    """The records that need not be made again."""
    known = (read_record(output, own) for own in recipes)
    return {own.id: own for own in known if own and _is_fresh(own, recipes[own.id], output)}


@dataclass(frozen=True)
class _Task:
    step: Step
    job: Job
    config: Any
    output: Path
    recipe: dict[str, Any]


def _make(task: _Task) -> ItemRecord:
    outcome = task.step.work(task.job.payload, task.config, task.output)
    record = ItemRecord(
        id=task.job.id,
        fingerprint=hash_of(task.recipe),
        made_from=task.recipe,
        rows=outcome.rows,
        dropped=outcome.dropped,
        accounts=outcome.accounts,
        artefacts=[Artefact.of(task.output, path) for path in outcome.artefacts],
    )
    write_record(task.output, record)
    return record


def _is_fresh(record: ItemRecord, recipe: dict[str, Any], output: Path) -> bool:
    if record.fingerprint != hash_of(recipe):
        return False
    sizes = ((output / own.path, own.bytes) for own in record.artefacts)
    return all(path.is_file() and path.stat().st_size == size for path, size in sizes)


def _remove_strangers(output: Path, items: set[str]) -> None:
    """Records of items that are no longer in the input."""
    for path in record_path(output, "any").parent.glob("*.json"):
        if path.stem not in items:
            path.unlink()
