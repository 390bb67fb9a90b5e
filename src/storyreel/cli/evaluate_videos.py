"""`storyreel evaluate DIR`: metrics of videos. A thin wrapper of `evaluation.metrics`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from storyreel.cli.progress import open_progress
from storyreel.errors import DataError, OutputError
from storyreel.sampling.progress import Progress
from storyreel.wording import counted

if TYPE_CHECKING:
    from storyreel.evaluation.metrics.run import Evaluation

JSON, PAGE, VIDEOS, CEILING = "evaluation.json", "evaluation.html", "videos", "ceiling"


def run_videos(
    folder: Path, weights: Path | None, probe: Path, ceiling: Path | None, votes: Path | None, out: Path | None,
    device: str,
) -> int:  # fmt: skip
    """Measures, writes every form of the result into `out`, prints the table; 1 where videos had to be left out."""
    out = folder.resolve().with_name(f"{folder.resolve().name}-evaluation") if out is None else out
    if out.exists() and not out.is_dir():
        raise OutputError(f"--out {out} is a file, but the results of videos are a folder. Give another name.")
    if votes is not None and not votes.absolute().parent.is_dir():
        raise OutputError(f"--votes is {votes}, but there is no folder {votes.parent}. Make it first.")
    with open_progress() as progress:
        found, drawn = _measure(folder, weights, probe, ceiling, out, device, progress)
    _write(found, drawn, out)
    from storyreel.evaluation.metrics.report import evaluation_as_lines

    print("\n".join(evaluation_as_lines(found, drawn)))
    print(f"\n{out}: {counted(len(found.videos), 'video')} in {JSON} and {PAGE}, in VBench's layout too")
    if votes is not None:
        _write_votes(found, votes)
    return 1 if found.broken else 0


def _measure(
    folder: Path, weights: Path | None, probe: Path, ceiling: Path | None, out: Path, device: str, progress: Progress
) -> tuple[Evaluation, Evaluation | None]:
    from storyreel.evaluation.metrics.run import evaluate_videos, find_videos

    for own in (folder, ceiling):
        if own is not None:
            find_videos(own)
    progress.stage("load the networks")
    from storyreel.evaluation.metrics.video import open_eyes
    from storyreel.sampling.device import choose_device

    eyes = open_eyes(weights, probe, choose_device(device))
    drawn = evaluate_videos(ceiling, out / CEILING, eyes, progress) if ceiling else None
    found = evaluate_videos(folder, out / VIDEOS, eyes, progress)
    if not found.videos:
        raise DataError(f"none of {counted(len(found.broken), 'video')} in {folder} could be measured. See above.")
    return found, drawn


def _write(found: Evaluation, drawn: Evaluation | None, out: Path) -> None:
    from storyreel.data.files import write_whole
    from storyreel.evaluation.metrics.page import evaluation_as_page
    from storyreel.evaluation.metrics.report import evaluation_as_json, vbench_info, vbench_results

    write_whole(out / JSON, evaluation_as_json(found, drawn) + "\n")
    write_whole(out / PAGE, evaluation_as_page(found, drawn, f"Metrics of {found.folder.resolve().name}"))
    for method in found.methods():
        write_whole(out / f"{method}_eval_results.json", vbench_results(found, method) + "\n")
        write_whole(out / f"{method}_full_info.json", vbench_info(found, method) + "\n")


def _write_votes(found: Evaluation, path: Path) -> None:
    import time

    from storyreel.arena.automatic import automatic_votes
    from storyreel.arena.votes import write_votes
    from storyreel.evaluation.metrics.run import method_of

    metrics = {
        (method_of(name), name.rpartition("/")[2].rpartition(".")[0]): own.metrics
        for name, own in found.videos.items()
        if method_of(name)
    }
    votes = automatic_votes(metrics, round(time.time(), 3))
    write_votes(votes, path)
    print(
        f"{path}: {counted(len(votes), 'vote')} of automatic judges, not of people; storyreel arena ratings reads them"
    )
