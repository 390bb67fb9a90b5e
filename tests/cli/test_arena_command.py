"""`storyreel arena simulate` and `storyreel arena ratings`."""

import json
import time
from pathlib import Path

import pytest

from storyreel.cli.main import main

SMALL = ["--methods", "a=1030", "b=1000", "c=970", "--stories", "10", "--votes-per-axis", "5"]


def test_a_simulated_study_is_rated_the_same_from_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "study"
    assert main(["arena", "simulate", str(out), "--raters", "30", *SMALL, "--ties", "--adaptive"]) == 0
    printed = capsys.readouterr().out
    assert "600 votes in votes.jsonl" in printed
    assert main(["arena", "ratings", str(out / "votes.jsonl"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    first = json.loads((out / "report.json").read_text())
    assert [one["rating"] for one in again["overall"]["rated"]] == pytest.approx(
        [one["rating"] for one in first["overall"]["rated"]], abs=1e-6
    )


def test_a_table_a_page_and_a_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["arena", "simulate", str(tmp_path), "--raters", "8", *SMALL]) == 0
    capsys.readouterr()
    page, table = tmp_path / "ratings.html", tmp_path / "votes.csv"
    votes = str(tmp_path / "votes.jsonl")
    assert main(["arena", "ratings", votes, "--html", str(page), "--csv", str(table)]) == 0
    assert "overall: provisional: 8 of 24 raters" in capsys.readouterr().out
    assert page.read_text().startswith("<!doctype html>")
    assert len(table.read_text().splitlines()) == 161


def test_two_hundred_raters_are_simulated_in_a_minute(tmp_path: Path) -> None:
    begin = time.process_time()
    assert main(["arena", "simulate", str(tmp_path), "--raters", "200"]) == 0
    assert time.process_time() - begin < 60
    assert len((tmp_path / "votes.jsonl").read_text().splitlines()) == 24_000


def test_votes_from_outside_the_study_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = tmp_path / "study.csv"
    study.write_text("method,story,video\na,story 0,x\nb,story 0,x\n")
    assert main(["arena", "simulate", str(tmp_path), "--raters", "8", *SMALL]) == 0
    capsys.readouterr()
    assert main(["arena", "ratings", str(tmp_path / "votes.jsonl"), "--study", str(study)]) == 1
    error = capsys.readouterr().err
    assert "line 1" in error
    assert "not in the study" in error


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["ratings", "none.jsonl"], "cannot be read"),
        (["ratings", "empty.jsonl"], "holds no vote"),
        (["ratings", "empty.jsonl", "--half-width", "0"], "--half-width is 0"),
        (["simulate", "empty.jsonl"], "is a file"),
        (["simulate", "out", "--methods", "a", "b"], "NAME=ELO"),
        (["simulate", "out", "--methods", "a=1000"], "number of methods is 1"),
        (["simulate", "out", "--methods", "a=1", "a=2"], "in the study twice"),
        (["simulate", "out", "--raters", "0"], "number of raters is 0"),
        (["simulate", "out", "--stories", "0"], "--stories is 0"),
        (["simulate", "out", "--raters", "5", "--colluders", "6"], "no more than the 5 raters"),
        (["simulate", "out", "--taste", "nan"], "must be finite"),
        (["simulate", "out", "--taste=-1"], "taste"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list, complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.jsonl").touch()
    assert main(["arena", *arguments]) == 1
    error = capsys.readouterr().err
    assert complaint in error.splitlines()[-1]
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["arena", "--help"]) == 0
    assert "arena simulate" in capsys.readouterr().out
    for name in ("simulate", "ratings"):
        assert main(["arena", name, "--help"]) == 0
        assert f"storyreel arena {name}" in capsys.readouterr().out
