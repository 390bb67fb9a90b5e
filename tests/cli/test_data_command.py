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

from storyreel.assets import DEMO_MODEL
from storyreel.cli.main import main
from storyreel.data.manifest import Account, ItemRecord, write_manifest


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


STEPS = ["build", "probe", "scenes", "segments", "latents", "embeddings", "assemble", "check", "import", "export"]


@pytest.mark.parametrize("step", STEPS)
def test_help_of_a_step_has_an_example(step, capsys):
    assert main(["data", step, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"usage: storyreel data {step}" in text
    assert f"Example: storyreel data {step}" in text
    assert ("--workers" in text) == (step not in ("check", "import", "export"))


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
        (["latents", "{}/films", "{}/out"], "Run storyreel data segments to its end first"),
        (["latents", "{}/films", "{}/out", "--model", "{}"], "holds no model_index.json"),
        (["embeddings", "{}/films", "{}/out"], "Run storyreel data captions to its end first"),
        (["assemble", "{}/films", "{}/out", "--captions", "{}/films"], "Run storyreel data latents to its end first"),
        (["check", "{}/films"], "Run storyreel data assemble to its end first"),
        (["upscale", "{}/films", "{}/out", "--model", "x"], "Run storyreel data scenes to its end first"),
        (["build", "{}/films", "{}/out", "--upscale-model", "{}/a.pth"], "there is no model file"),
        (["build", "{}/films", "{}/out", "--model", "{}/films"], "holds no model_index.json"),
        (["build", "{}/films", "{}/out", "--edited", "{}/nowhere"], "there is no folder"),
    ],
)
def test_a_mistake_is_one_line(arguments, message, films, tmp_path, capsys):
    assert main(["data", *(part.format(tmp_path) for part in arguments)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert message in lines[-1]
    assert lines[-1].startswith("storyreel: ")


WRONG_INPUTS = [
    ["upscale", "{}", "{}/out", "--model", "x"],
    ["build", "{}/nowhere", "{}/out"],
    ["build", "{}", "{}/out", "--upscale-model", "x.pth"],
    ["latents", "{}", "{}/out"],
    ["embeddings", "{}", "{}/out"],
    ["assemble", "{}", "{}/out", "--captions", "{}"],
    ["check", "{}"],
    ["build", "{}", "{}/out", "--model", "{}"],
]


def test_a_wrong_input_is_told_before_the_large_libraries_load(tmp_path):
    lines = [["data", *(part.format(tmp_path) for part in arguments)] for arguments in WRONG_INPUTS]
    code = (
        "import json, sys\nfrom storyreel.cli.main import main\n"
        "for line in json.loads(sys.argv[1]):\n    assert main(line) == 1, line\n"
        "assert not {'torch', 'cv2', 'diffusers', 'transformers', 'spandrel'} & set(sys.modules), sys.modules.keys()"
    )
    finished = subprocess.run([sys.executable, "-c", code, json.dumps(lines)], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert len(finished.stderr.splitlines()) == len(WRONG_INPUTS)


def write_captions(out):
    """What `storyreel data captions` would leave in OUT/captions."""
    records = []
    for line in (out / "segments" / "rows.jsonl").read_text().splitlines():
        row = {"id": json.loads(line)["id"], "text": "A cat sleeps.", "provenance": "a test"}
        records.append(
            ItemRecord(
                id=row["id"],
                fingerprint="",
                made_from={},
                rows=[row],
                dropped=[],
                accounts=[Account(unit="caption", seen=1, kept=1, dropped=0)],
                artefacts=[],
            )
        )
    common = {"config": {}, "versions": {}, "source": "../segments"}
    write_manifest(out / "captions", step="captions", rows_unit="caption", records=records, **common)


def test_texts_go_out_to_another_program_and_come_back(films, tmp_path, capsys):
    out, other = tmp_path / "out", tmp_path / "other"
    assert main(["data", "build", str(films), str(out), "--size", "64x48", "--workers", "1"]) == 0
    write_captions(out)
    assert main(["data", "export", str(out / "captions"), str(other), "--format", "ltx"]) == 0
    assert "2 clips as ltx" in capsys.readouterr().err
    again = tmp_path / "again"
    assert main(["data", "build", str(other / "videos"), str(again), "--size", "64x48", "--workers", "1"]) == 0
    arguments = ["data", "import", str(other), str(again / "segments"), str(again / "captions"), "--format", "ltx"]
    assert main(arguments) == 0
    assert "captions: 2 captions" in capsys.readouterr().out
    texts = [json.loads(line)["text"] for line in (again / "captions" / "rows.jsonl").read_text().splitlines()]
    assert texts == ["A cat sleeps."] * 2
    assert main([*arguments[:-1], "vhs"]) == 1
    assert "format is vhs" in capsys.readouterr().err


def test_from_films_to_examples_in_one_line_and_step_by_step(films, tmp_path, capsys):
    out, single = tmp_path / "out", tmp_path / "single"
    line = ["data", "build", str(films), str(out), "--size", "64x48", "--workers", "1", "--device", "cpu"]
    line += ["--model", str(DEMO_MODEL), "--stages", "3", "6", "9"]
    assert main(line) == 0
    printed = capsys.readouterr()
    assert "latents: 2 segments" in printed.out
    assert f"{out / 'captions'} is missing" in printed.out
    assert "latents: 2 segments to make, about" in printed.err
    write_captions(out)
    assert main(line) == 0
    printed = capsys.readouterr()
    assert "embeddings: 2 texts" in printed.out  # two segments say the same; and the empty text
    assert "assemble: 3 examples, 2 segments at 3 s, 2 segments at 6 s, 0 segments at 9 s of 2" in printed.out
    assert "left out: 2 x segment at 9 s: left over" in printed.out
    assert printed.out.splitlines()[-1] == "every example is good"
    steps = [
        ["latents", str(out / "segments"), str(single / "latents")],
        ["embeddings", str(out / "captions"), str(single / "embeddings"), "--stages", "3", "6", "9"],
        ["assemble", str(single / "latents"), str(single / "assembled"), "--captions", str(out / "captions")]
        + ["--embeddings", str(single / "embeddings"), "--stages", "3", "6", "9"],
    ]
    for step in steps:
        assert main(["data", *step, "--workers", "1", *(["--device", "cpu"] if step[0] != "assemble" else [])]) == 0
    for name in ("latents", "embeddings", "assembled"):
        manifests = [json.loads((folder / name / "manifest.json").read_text())["content"] for folder in (out, single)]
        assert manifests[0] == manifests[1]
    capsys.readouterr()
    assert main(["data", "check", str(single / "assembled"), "--json", "--batch", "4"]) == 0
    assert json.loads(capsys.readouterr().out)["left_out"]["example at 3 s: fewer than a batch of 4"] == 2
    for arguments, message in [
        (["embeddings", str(out / "captions"), "--stages", "3", "10"], "length is 10 s"),
        (["embeddings", str(out / "captions"), "--mask", "some"], "mask is some"),
        (["latents", str(out / "segments"), "--dtype", "float16"], "dtype is float16"),
        (
            ["assemble", str(single / "latents"), "--captions", str(out / "captions"), "--validation", "2"],
            "validation share is 2.0",
        ),
    ]:
        assert main(["data", arguments[0], arguments[1], str(tmp_path / "none"), *arguments[2:]]) == 1
        assert message in capsys.readouterr().err.splitlines()[-1]
    (shard,) = (single / "assembled" / "shards" / "train" / "06s").glob("*.tar")
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 3])
    assert main(["data", "check", str(single / "assembled")]) == 1
    assert "finding" in capsys.readouterr().out.splitlines()[-1]


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
