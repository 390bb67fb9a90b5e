"""`storyreel bench block`: sizes at the paper's width, times at a tiny one."""

import dataclasses
import json
from pathlib import Path

import pytest

from storyreel.cli.bench import _line
from storyreel.cli.bench_published import published
from storyreel.cli.main import main
from storyreel.mixers import MIXER_NAMES

TINY = ["--width", "32", "--heads", "2", "--height", "32", "--frame-width", "32", "--repeats", "1", "--device", "cpu"]


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[list[str], dict]:
    assert main(["bench", "block", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    return lines, json.loads(lines[-1])


def test_sizes_at_the_width_of_the_paper(capsys: pytest.CaptureFixture[str]) -> None:
    lines, result = answer(capsys, "--sizes")
    assert (result["width"], result["heads"]) == (3072, 48)
    rows = {row["layer"]: row for row in result["layers"]}
    assert tuple(rows) == MIXER_NAMES
    assert lines[0] == "width 3072, 48 heads; state after 63 s, 351,168 tokens"
    assert [line.split()[0] for line in lines[2:9]] == list(MIXER_NAMES)
    assert rows["local"]["parameters"] == rows["local"]["state"] == 0
    for name in ("full", "sliding_window", "mamba2", "gated_deltanet"):
        assert rows[name]["ratio"] == pytest.approx(1, abs=0.02)
    assert rows["ttt_linear"]["ratio"] == pytest.approx(0.965, abs=0.001)
    # A head of 64: 64 x 256 twice and two biases, or 64 x 64 and one.
    assert rows["ttt_mlp"]["state_per_head"] == 2 * 64 * 256 + 256 + 64
    assert rows["ttt_linear"]["state_per_head"] == 64 * 64 + 64
    assert rows["mamba2"]["state_per_head"] == pytest.approx(4 * rows["ttt_linear"]["state_per_head"], rel=0.05)
    assert rows["mamba2"]["state_per_head"] == pytest.approx(rows["ttt_mlp"]["state_per_head"] / 2, rel=0.05)
    assert rows["sliding_window"]["state"] == 2 * 8191 * 50 * 64
    assert rows["full"]["state"] == 2 * 351_168 * 50 * 64
    assert [rows[name]["gates"] for name in ("local", "full", "ttt_mlp")] == [0, 2 * 3072, 4 * 3072]


def test_sizes_of_one_layer_as_json_alone(capsys: pytest.CaptureFixture[str]) -> None:
    lines, result = answer(
        capsys, "--sizes", "--json", "--layers", "mamba2", "--width", "320", "--heads", "5", "--seconds", "3", "9"
    )
    assert len(lines) == 1
    assert [(row["layer"], row["seconds"]) for row in result["layers"]] == [("mamba2", 3), ("mamba2", 9)]
    assert result["layers"][0]["state"] == 7 * 64 * 208


def test_times_of_every_layer_beside_local(capsys: pytest.CaptureFixture[str]) -> None:
    lines, result = answer(capsys, *TINY)
    assert [line.split()[0] for line in lines[2:9]] == list(MIXER_NAMES)
    assert (result["device"], result["dtype"], result["batch"], result["repeats"]) == ("cpu", "float32", 1, 1)
    assert {"torch", "triton", "storyreel", "fla-core", "threads"} <= result.keys()
    for row in result["layers"]:
        assert row["refused"] is None
        assert row["tokens"] == 512
        assert row["training_ms"] > 0
        for kind in ("forward", "training"):
            base = result["layers"][0][f"{kind}_ms"]
            assert row[f"{kind}_ratio"] == pytest.approx(row[f"{kind}_ms"] / base, rel=1e-3, abs=2e-3)
        assert row["peak_mib"] is None or row["peak_mib"] > 50


@pytest.mark.parametrize(("forward", "remat"), [("plain", "none"), ("fused", "block+attention+mlp")])
def test_either_forward_can_be_timed(forward, remat, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "block.json"
    given = ["--layers", "local", "ttt_mlp", "--forward", forward, "--remat", remat, "--out", str(out)]
    _, result = answer(capsys, *TINY, *given)
    assert [row["forward"] for row in result["layers"]] == [forward] * 2
    assert all(row["forward_ms"] > 0 and row["refused"] is None for row in result["layers"])
    assert result["remat"] == remat
    assert json.loads(out.read_text()) == result


def test_the_papers_figures_stand_beside_at_its_sizes() -> None:
    theirs = published(63, "ttt_mlp", 3072, 48, 480, 720)
    assert theirs is not None
    row = {"layer": "ttt_mlp", "forward_ms": 500.0, "forward_ratio": 1.5, "forward_mib": 1000.0, "refused": "no room"}
    row |= {"training_ms": None, "training_ratio": None, "peak_mib": None, "published": dataclasses.asdict(theirs)}
    assert _line(row).split() == ["ttt_mlp", "500.00", "1.50", "2.50", "1.05", "-", "-", "3.80", "-", "no", "room"]
    ratios = {name: published(63, name, 3072, 48, 480, 720) for name in MIXER_NAMES}
    assert {name: (own.forward_ratio, own.training_ratio) for name, own in ratios.items() if own} == {
        "local": (1.0, 1.0),
        "full": (11, 12),
        "gated_deltanet": (1.8, 1.8),
        "ttt_linear": (1.66, None),
        "ttt_mlp": (2.5, 3.8),
    }
    assert published(63, "ttt_mlp", 320, 5, 480, 720) is None


def test_parts_of_a_block_beside_their_floors(capsys: pytest.CaptureFixture[str]) -> None:
    lines, result = answer(capsys, *TINY, "--layers", "ttt_mlp", "mamba2", "--parts")
    memory, other = result["layers"]
    assert [row["layer"] for row in (memory, other)] == ["ttt_mlp", "mamba2"]
    parts = {part["part"]: part for part in memory["parts"]}
    assert parts["mixer: memory"]["times"] == 2
    for part in memory["parts"]:
        assert part["refused"] is None
        assert part["forward_ms"] > 0
        assert part["backward_ms"] > 0
        assert part["forward_floor_ms"] >= 0
    assert next(part for part in other["parts"] if part["part"] == "mixer")["forward_floor_ms"] is None
    assert lines[0] == "ttt_mlp: width 32, 2 heads, 3 s, 512 tokens"
    assert [line[:26].strip() for line in lines[2:5]] == ["norm", "attention: q, k, v", "attention: windows"]
    summed = next(line for line in lines if line.startswith("all together")).split()
    forward = sum(part["forward_ms"] for part in memory["parts"])
    assert float(summed[2]) == pytest.approx(forward, abs=0.006)


def test_without_local_there_is_no_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    lines, result = answer(capsys, *TINY, "--layers", "full")
    assert (result["layers"][0]["forward_ratio"], result["layers"][0]["layer"]) == (None, "full")
    assert lines[2].split()[2] == "-"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "atention"], "mixer is 'atention', but the choices are local, full"),
        (["--width", "320"], "width is 320, but 48 heads need a multiple of 768"),
        (["--parts", "--forward", "plain"], "--forward is plain, but --parts are those of the fused block"),
        (["--remat", "all"], "remat is 'all', but 'all' is unknown; it is none, or some of block, attention"),
        (["--repeats", "0"], "--repeats is 0, but it must be 1 or more"),
        (["--seconds", "4"], "length is 4 s, but it must be 3 s or a multiple of that"),
        (["--device", "tpu"], "--device is tpu, but PyTorch cannot use it here"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "block", *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
