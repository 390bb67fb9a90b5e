"""`storyreel write` as a user meets it."""

import json
import os
from pathlib import Path

import pytest

from storyreel.assets import DEMO_MODEL
from storyreel.cli.main import main
from storyreel.geometry import STAGE_SECONDS, TokenLayout
from storyreel.sampling.text_limit import text_limit
from storyreel.storyboard.reader import read_storyboard

PLOT = "A cat eats a pie in the kitchen. A mouse watches. The mouse steals the pie and runs away. The cat chases it."


@pytest.fixture
def plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "plot.txt"
    path.write_text(PLOT)
    return path


def test_a_plot_becomes_a_storyboard_and_lint_finds_nothing(plot, capsys):
    assert main(["write", "plot.txt", "--out", "story.json", "--seconds", "9"]) == 0
    output = capsys.readouterr()
    assert output.out.splitlines() == [
        "story.json: 3 segments, 9 s, written by rules",
        "stages to edit: story.stages",
    ]
    assert output.err == ""
    assert main(["write", "plot.txt", "--out", "story.json", "--seconds", "9"]) == 0
    assert "nothing has changed" in capsys.readouterr().out
    assert main(["write", "--lint", "story.json"]) == 0
    assert capsys.readouterr().out == "story.json: 0 errors, 0 warnings, 0 notes\n"


def test_findings_are_numbered_and_json_is_json(plot, capsys):
    plot.write_text("A dragon eats a pie in the kitchen. It sings.")
    assert main(["write", "plot.txt", "--json"]) == 0
    output = capsys.readouterr()
    assert [own["level"] for own in json.loads(output.out)] == ["warning", "note"]
    assert main(["write", "plot.txt", "--again"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith('1. warning: sentence 1: "dragon" cannot be drawn; Waddle the yellow duck plays')
    assert lines[1].startswith('2. note: sentence 2: "sings" is drawn')


def test_lint_tells_errors_by_its_status_and_fix_mends(plot, capsys):
    bad = {"segments": [{"text": "The  kitty sleeps. <end_scene>"}, {"text": "The cat sits."}, {"text": "The cat."}]}
    Path("bad.json").write_text(json.dumps(bad, indent=1))
    assert main(["write", "--lint", "bad.json", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    (mark,) = [own for own in found if own["rule"] == "mark"]
    assert (mark["level"], mark["segment"], mark["line"], mark["mended"]) == ("error", 1, 3, True)
    assert main(["write", "--lint", "--fix", "bad.json"]) == 0
    board = read_storyboard("bad.json")
    assert [own.text for own in board.segments] == ["The cat sleeps.", "The cat sits.", "The cat."]
    assert [own.scene_start for own in board.segments] == [True, True, False]


def test_fix_does_not_change_the_format_of_a_file(plot, capsys):
    Path("theirs.json").write_text(json.dumps([[{"text": "A  cat."}]]))
    assert main(["write", "--lint", "--fix", "theirs.json"]) == 1
    assert "Give --out" in capsys.readouterr().err
    assert main(["write", "--lint", "--fix", "theirs.json", "--out", "ours.json"]) == 0
    assert read_storyboard("ours.json").segments[0].text == "A cat."


def test_a_format_becomes_another(plot, capsys):
    Path("a.jsonl").write_text('{"prompts": ["A cat eats.", "The scene transitions. A cat runs."]}\n')
    assert main(["write", "a.jsonl", "--out", "a.json", "--seconds", "9"]) == 0
    assert capsys.readouterr().out == (
        "a.json: 3 segments, 9 s, read as longlive; 1 segment of longer shots says the same again\n"
    )
    assert main(["write", "a.json", "--as", "fountain"]) == 0
    assert ".SCENE 1\n\nA cat eats." in Path("a.fountain").read_text()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["nope.txt"], "nope.txt: no such file"),
        (["plot.txt", "--seconds", "10"], "10"),
        (["plot.txt", "--as", "fountain"], "--as is fountain"),
        (["plot.txt", "--out", "missing/a.json"], "there is no folder missing"),
        (["plot.txt", "--fix"], "--fix goes with --lint"),
        (["a.json", "--as", "zzz"], "--as is zzz, but it must be one of storyreel, reference"),
        (["a.json", "--out", "a.json"], "the source would be overwritten"),
        (["a.json", "--out", "b.json"], "--out is b.json, but there is such a file"),
        (["--lint", "a.json", "--model", "missing"], "There is no model folder missing"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(options, complaint, plot, capsys):
    for name in ("a.json", "b.json"):
        Path(name).write_text('{"segments": [{"text": "A cat."}]}')
    assert main(["write", *options]) == 1
    output = capsys.readouterr()
    assert complaint in output.err
    assert output.err.count("\n") == 1
    assert output.out == ""
    assert sorted(os.listdir()) == ["a.json", "b.json", "plot.txt"]


@pytest.mark.parametrize("seconds", STAGE_SECONDS)
def test_the_text_limit_is_that_of_the_geometry(seconds):
    assert text_limit(DEMO_MODEL, seconds) == (
        TokenLayout.for_video(seconds, 128, 192, max_text_tokens=112).text_tokens
    )


def test_generate_takes_a_plot_and_keeps_its_storyboard(plot, capsys):
    options = ["--seconds", "3", "--steps", "1", "--device", "cpu"]
    plot.write_text("A cat sleeps in the bedroom.")
    assert main(["generate", "plot.txt", *options]) == 0
    output = capsys.readouterr()
    told = "plot.txt is a plot: its storyboard is written by rules, and kept as plot.storyboard.json"
    assert told in " ".join(output.err.split())
    assert "bedroom" in read_storyboard("plot.storyboard.json").segments[0].text
    record = json.loads(Path("plot.run.json").read_text())
    assert record["storyboard"]["segments"][0]["text"] == read_storyboard("plot.storyboard.json").segments[0].text
    plot.write_text("A dog sleeps in the bedroom.")
    assert main(["generate", "plot.txt", *options]) == 1
    assert "plot.storyboard.json is there already, and is not what the plot plot.txt gives" in capsys.readouterr().err
