"""The walk of docs/data.md, line by line at a small size: a real film and a cartoon, from files to a training step."""

import re
import runpy
import shutil
import sys
from pathlib import Path

from storyreel.cli.main import main
from storyreel.data.example_rows import ExampleRow
from storyreel.data.manifest import read_rows

ROOT = Path(__file__).parents[2]
EXCERPT = Path(__file__).parent / "media" / "big_buck_bunny.mp4"


def test_from_films_to_a_training_step(model, tmp_path, monkeypatch, capsys):
    films, out = tmp_path / "films", tmp_path / "dataset"
    assert main(["toons", str(films), "--stories", "1", "--seconds", "9", "--size", "96x64", "--workers", "1"]) == 0
    shutil.copy(EXCERPT, films)
    (films / "big_buck_bunny.txt").write_text("A big grey rabbit comes out of\nits burrow and stretches.\n")
    build = ["data", "build", str(films), str(out), "--size", "48x32", "--workers", "1"]
    assert main(build) == 0
    captions = ["data", "import", str(films), str(out / "segments"), str(out / "captions"), "--format", "storyboards"]
    assert main(captions) == 0
    capsys.readouterr()
    assert main([*build, "--model", str(model), "--stages", "3", "9"]) == 0
    said = capsys.readouterr().out
    assert "every example is good" in said
    rows = read_rows(out / "assembled", ExampleRow)
    assert sorted(row.seconds for row in rows) == [3, 3, 3, 3, 9]
    (rabbit,) = (row for row in rows if "rabbit" in row.texts[0])
    assert rabbit.texts == ("<start_scene> A big grey rabbit comes out of its burrow and stretches. <end_scene>",)
    line = ["training_step.py", str(out / "assembled"), "--size", "48x32", "--model", str(model)]
    monkeypatch.setattr(sys, "argv", line)
    runpy.run_path(str(ROOT / "examples" / "training_step.py"), run_name="__main__")
    before, after = map(float, re.findall(r"\d+\.\d{4}", capsys.readouterr().out))
    assert after < before
