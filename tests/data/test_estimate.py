"""What is told before a step begins, and whether other processes are worth their start."""

import os
from dataclasses import dataclass

import pytest

from storyreel.data import estimate
from storyreel.data.estimate import Estimate, run_estimated
from storyreel.data.manifest import Account
from storyreel.data.step import Job, Outcome, Step


@dataclass(frozen=True)
class Nothing:
    """No parameters."""


def work(payload, config, output):
    row = {"id": payload, "process": os.getpid()}
    return Outcome(rows=[row], accounts=[Account(unit="thing", seen=1, kept=1, dropped=0)])


STEP = Step("things", 1, "thing", (), (), work)
JOBS = [Job(name, {}, name) for name in "abcd"]


def run(folder, seconds, **at_work):
    """(what was told in order, workers of the run, None where it did not happen)."""
    told = []

    def guess(todo, processes):
        told.append(("guess", len(todo), processes))
        return Estimate("things", len(todo), "things", 10, estimate.free_bytes(folder), seconds / processes)

    given = {"on_item": lambda *own: told.append(own), "on_estimate": lambda own: told.append(own.seconds), **at_work}
    run_estimated(STEP, JOBS, folder, Nothing(), source="..", guess=guess, at_work=given)
    return told


def test_little_work_is_done_here_and_its_whole_time_told(tmp_path, monkeypatch):
    monkeypatch.setattr(estimate, "cores", lambda: 2)
    told = run(tmp_path, 8.0)
    assert told == [(0, 4), ("guess", 4, 2), 8.0, (0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    rows = (tmp_path / "rows.jsonl").read_text()
    assert rows.count(f'"process":{os.getpid()}') == 4
    assert run(tmp_path, 8.0) == [(4, 4), (4, 4)]


@pytest.mark.parametrize(
    ("seconds", "at_work", "told", "workers"),
    [(40.0, {}, 20.0, None), (8.0, {"workers": 2}, 4.0, 2), (8.0, {"run_each": print}, 4.0, None)],
)
def test_more_work_or_a_wish_is_shared(seconds, at_work, told, workers, tmp_path, monkeypatch):
    monkeypatch.setattr(estimate, "cores", lambda: 2)
    ran = []
    monkeypatch.setattr(estimate, "run_step", lambda *own, **options: ran.append(options))
    assert told in run(tmp_path, seconds, **at_work)
    assert (ran[0]["workers"], ran[0]["run_each"]) == (workers, at_work.get("run_each"))
