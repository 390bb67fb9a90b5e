"""`storyreel data` as a user meets it."""

import json
import os
import signal
import subprocess
import sys
import time

import av
import numpy as np
import pytest

from storyreel.cli.main import main


def write_film(path, cuts=2, frames=100):
    """A film of coloured noise that changes every `frames` frames, 24 a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(cuts * frames):
            blocks = np.random.default_rng(number // frames).integers(40, 200, (6, 8, 3), np.uint8)
            picture = np.kron(blocks, np.ones((8, 8, 1), np.uint8))
            picture[20:28, number % 40 : number % 40 + 8] = 230
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture
def films(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    write_film(folder / "a.mp4")
    (folder / "empty.mkv").write_bytes(b"")
    return folder


@pytest.mark.parametrize("step", ["build", "probe", "scenes", "segments"])
def test_help_of_a_step_has_an_example(step, capsys):
    assert main(["data", step, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"usage: storyreel data {step}" in text
    assert f"Example: storyreel data {step}" in text
    assert "--workers" in text


def test_help_answers_within_half_a_second():
    code = "import sys; from storyreel.cli.main import main; sys.exit(main(['data', 'build', '--help']))"

    def seconds_of_work():
        before = os.times()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        after = os.times()
        return sum(after[2:4]) - sum(before[2:4])

    assert min(seconds_of_work() for _ in range(3)) < 0.5


def test_build_and_single_steps_agree(films, tmp_path, capsys):
    out, single = tmp_path / "out", tmp_path / "single"
    assert main(["data", "build", str(films), str(out), "--size", "64x48", "--workers", "1"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "probe: 1 film of 2"
    assert printed[1] == "scenes: 200 frames, 2 shots"
    assert printed[2] == "segments: 2 segments, 2 shots"
    steps = [
        ["probe", str(films), str(single / "probe")],
        ["scenes", str(single / "probe"), str(single / "scenes")],
        ["segments", str(single / "scenes"), str(single / "segments"), "--size", "64x48"],
    ]
    for step in steps:
        assert main(["data", *step, "--workers", "1"]) == 0
    for name in ("probe", "scenes", "segments"):
        assert (out / name / "manifest.json").read_text() == (single / name / "manifest.json").read_text()


def test_edited_lists_take_the_place_of_the_detector(films, tmp_path, capsys):
    out, edited = tmp_path / "out", tmp_path / "edited"
    assert main(["data", "build", str(films), str(out), "--size", "64x48", "--workers", "1"]) == 0
    (found,) = (out / "scenes" / "lists").glob("*.csv")
    edited.mkdir()
    (edited / found.name).write_text(found.read_text().replace("100,200,cut", "110,200,cut"))
    line = ["data", "build", str(films), str(out), "--size", "64x48", "--workers", "1", "--edited", str(edited)]
    assert main(line) == 0
    rows = [json.loads(row) for row in (out / "scenes" / "rows.jsonl").read_text().splitlines()]
    assert [(row["start"], row["stop"]) for row in rows] == [(0, 100), (110, 200)]
    capsys.readouterr()
    (edited / "0000.csv").write_text("")
    assert main(line) == 1
    assert "is of no film here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "{}/nowhere", "{}/out"], "there is no"),
        (["build", "{}/films", "{}/films/a.mp4"], "is a file, but the result is a folder"),
        (["build", "{}/films", "{}/out", "--size", "big"], "--size is big"),
        (["build", "{}/films", "{}/out", "--size", "63x48"], "width is 63 pixels"),
        (["build", "{}/films", "{}/out", "--crf", "99"], "crf is 99"),
        (["build", "{}/films", "{}/out", "--workers", "0"], "--workers is 0"),
        (["scenes", "{}/films", "{}/out"], "Run storyreel data probe to its end first"),
        (["segments", "{}/films", "{}/out"], "Run storyreel data scenes to its end first"),
    ],
)
def test_a_mistake_is_one_line(arguments, message, films, tmp_path, capsys):
    assert main(["data", *(part.format(tmp_path) for part in arguments)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert message in lines[-1]
    assert lines[-1].startswith("storyreel: ")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups to signal")
def test_ctrl_c_stops_soon_and_the_same_line_goes_on(tmp_path):
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    write_film(films / "a.mp4", cuts=40, frames=80)
    code = (
        "import signal, sys\nfrom storyreel.cli.entry import main\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n    sys.exit(main())\n"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    line = [sys.executable, str(script), "data", "build", str(films), str(out), "--size", "64x48", "--workers", "2"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        deadline = time.monotonic() + 90
        while not list(out.glob("segments/items/*.json")) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=30)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1].startswith("storyreel: stopped. Whole items stay")
    assert "Traceback" not in errors
    done = list(out.glob("segments/items/*.json"))
    assert 0 < len(done) < 40
    kept = {path: path.stat().st_mtime_ns for path in done}
    assert main(["data", "build", str(films), str(out), "--size", "64x48", "--workers", "1"]) == 0
    assert {path: path.stat().st_mtime_ns for path in done} == kept
    assert len((out / "segments" / "rows.jsonl").read_text().splitlines()) == 40
