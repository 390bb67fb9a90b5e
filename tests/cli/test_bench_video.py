"""`storyreel bench video` at a tiny size on the CPU: all of it, with a profile; and what it refuses."""

import json
from pathlib import Path

import pytest

from storyreel.cli import bench_video
from storyreel.cli.main import main

TINY = ["--size", "32x32", "--seconds", "3", "--blocks", "2", "--width", "32", "--heads", "2", "--device", "cpu"]
TINY += ["--steps", "1"]


@pytest.mark.parametrize("forward", ["plain", "fused"])
def test_a_tiny_video(forward: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out, profile = tmp_path / "video.json", tmp_path / "profile.json"
    given = ["--vae-channels", "8", "--forward", forward, "--out", str(out), "--profile", str(profile)]
    assert main(["bench", "video", *TINY, *given]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0].startswith("3 s, 32x32, 512 tokens, ttt_mlp, 2 blocks, ")
    assert lines[1].startswith("memory: about ")
    assert lines[2].startswith("time: ")
    assert "a step under the profiler" in shown.err
    result = json.loads(lines[-1])
    assert json.loads(out.read_text()) == result
    assert result["measured"]["forward"] == forward
    assert result["measured"]["step_seconds"] > 0
    assert result["measured"]["decode_seconds"] > 0
    assert result["exact_minutes"] == pytest.approx(50 * result["measured"]["step_seconds"] / 60, abs=1e-3)
    assert result["authors_minutes"] is None
    alive = result["estimated"]["alive"]
    assert sum(alive.values()) == result["estimated"]["peak_bytes"]
    assert alive["weights"] == 4 * result["parameters"]
    parts = {row["part"]: row for row in json.loads(profile.read_text())["parts"]}
    wanted = "attention: softmax" if forward == "fused" else "attention, the rest"
    assert parts[wanted]["milliseconds"] > 0
    if forward == "fused":
        assert any("attention" in kernel["name"] for kernel in parts[wanted]["kernels"])
        assert parts["mixer: memory"]["floor_ms"] > 0
        assert sum(kernel["calls"] for kernel in parts["feed-forward"]["kernels"]) >= 6


def test_without_decoding_and_with_branches_in_turn(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "video", *TINY, "--vae-channels", "0", "--in-turn", "--mixer", "local", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    result = json.loads(line)
    assert result["measured"]["decode_seconds"] is None
    assert result["video"]["in_turn"] is True


def test_too_little_memory_is_refused_with_a_way_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_video, "available_memory_bytes", lambda: 300_000_000)
    given = ["--size", "720x480", "--blocks", "1", "--width", "64", "--heads", "1", "--vae-channels", "0"]
    assert main(["bench", "video", *given, "--device", "cpu", "--forward", "fused", "--mixer", "local"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "free memory is 0.3 GB, but this needs about 1.2. Try --seconds 9, or begin anyway with --force" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "720"], "--size is '720', but it must be WIDTHxHEIGHT in pixels"),
        (["--blocks", "0"], "--blocks is 0, but it must be 1 or more"),
        (["--vae-channels", "100"], "--vae-channels is 100, but it must be a power of 2, 8 or more, or 0"),
        (["--seconds", "4"], "length is 4 s, but it must be 3 s or a multiple of that"),
        (["--out", "."], "--out is ., but that file is there already"),
        (["--mixer", "lstm", "--device", "cpu"], "mixer is 'lstm', but the choices are local, full"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "video", *arguments]) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]
