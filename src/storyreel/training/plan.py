"""A whole recipe in one process: clips are drawn beside the first run, every library is loaded once."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

from storyreel.data.clips import clip_numbers
from storyreel.data.toon_clips import draw_clips
from storyreel.errors import TrainingError
from storyreel.training import parallel
from storyreel.training.config import DrawRun, EncodeRun, PackRun, PlanRun, SingleRun
from storyreel.training.loop import fingerprint

FIRST_CLIPS = 64
DONE_FILE = "done.json"


def run_plan(
    plan: PlanRun,
    root: Path,
    run_one: Callable[[SingleRun, float | None], None],
    *,
    minutes: float | None,
    workers: int,
) -> None:
    """Runs what ROOT/NAME/done.json does not list yet; `run_one` gets a run and its minutes, None for no limit.

    minutes: of the whole plan, None to give every run all its steps. TrainingError where drawing fails. Of several
    processes the first draws, and writes what is done.
    """
    done_path = root / plan.name / DONE_FILE
    done_path.parent.mkdir(parents=True, exist_ok=True)
    done: list[str] = json.loads(done_path.read_text()) if done_path.exists() else []
    todo = [(run, share) for run, share in plan.runs if fingerprint(run) not in done]
    if not todo:
        return
    parallel.barrier()
    with _drawn_beside(plan, root, workers) as drawing:
        if drawing:
            _wait_for_first_clips(todo[0][0], plan, root, drawing)
        for run, share in todo:
            if drawing and isinstance(run, EncodeRun | PackRun):
                _wait(drawing)
            parallel.barrier()
            run_one(run, minutes * share if minutes is not None and share else None)
            done.append(fingerprint(run))
            if parallel.is_first():
                _write(done_path, done)
        if drawing:
            _wait(drawing)


@contextmanager
def _drawn_beside(plan: PlanRun, root: Path, workers: int) -> Iterator[BaseProcess | None]:
    """The process that draws the plan's clips, which belongs to the first process; None in the others."""
    if not parallel.is_first():
        yield None
        return
    drawing = get_context("spawn").Process(target=_draw, args=(plan.drawn, root, workers))
    drawing.start()
    try:
        yield drawing
    finally:
        drawing.terminate()


def _draw(drawn: tuple[DrawRun, ...], root: Path, workers: int) -> None:
    if hasattr(os, "nice"):
        os.nice(10)  # gives way to the processes that read for the training beside it
    for run in drawn:
        draw_clips(run.clips, root / run.name, workers=workers)


def _wait_for_first_clips(run: SingleRun, plan: PlanRun, root: Path, drawing: BaseProcess) -> None:
    """Until there are a few of the clips that `run` reads, of whichever folder, or drawing is over."""
    wanted = [drawn for drawn in plan.drawn if drawn.name in getattr(run, "clips_folders", ())]
    enough = min(FIRST_CLIPS, sum(drawn.clips.count for drawn in wanted))
    while drawing.is_alive() and sum(len(clip_numbers(root / drawn.name)) for drawn in wanted) < enough:
        time.sleep(0.2)
    if not drawing.is_alive():
        _wait(drawing)


def _wait(drawing: BaseProcess) -> None:
    drawing.join()
    if drawing.exitcode:
        raise TrainingError(
            f"drawing ended with status {drawing.exitcode}; its own message is above. Run the recipe again."
        )


def _write(path: Path, done: list[str]) -> None:
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(done))
    os.replace(aside, path)
