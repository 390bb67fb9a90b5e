"""`storyreel train` and `storyreel evaluate`: mistakes, and how reports become progress."""

import io
import re
import time

import pytest

from storyreel.cli.main import main
from storyreel.cli.progress import Counter, PlainProgress
from storyreel.cli.train import NOTE_EVERY_SECONDS, Reporter


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["train", "demo-4s"], "no recipe 'demo-4s', but 'demo-"),
        (["train", "demo-3s", "--set", "stepz=1"], "no field 'stepz'"),
        (["train", "demo-3s", "--set", "steps=many"], "'many' is no int"),
        (["evaluate", "--seconds", "63"], "--seconds is 63, but clips are cut from stories of 7 segments"),
        (["evaluate", "--clips", "0"], "--clips is 0, but it must be 1 or more"),
        (["evaluate", "--out", "missing/a.json"], "there is no folder missing"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    output = capsys.readouterr()
    assert re.fullmatch(rf"storyreel: .*{re.escape(complaint)}.*\n", output.err)
    assert output.out == ""


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
