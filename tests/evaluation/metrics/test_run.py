"""Folders of videos: results a video, going on, broken videos, and every form of the report."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from storyreel.cli.main import main
from storyreel.errors import DataError, Stopped
from storyreel.evaluation.metrics.run import evaluate_videos, find_videos
from storyreel.evaluation.metrics.video import METRICS, Eyes
from storyreel.sampling.progress import Silent


class Watcher(Silent):
    """Counts what was looked at; Ctrl-C after `limit` frames."""

    def __init__(self, limit: int | None = None) -> None:
        self.frames = 0
        self.limit = limit
        self.notes: list[str] = []

    def advance(self, passes: int = 1) -> None:
        self.frames += passes
        if self.limit is not None and self.frames > self.limit:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def folder(clip, tmp_path: Path) -> Path:
    """Two methods with two stories each, one of them with a storyboard."""
    root = tmp_path / "videos"
    for number, method in enumerate(("ours", "<b>theirs</b>".replace("/", "-"))):
        for story in ("one", "two"):
            clip(root / method / f"{story}.mp4", seed=number)
        board = {"segments": [{"text": "A <script>alert(1)</script> thing."}]}
        (root / method / "one.json").write_text(json.dumps(board), encoding="utf-8")
    return root


def test_a_stopped_run_goes_on_and_changed_videos_are_measured_again(
    folder: Path, eyes: Eyes, clip, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    with pytest.raises(Stopped, match=r"results has the results of 2 videos of 4; the same line goes on"):
        evaluate_videos(folder, results, eyes, Watcher(limit=120))
    kept = sorted(results.rglob("*.json"))
    assert len(kept) == 2
    assert not list(results.rglob("*.part"))
    before = {path: path.stat().st_mtime_ns for path in kept}
    first = evaluate_videos(folder, results, eyes, Watcher())
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    assert len(first.videos) == 4
    again = evaluate_videos(folder, results, eyes, Watcher())
    assert again.videos == first.videos
    clip(folder / "ours" / "one.mp4", seed=7)
    (results / "ours" / "two.mp4.json").write_text("{", encoding="utf-8")
    changed = evaluate_videos(folder, results, eyes, Watcher())
    differ = [name for name in first.videos if changed.videos[name] != first.videos[name]]
    assert differ == ["ours/one.mp4"]


def test_broken_videos_are_named_and_the_others_go_on(folder: Path, eyes: Eyes, clip, tmp_path: Path) -> None:
    whole = (folder / "ours" / "one.mp4").read_bytes()
    (folder / "ours" / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "ours" / "text.mp4").write_text("no video")
    (folder / "ours" / "empty.mp4").write_bytes(b"")
    clip(folder / "ours" / "long.mp4", seed=0, frames=60)
    shutil.copyfile(folder / "ours" / "one.json", folder / "ours" / "long.json")
    watcher = Watcher()
    found = evaluate_videos(folder, tmp_path / "results", eyes, watcher)
    assert len(found.videos) == 4
    assert sorted(found.broken) == ["ours/cut.mp4", "ours/empty.mp4", "ours/long.mp4", "ours/text.mp4"]
    assert "has 2 segments of 3 s, but its storyboard tells 1" in found.broken["ours/long.mp4"]
    assert len(watcher.notes) == 4
    assert all("\n" not in why for why in found.broken.values())


def test_videos_are_found_and_those_of_stopped_runs_are_not(folder: Path, clip, tmp_path: Path) -> None:
    clip(folder / "ours" / ".one.mp4.5.part.mp4", seed=0, frames=2)
    clip(folder / "ours" / "one.partial.mp4", seed=0, frames=2)
    assert len(find_videos(folder)) == 4
    with pytest.raises(DataError, match="is no folder"):
        find_videos(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no video"):
        find_videos(tmp_path / "empty")


def test_the_command_writes_every_form(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, votes = tmp_path / "scores", tmp_path / "votes.jsonl"
    (folder / "ours" / "bad.mp4").write_text("no video")
    arguments = ["evaluate", str(folder), "--out", str(out), "--votes", str(votes), "--device", "cpu"]
    assert main(arguments) == 1
    printed = capsys.readouterr().out
    assert "features of storyreel's probe" in printed
    assert "broken: " in printed
    assert re.search(r"\+ flicker +0\.\d+ .*n 2", printed)
    found = json.loads((out / "evaluation.json").read_text())
    assert set(found["definitions"]) == {metric.name for metric in METRICS}
    assert found["methods"]["ours"]["sharpness"]["videos"] == 2
    assert found["videos"]["ours/two.mp4"]["cut_f1"]["why"] == "no storyboard is beside the video"
    assert list(found["broken"]) == ["ours/bad.mp4"]
    _check_vbench(out, folder)
    _check_page((out / "evaluation.html").read_text())
    _check_votes(votes, capsys)


def _check_vbench(out: Path, folder: Path) -> None:
    results = json.loads((out / "ours_eval_results.json").read_text())
    mean, rows = results["sharpness"]
    assert {row["video_path"] for row in rows} == {str(folder / "ours" / f"{name}.mp4") for name in ("one", "two")}
    assert mean == pytest.approx(sum(row["video_results"] for row in rows) / 2)
    info = json.loads((out / "ours_full_info.json").read_text())
    assert [row["prompt_en"] for row in info] == ["one", "two"]
    assert "sharpness" in info[0]["dimension"]


def _check_page(page: str) -> None:
    assert page.startswith("<!doctype html>")
    assert "<b>theirs" not in page
    assert "&lt;b&gt;theirs" in page
    assert page.count("data:image/jpeg;base64,") == 4
    assert not re.search(r"(src|href)='(?!data:)", page)
    assert "<script" not in page
    assert "default-src 'none'" in page


def _check_votes(votes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in votes.read_text().splitlines()]
    assert all(line["judge"].startswith("automatic:") for line in lines)
    capsys.readouterr()
    assert main(["arena", "ratings", str(votes)]) == 0
    assert capsys.readouterr().out.startswith(f"{len(lines)} of {len(lines)} votes are automatic, not people's: ")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere"], "nowhere is no folder"),
        (["--weights", "x"], "--weights is there to measure videos, which needs DIR"),
        (["videos", "--clips", "3"], "--clips is there to judge a model, which goes without DIR"),
        (["videos", "--weights", "videos"], "has no weights as safetensors"),
        (["videos", "--out", "videos/a.mp4"], "the results of videos are a folder"),
        (["videos", "--votes", "none/votes.jsonl"], "there is no folder none"),
        (["videos", "--votes", "votes.jsonl", "--out", "scores"], "votes compare two methods at least"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    complaint: str,
    clip,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    clip(Path("videos/a.mp4"), seed=0, frames=4)
    assert main(["evaluate", *arguments]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("storyreel: ")
    assert complaint in last
