"""`storyreel train` and `storyreel evaluate`: mistakes, and how reports become progress."""

import io
import json
import re
import time
from pathlib import Path

import pytest

from storyreel.cli import evaluate
from storyreel.cli.evaluate import Evaluate, write_figures
from storyreel.cli.main import main
from storyreel.cli.progress import Counter, PlainProgress
from storyreel.cli.train import NOTE_EVERY_SECONDS, Reporter
from storyreel.errors import OutputError
from storyreel.evaluation.judge import Judgement, Reading, Share


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["train", "demo-4s"], "no recipe 'demo-4s', but 'demo-"),
        (["train", "demo-3s", "--set", "stepz=1"], "no field 'stepz'"),
        (["train", "demo-3s", "--set", "steps=many"], "'many' is no int"),
        (["train", "demo-3s", "--set", "steps=-1"], "steps is -1, but it must be 1 or more. The recipe has 800."),
        (
            ["train", "demo-3s", "--set", "optimiser.learning_rate=0"],
            "optimiser.learning_rate is 0.0, but it must be more than 0. The recipe has 0.001.",
        ),
        (["evaluate", "--seconds", "63"], "--seconds is 63, but clips are cut from stories of 7 segments"),
        (["evaluate", "--clips", "0"], "--clips is 0, but it must be 1 or more"),
        (["train", "demo-3s", "--minutes", "0"], "--minutes is 0.0, but it must be more than 0"),
        (["train", "demo-3s", "--anneal"], "Add --minutes 10."),
        (["train", "demo-3s", "--gpus", "0"], "--gpus is 0, but it must be at least 1"),
        (
            ["train", "demo-3s", "--gpus", "2", "--device", "cpu"],
            "--device is cpu, but --gpus is 2. Give one of the two",
        ),
        (["train", "demo-clips-3s", "--workers", "0"], "--workers is 0, but it must be at least 1"),
        (["train", "demo-clips-3s", "--out", "/dev/null"], "--out /dev/null cannot be a folder for runs: File exists"),
        (["train", "demo-clips-3s", "--out", "/proc/runs"], "--out /proc/runs cannot be a folder for runs: No such"),
        (["evaluate", "--out", "missing/a.json"], "there is no folder missing"),
        (["evaluate", "--out", "."], "--out . is a folder. Give the name of a file in it: evaluation.json"),
        (["evaluate", "--sheets", "/dev/null"], "--sheets /dev/null is a file, but it must be a folder"),
        (["evaluate", "--steps", "0"], "--steps is 0, but it must be 1 or more"),
        (["evaluate", "--guidance", "0"], "guidance is 0.0, but it must be 1"),
        (["evaluate", "--workers", "0"], "--workers is 0, but it must be at least 1"),
        (["evaluate", "--model", "missing"], "There is no model folder missing"),
        (["evaluate", "--probe", "missing"], "missing holds no probe"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    output = capsys.readouterr()
    assert re.fullmatch(rf"storyreel: .*{re.escape(complaint)}.*\n", output.err)
    assert output.out == ""


@pytest.mark.parametrize("command", [["train", "demo-clips-3s", "--out", "runs"], ["evaluate"]])
def test_a_device_that_is_none_is_one_line(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--device", "gpu9"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "storyreel: --device is gpu9, but PyTorch cannot use it here. Try auto or cpu."
    )


def test_figures_that_cannot_be_written_leave_nothing(tmp_path: Path) -> None:
    write_figures(tmp_path / "a.json", "{}")
    assert (tmp_path / "a.json").read_text() == "{}\n"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=r"folder cannot be written: Is a directory\. The figures are above"):
        write_figures(tmp_path / "folder", "{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "folder"]


def test_evaluate_tells_psnr_a_frame_and_pooled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reading = Reading(Share(3, 4), Share(2, 4), Share(10, 20))
    judgement = Judgement(31.256, 29.5, reading, reading, reading, {"steps": 8})
    monkeypatch.setattr(evaluate, "_judge", lambda options, progress: judgement)
    evaluate.run(Evaluate(out=tmp_path / "a.json"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "autoencoder: PSNR 31.26 dB a frame, 29.50 dB pooled"
    figures = json.loads(lines[-1])
    assert (figures["psnr_db"], figures["pooled_psnr_db"]) == (31.256, 29.5)
    assert json.loads((tmp_path / "a.json").read_text()) == figures


def test_help_of_train_names_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    assert "demo-3s" in text
    assert "demo-pack" in text


def test_reports_become_stages_and_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 50.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    stream = io.StringIO()
    progress = PlainProgress(stream)
    report = Reporter(progress)
    report("3s", 0, 100, {"loss": 1.5})
    report("3s", 20, 100, {"loss": 0.123456})
    now += NOTE_EVERY_SECONDS
    report("3s", 40, 100, {"loss": 0.1, "gradient_norm": 2.0})
    report("9s", 5, 10, {})
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if line.endswith("...")] == ["3s ...", "9s ..."]
    notes = [line for line in lines if "loss" in line]
    assert notes == ["3s 0/100: loss 1.5", "3s 40/100: loss 0.1, gradient_norm 2"]


def test_a_counter_advances_by_what_is_new() -> None:
    class Total:
        count = 0

        def advance(self, passes: int = 1) -> None:
            self.count += passes

    progress = Total()
    counter = Counter(progress)
    for done in (3, 3, 10):
        counter(done)
    assert progress.count == 10
