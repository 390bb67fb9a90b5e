"""`storyreel arena verify`, `export`, `import`, and `ratings` of a database."""

import json
import sqlite3
from pathlib import Path

import pytest

from storyreel.cli.main import main

pytest.importorskip("sqlalchemy", reason="needs the extra arena")

STUDY = "method,story,video\n" + "".join(f"{method},story {at},x\n" for method in "abc" for at in range(10))


@pytest.fixture
def voted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A folder with votes.jsonl, study.csv and study.sqlite."""
    methods = ["--methods", "a=1030", "b=1000", "c=970", "--stories", "10", "--votes-per-axis", "5"]
    assert main(["arena", "simulate", str(tmp_path), "--raters", "8", *methods]) == 0
    (tmp_path / "study.csv").write_text(STUDY)
    files = [str(tmp_path / name) for name in ("votes.jsonl", "study.sqlite")]
    assert main(["arena", "import", *files, "--study", str(tmp_path / "study.csv")]) == 0
    assert "160 votes appended" in capsys.readouterr().out
    return tmp_path


def test_there_and_back(voted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = str(voted / "study.sqlite")
    assert main(["arena", "export", database, str(voted / "out.jsonl")]) == 0
    assert main(["arena", "export", database, str(voted / "out.csv")]) == 0
    assert "160 votes, 0 of them not used" in capsys.readouterr().out
    assert (voted / "out.jsonl").read_text() == (voted / "votes.jsonl").read_text()
    ratings = []
    for source in ("study.sqlite", "out.jsonl", "out.csv"):
        assert main(["arena", "ratings", str(voted / source), "--json"]) == 0
        ratings.append(json.loads(capsys.readouterr().out))
    first = [one["rating"] for one in ratings[0]["overall"]["rated"]]
    for other in ratings[1:]:
        assert [one["rating"] for one in other["overall"]["rated"]] == pytest.approx(first, abs=1e-6)


def test_verify(voted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = str(voted / "study.sqlite")
    assert main(["arena", "verify", database]) == 0
    head = capsys.readouterr().out.split()[-1]
    assert len(head) == 64
    assert main(["arena", "verify", database, "--head", head]) == 0
    connection = sqlite3.connect(database)
    with connection:
        connection.execute("DROP TRIGGER votes_no_change")
        connection.execute("UPDATE votes SET winner = 'tie' WHERE number = 42")
    connection.close()
    capsys.readouterr()
    assert main(["arena", "verify", database]) == 1
    assert "vote 42 (pair " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["verify", "none.sqlite"], "none.sqlite is no file"),
        (["verify", "votes.jsonl"], "is no database"),
        (["export", "none.sqlite", "out.jsonl"], "is no file"),
        (["import", "none.jsonl", "new.sqlite"], "cannot be read"),
        (["import", "votes.jsonl", "study.sqlite"], "in the database already"),
        (["import", "bad.jsonl", "new.sqlite"], "line 1"),
        (["import", "other.jsonl", "study.sqlite"], "line 1: the method z is not in the study"),
        (["import", "votes.jsonl", "mysql://localhost/x"], "mysql is no database"),
        (["ratings", "postgresql://user:secret@127.0.0.1:1/x"], "takes no change now"),
    ],
)
def test_mistakes_are_one_line(
    voted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list, complaint: str
) -> None:
    monkeypatch.chdir(voted)
    votes = (voted / "votes.jsonl").read_text()
    first = json.loads(votes.splitlines()[0])
    (voted / "bad.jsonl").write_text(json.dumps(first | {"winner": "both"}))
    (voted / "other.jsonl").write_text(json.dumps(first | {"model_a": "z"}))
    assert main(["arena", *arguments]) == 1
    error = capsys.readouterr().err
    assert complaint in error.splitlines()[-1]
    assert "Traceback" not in error
    assert "secret" not in error
    assert not (voted / "new.sqlite").exists()


@pytest.mark.parametrize("name", ["verify", "export", "import"])
def test_help_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["arena", name, "--help"]) == 0
    assert f"storyreel arena {name}" in capsys.readouterr().out
