"""`storyreel bench ops` on a CPU: real backends, a few tokens."""

import json
from pathlib import Path

import pytest
import torch

from storyreel.cli import bench_ops_table as table
from storyreel.cli.main import main
from storyreel.ops.ttt import dual, timing
from storyreel.ops.ttt.hopper.launch import LAUNCHES
from storyreel.ops.ttt.timing import OpTime, Time
from storyreel.ops.ttt.trial import Shape

TINY = ("--device", "cpu", "--tokens", "70", "--heads", "1", "--repeats", "1")
PAPER = Shape("ttt_mlp", 1, 351_168, 48, checkpoint_every=64)


def answer(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> tuple[list[str], dict]:
    assert main(["bench", "ops", *TINY, *arguments]) == status
    lines = capsys.readouterr().out.splitlines()
    return lines, json.loads(lines[-1])


def test_backends_and_ops_with_times_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    lines, result = answer(capsys)
    assert lines[1].startswith("1 head of 64, 70 tokens in 2 mini-batches of 64; states kept every 64 mini-batches")
    assert lines[2] == "error: against float64, of 70 tokens; us: microseconds a mini-batch"
    names = [(op, backend) for op in ("ttt_mlp", "ttt_linear") for backend in ("reference", "dual")]
    assert [tuple(line.split()[:3:2]) for line in lines[4:8]] == names
    assert [(row["op"], row["backend"]) for row in result["rows"]] == names
    assert {"device", "dtype", "torch", "triton", "storyreel", "threads"} <= result.keys()
    assert result["dtype"] == "float32"
    for line, row in zip(lines[4:8], result["rows"], strict=True):
        assert (row["batch"], row["tokens"], row["mini_batches"]) == (1, 70, 2)
        assert row["refused"] is row["wrong"] is None
        for name, error in (("forward", "outputs"), ("backward", "gradients")):
            assert row[f"{name}_us_a_mini_batch"] == pytest.approx(500 * row[f"{name}_ms"], rel=1e-3)
            assert 1e-8 < row[f"error_{error}"] < 1e-5
            assert row[f"{name}_peak_mib"] is None
            column = {"forward": 6, "backward": 10}[name]
            assert float(line.split()[column]) == pytest.approx(row[f"error_{error}"], rel=0.1)


def test_forward_alone_in_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "new" / "ops.json"
    lines, result = answer(
        capsys, "--no-backward", "--json", "--ops", "ttt_linear", "--batch", "2", "3", "--out", str(out)
    )
    assert len(lines) == 1
    assert json.loads(out.read_text()) == result
    assert [(row["batch"], row["backend"]) for row in result["rows"]] == [
        (batch, backend) for batch in (2, 3) for backend in ("reference", "dual")
    ]
    assert all(row["backward_ms"] is row["error_gradients"] is None for row in result["rows"])
    assert main(["bench", "ops", *TINY, "--out", str(out)]) == 1
    assert "that file is there already. Choose another name." in capsys.readouterr().err


def test_a_backend_that_cannot_serve_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    lines, result = answer(capsys, "--backends", "hopper", "--ops", "ttt_mlp")
    assert 'needs an sm_90 GPU (H100, H200); got cpu. Try backend="dual".' in lines[4]
    assert result["rows"][0]["forward_ms"] is None
    assert result["launches"] == []
    assert [len(facts["cubin_sha256"]) for facts in result["hopper_kernels"].values()] == [64, 64]


def test_a_wrong_backend_gets_no_times(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    exact = dual.descend

    def half_a_step(w, b, x, slope):
        return exact(w, b, x, slope / 2) if w.dtype == torch.float32 else exact(w, b, x, slope)

    monkeypatch.setattr(dual, "descend", half_a_step)
    lines, result = answer(capsys, "--ops", "ttt_mlp", status=1)
    assert "WRONG" not in lines[4]
    assert "WRONG, so no times: y errs 0." in lines[5]
    assert [row["forward_ms"] is None for row in result["rows"]] == [False, True]
    assert "more than 1e-04" in result["rows"][1]["wrong"]


def test_values_that_are_not_finite_at_the_timed_length_are_wrong(monkeypatch, capsys) -> None:
    monkeypatch.setattr(timing.Trial, "read", lambda trial, _: _spoiled(trial))
    lines, _ = answer(capsys, "--ops", "ttt_linear", "--tokens", "5000", "--backends", "dual", status=1)
    assert "not all outputs of 5000 tokens are finite" in lines[4].replace(",", "")


def _spoiled(trial: timing.Trial) -> tuple[torch.Tensor, ...]:
    y, state = dual.ttt(*trial.arguments(), trial.shape.problem)
    return (y * float("nan") if trial.shape.tokens == 5000 else y), *state


def test_the_reference_is_not_timed_for_hours(capsys: pytest.CaptureFixture[str]) -> None:
    lines, _ = answer(capsys, "--tokens", "4097", "--ops", "ttt_linear", "--backends", "reference", "--no-backward")
    assert "reads token by token, and is timed for at most 4,096 tokens" in lines[4]
    assert lines[2].startswith("error: against float64, of 1,125 tokens")


def test_ctrl_c_leaves_the_rows_above(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    real = timing.measure

    def stopped(row: OpTime, *rest) -> OpTime:
        if row.backend == "dual":
            raise KeyboardInterrupt
        return real(row, *rest)

    monkeypatch.setattr(timing, "measure", stopped)
    assert main(["bench", "ops", *TINY]) == 130
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].startswith("ttt_mlp        1  reference")
    assert said.err.endswith("storyreel: stopped. The rows above stand; the same line begins again.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ops", "ttt"], "--ops is 'ttt', but the choices are ttt_mlp, ttt_linear"),
        (["--backends", "cuda"], "--backends is 'cuda', but the choices are reference, dual, dual_compiled, triton"),
        (["--tokens", "0"], "--tokens is 0, but it must be 1 or more"),
        (["--batch", "2", "0"], "--batch is 0, but it must be 1 or more"),
        (["--checkpoint-every", "-1"], "--checkpoint-every is -1, but it must not be negative"),
        (["--device", "tpu"], "--device is tpu, but PyTorch cannot use it here"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "ops", *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_what_others_measured_stands_beside_the_same_shape_alone() -> None:
    row = OpTime(PAPER, "hopper", None, None, Time(27.8, 10, 9000.0), Time(310.5, 9, 12000.0), 0.0021, 0.0034)
    own, authors, floor = table.line(row), *table.published(PAPER)
    header = list(table.heading(PAPER, PAPER, {"device": "", "dtype": "", "torch": "", "triton": ""}))[-1]
    ends = [header.index("forward ms") + 10, header.index("backward ms") + 11]
    for line, numbers in ((own, ("27.80", "310.50")), (authors, ("170", "1427")), (floor, ("11-14", "about 45"))):
        assert [line[:end].endswith(number) for end, number in zip(ends, numbers, strict=True)] == [True, True], line
    assert own.split()[4] == "5.07"
    assert len(own) == len(header) <= 120
    assert list(table.published(Shape("ttt_mlp", 1, 351_168, 24))) == []
    assert list(table.published(Shape("ttt_linear", 1, 351_168, 48))) == []
    assert [line.split()[4] for line in table.published(Shape("ttt_mlp", 2, 351_168, 48))] == ["339", "14"]


def test_launches_are_held_against_one_multiprocessor_a_head() -> None:
    rows = [
        OpTime(PAPER, "hopper", "ttt_mlp_1", 1, Time(46.0, 5, 1.0), None, 0.002),
        OpTime(PAPER, "hopper", "ttt_mlp_2", 2, Time(23.0, 5, 1.0), None, 0.002),
        OpTime(PAPER, "hopper", "ttt_mlp_4", 4, error_outputs=0.5, wrong="y errs 0.5"),
    ]
    lines = list(table.launches(rows))
    assert [line.split()[:3] for line in lines[3:]] == [["1", f"ttt_mlp_{n}", f"{n}"] for n in (1, 2, 4)]
    assert [line.split()[-2] for line in lines[3:5]] == ["1.00", "2.00"]
    assert lines[5].endswith("WRONG, so no times: y errs 0.5")
    assert list(table.launches([])) == []


@pytest.mark.gpu
def test_on_a_gpu_with_memory_and_every_launch(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--tokens", "1125", "--heads", "4", "--repeats", "2", "--backends", "dual", "triton", "hopper"]
    assert main(["bench", "ops", "--device", "cuda", *arguments]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["batch"] for row in result["rows"]] == 2 * [1, 1, 1, 2, 2, 2]
    assert result["dtype"] == "bfloat16"
    hopper = torch.cuda.get_device_capability() == (9, 0)
    for row in result["rows"]:
        if row["backend"] == "hopper" and not (hopper and row["op"] == "ttt_mlp"):
            assert row["refused"].startswith('TTT backend "hopper" needs')
        else:
            assert row["refused"] is row["wrong"] is None
            assert 0 < row["forward_ms"] < row["backward_ms"]
            assert 0 < row["forward_peak_mib"] <= row["backward_peak_mib"]
    assert len(result["launches"]) == (2 * len(LAUNCHES) if hopper else 0)
