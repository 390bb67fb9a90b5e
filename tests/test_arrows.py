"""Imports run one way through the packages (docs/architecture.md), and importing storyreel does nothing but import."""

import ast
import importlib.util
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import storyreel

SOURCE = Path(storyreel.__file__).parent

# A module may import from its own package and from those in front of it.
ORDER = (
    *("assets", "errors", "wording", "processes", "geometry", "ops", "mixers", "models"),
    *("llm", "storyboard", "toons", "writing", "data"),
    *("sampling", "evaluation", "arena", "training"),
    *("recipes", "cli"),
)


def place_of(package: str) -> int:
    assert package in ORDER, f"storyreel.{package} has no place in the arrows: add it here and to docs/architecture.md"
    return ORDER.index(package)


def imported_packages(source: str, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """(line, first name under storyreel) of every import in `source`, also inside functions and type checks.

    `package` is the dotted package of the module, for relative imports: ("storyreel", "ops").
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "storyreel" and len(parts) > 1 and not parts[1].startswith("__"):
                yield node.lineno, parts[1]


def violations(source: str, path: Path) -> list[str]:
    """Every import of the module at `path` (relative to the package folder) that goes against the arrows."""
    own = path.parts[0].removesuffix(".py")
    found = []
    for line, other in imported_packages(source, ("storyreel", *path.parts[:-1])):
        if place_of(other) > place_of(own):
            found.append(f"{path}:{line} ({own}) imports storyreel.{other}")
    return found


def modules() -> list[Path]:
    return [path.relative_to(SOURCE) for path in sorted(SOURCE.rglob("*.py")) if path != SOURCE / "__init__.py"]


def test_imports_follow_the_arrows() -> None:
    paths = modules()
    assert Path("geometry.py") in paths
    assert [line for path in paths for line in violations((SOURCE / path).read_text(), path)] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("ops/ttt/dual.py", "from storyreel.mixers.ttt import TTTMLP"),
        ("ops/ttt/dual.py", "import storyreel.models.transformer as transformer"),
        ("geometry.py", "def f():\n    from storyreel import cli\n"),
        ("sampling/run.py", "if TYPE_CHECKING:\n    from storyreel.training import trainer"),
        ("models/vae.py", "from ..sampling.run import generate"),
        ("toons/renderer.py", "from storyreel.data.manifest import Manifest"),
    ],
)
def test_a_violating_import_is_caught(path: str, source: str) -> None:
    assert len(violations(source, Path(path))) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("cli/main.py", "from storyreel.sampling.run import generate"),
        ("ops/ttt/dual.py", "from .problem import TTTProblem"),
        ("ops/ttt/dual.py", "from storyreel.ops.ttt.problem import TTTProblem"),
        ("data/toon_clips.py", "from storyreel.toons.renderer import StoryRenderer"),
        ("recipes/demo.py", "from storyreel import __version__, geometry"),
    ],
)
def test_an_import_along_the_arrows_passes(path: str, source: str) -> None:
    assert violations(source, Path(path)) == []


# Modules of kernels, which nothing but the choice of their backend imports. `triton.jit` and `torch.library.custom_op`
# read the source of their function at import, and triton may not be installed.
WITH_KERNELS = ("ttt", "group_norm", "resize", "modulated_norm", "ttt_inputs", "local_inputs")
KERNELS = (*(f"storyreel.ops.{op}.triton_kernels." for op in WITH_KERNELS), "storyreel.ops.ttt.hopper.op")


# Runs in a process of its own. What a third-party module does while it is imported is not ours to judge: between that
# and our frame stands the import machinery.
GUARD = """
import importlib, sys

folder, kernels, *names = sys.argv[1:]
watched = ("open", "os.mkdir", "os.remove", "os.rename", "subprocess.Popen", "socket.connect", "socket.getaddrinfo")
seen = []

def watch(event, arguments):
    frame = sys._getframe(1) if event in watched else None
    while frame and "importlib" not in frame.f_code.co_filename:
        if frame.f_code.co_filename.startswith(folder):
            seen.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {event} {arguments}")
            break
        frame = frame.f_back

sys.addaudithook(watch)
for name in names:
    importlib.import_module(name)
if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
    seen.append("CUDA was started")
seen += [f"{name} was imported" for name in sys.modules if kernels and name.startswith(tuple(kernels.split()))]
sys.exit("\\n".join(seen) or 0)
"""


def import_guarded(folder: Path, names: list[str], kernels: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", GUARD, str(folder), " ".join(kernels), *names]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=300)


def test_importing_storyreel_touches_no_file_network_or_gpu() -> None:
    walked = sorted(module.name for module in pkgutil.walk_packages(storyreel.__path__, "storyreel."))
    names = [name for name in walked if not name.startswith(KERNELS)]
    assert "storyreel.geometry" in names
    assert len(names) < len(walked), "KERNELS names no module"
    finished = import_guarded(SOURCE, names, KERNELS)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")
def test_an_imported_kernel_is_caught() -> None:
    finished = import_guarded(SOURCE, ["storyreel.ops.ttt.triton_kernels.pieces"], KERNELS)
    assert finished.returncode == 1
    assert "triton_kernels.pieces was imported" in finished.stderr


def test_the_ttt_op_does_not_import_triton() -> None:
    code = "import sys, storyreel.ops.ttt; sys.exit('triton was imported' if 'triton' in sys.modules else 0)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize(
    "body",
    [
        "open('notes.txt', 'w').close()",
        "from pathlib import Path\nPath('notes.txt').touch()\nsize = len(Path('notes.txt').read_text())",
        "import socket\nsocket.getaddrinfo('localhost', 80)",
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', ''])",
    ],
)
def test_work_at_import_is_caught(tmp_path: Path, body: str) -> None:
    (tmp_path / "offender.py").write_text(body)
    finished = import_guarded(tmp_path, ["offender"])
    assert finished.returncode == 1
    assert "offender.py" in finished.stderr


def test_the_command_line_is_built_without_heavy_libraries() -> None:
    heavy = ("torch", "diffusers", "transformers", "skia", "av", "numpy", "matplotlib", "pydantic")
    code = f"import sys, storyreel.cli.main; sys.exit(' '.join(sorted(set({heavy}) & set(sys.modules))) or 0)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0, finished.stderr
