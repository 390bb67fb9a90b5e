"""The compiled Hopper kernels in the package are those of the sources beside them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from storyreel.errors import KernelUnavailable
from storyreel.ops.ttt.hopper import build
from storyreel.ops.ttt.hopper.backward_launch import BACKWARD_LAUNCHES
from storyreel.ops.ttt.hopper.launch import LAUNCHES

PROGRAMS = pytest.mark.parametrize("cubin", build.PROGRAMS, ids=lambda path: path.name)


@PROGRAMS
def test_the_kernels_in_the_package_are_up_to_date(cubin):
    assert build.trouble(cubin) == ""


@pytest.mark.parametrize(
    ("cubin", "launches"),
    [(build.CUBIN, LAUNCHES), (build.BACKWARD_CUBIN, BACKWARD_LAUNCHES)],
    ids=["forward", "backward"],
)
def test_every_launch_is_in_them(cubin, launches):
    image = cubin.read_bytes()
    assert image.startswith(b"\x7fELF")
    for how in launches:
        assert f".text.{how.kernel}\0".encode() in image
        assert f"{how.kernel}_threads_bytes\0".encode() in image


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")
@PROGRAMS
def test_the_same_compiler_makes_the_same_bytes(cubin, tmp_path):
    facts, own = json.loads(build.facts_of(cubin).read_text()), tmp_path / cubin.name
    if build.nvcc_version() != facts["nvcc"]:
        pytest.skip(f"needs nvcc {facts['nvcc']}")
    build.build(cubin, own)
    assert own.read_bytes() == cubin.read_bytes()
    assert json.loads(build.facts_of(own).read_text()) == facts


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The cubin of a copy of the folder."""
    for path in (*build.FOLDER.glob("*.cu*"), build.facts_of(build.CUBIN)):
        shutil.copy(path, tmp_path)
    (tmp_path / "kernel_dump.cubin").unlink(missing_ok=True)
    return tmp_path / "kernel.cubin"


def test_a_changed_source_is_told(copy):
    assert build.trouble(copy) == ""
    header = copy.parent / "layout.cuh"
    header.write_bytes(header.read_bytes().replace(b"\n", b"\r\n"))
    assert build.trouble(copy) == "", "line ends are not part of a source"
    header.write_text(header.read_text() + "//")
    assert build.trouble(copy).endswith(
        "was compiled from other sources than those beside it. Run python -m storyreel.ops.ttt.hopper.build."
    )


@pytest.mark.parametrize("name", ["more.cuh", "more.cu"])
def test_an_added_source_is_told(copy, name):
    (copy.parent / name).touch()
    assert "from other sources" in build.trouble(copy)


def test_a_changed_option_of_the_compiler_is_told(copy, monkeypatch):
    monkeypatch.setattr(build, "OPTIONS", (*build.OPTIONS, "-lineinfo"))
    assert "from other sources" in build.trouble(copy)


def test_another_or_a_missing_cubin_is_told(copy):
    copy.write_bytes(copy.read_bytes()[:-1])
    assert "kernel.cubin is not the file that kernel.json tells of" in build.trouble(copy)
    copy.unlink()
    assert "kernel.cubin cannot be read: No such file" in build.trouble(copy)


def test_the_check_is_a_command():
    run = subprocess.run(
        [sys.executable, "-m", "storyreel.ops.ttt.hopper.build", "--check"], capture_output=True, text=True
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_without_a_compiler_it_says_what_is_needed(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KernelUnavailable, match=r"need nvcc 12\.4 or later.*Install the CUDA toolkit"):
        build.build(to=tmp_path / "kernel.cubin")
