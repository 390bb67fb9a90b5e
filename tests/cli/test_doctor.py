"""The doctor tells the truth about what is there, and how to mend what is not."""

import hashlib
import json
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from storyreel.cli import doctor, machine
from storyreel.cli.doctor import Check, Doctor
from storyreel.cli.doctor import requirements as libraries
from storyreel.ops.ttt.hopper import requirements


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder with small weights, in place of the bundled one."""
    weights = b"eight bytes and more of weights"
    facts = {"bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest()}
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "model.safetensors").write_bytes(weights)
    (tmp_path / "storyreel.json").write_text(json.dumps({"files": {"vae/model.safetensors": facts}}))
    monkeypatch.setattr(doctor, "DEMO_MODEL", tmp_path)
    return tmp_path


def report(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, str]]]:
    status = doctor.run(Doctor(json=True))
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] == (status == 0)
    return status, {check["name"]: check for check in answer["checks"]}


def test_a_complete_machine_is_healthy(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    status, checks = report(capsys)
    assert status == 0
    assert time.monotonic() - start < 5
    assert checks["torch"]["detail"] == metadata.version("torch")
    assert checks["ttt reference"]["state"] == checks["ttt dual"]["state"] == "ok"
    assert checks["ttt hopper"]["state"] == "off"
    assert 'needs an sm_90 GPU (H100, H200); got cpu. Try backend="dual"' in checks["ttt hopper"]["detail"]
    assert "libx264" in checks["h264"]["detail"]
    assert checks["extra test"]["state"] == "ok"
    assert checks["demo model"]["state"] == "ok"


def test_missing_weights_are_a_red_line_with_its_remedy(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (model / "storyreel.json").unlink()
    assert doctor.run(Doctor()) == 1
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("NO"))
    assert "No such file" in line
    assert line.endswith("pip install --force-reinstall --no-deps .")


def test_a_hopper_gpu_has_its_backend(model: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setattr(requirements, "device_trouble", lambda _: "")
    checks = report(capsys)[1]
    assert checks["ttt hopper"]["state"] == "ok"
    assert (
        "generate and train take this one for TTT-MLP in bfloat16, heads of 64, hidden width 256"
        in checks["ttt hopper"]["detail"]
    )


def flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


@pytest.mark.parametrize(
    ("file", "damage", "complaint"),
    [
        ("vae/model.safetensors", lambda data: data[:-1], "has 30 bytes instead of 31"),
        ("vae/model.safetensors", flipped, "is damaged, its SHA-256 is another"),
        ("storyreel.json", lambda data: data[:20], "line 1 column"),
        ("storyreel.json", lambda data: b'{"files": {}}', "names no weights"),
        ("storyreel.json", lambda data: b"{}", "names no weights"),
    ],
)
def test_damaged_weights_are_told(
    file: str, damage: Callable[[bytes], bytes], complaint: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / file).write_bytes(damage((model / file).read_bytes()))
    status, checks = report(capsys)
    assert status == 1
    assert complaint in checks["demo model"]["detail"]
    assert checks["demo model"]["remedy"]


def test_little_memory_is_told(model: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setattr(doctor, "available_memory_bytes", lambda: 10**9)
    status, checks = report(capsys)
    assert status == 1
    assert checks["memory"]["remedy"] == "close other programs"


def test_a_library_that_is_missing_or_too_old_is_told(model: Path, capsys, monkeypatch) -> None:
    wanted = [Requirement("torch>=999"), Requirement("no-such-library>=1")]
    monkeypatch.setattr(doctor, "requirements", lambda extra="": wanted)
    status, checks = report(capsys)
    assert status == 1
    assert checks["torch"]["detail"].endswith("is installed, >=999 is needed")
    assert checks["no-such-library"]["detail"] == "no-such-library is not installed"
    assert checks["extra dev"]["remedy"] == 'pip install -c constraints.txt ".[dev]"'


def test_every_red_line_has_a_remedy_in_the_source() -> None:
    with pytest.raises(ValueError, match="remedy"):
        Check("anything", "missing", "broken")


def test_requirements_are_those_of_pyproject() -> None:
    names = {requirement.name for requirement in libraries()}
    assert {"torch", "diffusers", "av", "tyro"} <= names
    assert "skia-python" not in names
    assert {requirement.name for requirement in libraries("toons")} == {"skia-python"}


def test_the_machine_has_cores_and_memory() -> None:
    assert machine.cores() >= 1
    total, free = machine.total_memory_bytes(), machine.available_memory_bytes()
    assert total is None or free is None or 0 < free <= total


def test_file_cache_of_a_container_counts_as_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    for name, text in (("memory.max", "1000"), ("memory.current", "900"), ("memory.stat", "anon 5\ninactive_file 300")):
        (tmp_path / name).write_text(text + "\n")
    assert machine.available_memory_bytes() == 400
