"""`storyreel doctor`: what this machine can run, and for the rest why not and what mends it."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from storyreel.assets import DEMO_MODEL
from storyreel.cli.machine import available_memory_bytes, cores, total_memory_bytes
from storyreel.wording import counted

State = Literal["ok", "missing", "off"]
GIB = 2**30
# A minute of video by the demo model stays under 4 GB; below half of that even loading is at risk.
COMFORTABLE_BYTES, NEEDED_BYTES = 4 * GIB, 2 * GIB
NEEDED_DISK_BYTES = 200 * 2**20
INSTALL = "pip install -c constraints.txt ."
SKIA_REMEDY = "apt-get install libegl1 libgl1"


@dataclass(frozen=True)
class Doctor:
    """Say what this machine can run, and what mends the rest.

    Exit status 0: `storyreel generate` can run here; 1: something that it needs is missing.

    Example: storyreel doctor --json
    """

    json: bool = False
    """Print one JSON object instead of lines."""


@dataclass(frozen=True)
class Check:
    """One line of the report. `off` is a choice not made (an extra, a GPU), `missing` with `needed` is an error."""

    name: str
    state: State
    detail: str
    remedy: str = ""
    needed: bool = False

    def __post_init__(self) -> None:
        if self.state == "missing" and not self.remedy:
            raise ValueError(f"{self.name}: a red line needs a remedy")


def run(options: Doctor) -> int:
    """Prints the report; 0 where all that `generate` needs is there, else 1."""
    checks = [check for group in GROUPS for check in group()]
    healthy = not any(check.needed and check.state == "missing" for check in checks)
    if options.json:
        print(json.dumps({"ok": healthy, "checks": [dataclasses.asdict(check) for check in checks]}, indent=2))
    else:
        _print_lines(checks)
        print(
            "storyreel generate can run here." if healthy else "storyreel generate cannot run here: mend the red lines."
        )
    return 0 if healthy else 1


def _print_lines(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    marks = {"ok": ("ok", "green"), "off": ("--", "yellow"), "missing": ("NO", "red")}
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark, colour = marks[check.state]
        remedy = f" -> {check.remedy}" if check.remedy else ""
        line = f"{check.name:{width}}  {check.detail}{remedy}"
        console.print(Text(f"{mark}  ", style=colour) + Text(line, style="red" if check.state == "missing" else ""))


def _python() -> Iterator[Check]:
    yield Check("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}", needed=True)


def requirements(extra: str = "") -> Iterator[Requirement]:
    """What the installed storyreel says it needs, by default or for one of its extras alone."""
    for text in metadata.requires("storyreel") or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker.evaluate({"extra": extra}) if marker else not extra:
            yield requirement


def _unmet(requirement: Requirement) -> str:
    """Why an installed version does not serve; empty where it does."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return ""
    return f"{requirement.name} {version} is installed, {requirement.specifier} is needed"


def _libraries() -> Iterator[Check]:
    for requirement in requirements():
        trouble = _unmet(requirement)
        if trouble:
            yield Check(requirement.name, "missing", trouble, INSTALL, needed=True)
        else:
            yield Check(requirement.name, "ok", metadata.version(requirement.name), needed=True)


def _machine() -> Iterator[Check]:
    yield Check("cpu", "ok", counted(cores(), "core"))
    free, total = available_memory_bytes(), total_memory_bytes()
    if free is None or total is None:
        yield Check("memory", "ok", "unknown on this system; 63 s need up to 4 GB")
    elif free < NEEDED_BYTES:
        detail = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free, 2 GiB needed"
        yield Check("memory", "missing", detail, "close other programs", needed=True)
    elif free < COMFORTABLE_BYTES:
        detail = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free; 63 s may need 4"
        yield Check("memory", "ok", detail, "close other programs, or make 9 s", needed=True)
    else:
        yield Check("memory", "ok", f"{free / GIB:.1f} of {total / GIB:.1f} GiB free", needed=True)
    disk = shutil.disk_usage(Path.cwd()).free
    if disk < NEEDED_DISK_BYTES:
        detail = f"{disk / 2**20:.0f} MiB free in {Path.cwd()}, 200 needed"
        yield Check("disk", "missing", detail, "free some space, or use --out on another disk", needed=True)
    else:
        yield Check("disk", "ok", f"{disk / GIB:.1f} GiB free in {Path.cwd()}", needed=True)


def _accelerators() -> Iterator[Check]:
    if find_spec("torch") is None:
        return
    import torch

    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            gpu = torch.cuda.get_device_properties(number)
            detail = f"{gpu.name}, {gpu.total_memory / GIB:.0f} GiB, sm_{gpu.major}{gpu.minor}"
            yield Check(f"gpu {number}", "ok", detail)
    elif torch.backends.mps.is_available():
        yield Check("gpu", "ok", "Apple GPU (mps)")
    elif shutil.which("nvidia-smi"):
        detail = f"there is an NVIDIA driver, but torch {torch.__version__} cannot use it"
        yield Check("gpu", "off", detail, "pip install torch with CUDA, see pytorch.org/get-started")
    else:
        yield Check("gpu", "off", "none found; the CPU is enough for the demo model")


def _ttt_backends() -> Iterator[Check]:
    if find_spec("torch") is None:
        return
    import torch

    from storyreel.errors import KernelUnavailable
    from storyreel.ops.ttt.interface import BACKENDS, resolve_backend

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for name in BACKENDS:
        if name == "auto":
            continue
        try:
            resolve_backend(name, device)
        except KernelUnavailable as refusal:
            yield Check(f"ttt {name}", "off", str(refusal))
        else:
            chosen = "; generate takes this one" if resolve_backend("auto", device) == name else ""
            detail = _hopper_detail() if name == "hopper" else f"runs on {device.type}{chosen}"
            yield Check(f"ttt {name}", "ok", detail, needed=name == "dual")


def _hopper_detail() -> str:
    from storyreel.ops.ttt.hopper.launch import HIDDEN, MINI_BATCH, WIDTH

    problem = f"TTT-MLP in bfloat16, heads of {WIDTH}, hidden width {HIDDEN}, mini-batches of {MINI_BATCH}"
    return f"runs on cuda; generate and train take this one for {problem}"


def _video() -> Iterator[Check]:
    try:
        av = importlib.import_module("av")
    except ImportError as error:
        yield Check("h264", "missing", f"PyAV cannot be imported: {error}", INSTALL, needed=True)
        return
    try:
        encoder = av.Codec("h264", "w")
        yield Check("h264", "ok", f"PyAV {av.__version__} encodes with {encoder.name}", needed=True)
    except ValueError:
        detail = f"PyAV {av.__version__} was built without an H.264 encoder"
        yield Check("h264", "missing", detail, "pip install --force-reinstall --only-binary av av", needed=True)


def _demo_weights() -> Iterator[Check]:
    remedy = "install storyreel again: pip install --force-reinstall --no-deps ."
    try:
        size, files = check_weights(DEMO_MODEL)
    except (OSError, ValueError, KeyError) as error:
        yield Check("demo model", "missing", f"{DEMO_MODEL}: {error}", remedy, needed=True)
    else:
        weights = f"{counted(files, 'file')} of weights, {size / 1e6:.1f} MB, hashes agree"
        yield Check("demo model", "ok", weights, needed=True)


def check_weights(folder: Path) -> tuple[int, int]:
    """Bytes and number of a model folder's weights files, all of them held against sizes and hashes in storyreel.json.

    ValueError or OSError, saying what, where one differs or is not there. sampling/model_folder.py looks closer, but
    it takes seconds to import.
    """
    files = json.loads((folder / "storyreel.json").read_text(encoding="utf-8")).get("files")
    if not files:
        raise ValueError("storyreel.json names no weights")
    for name, facts in files.items():
        content = (folder / name).read_bytes()
        if len(content) != facts["bytes"]:
            raise ValueError(f"{name} has {counted(len(content), 'byte')} instead of {facts['bytes']}")
        if facts["sha256"] not in (None, hashlib.sha256(content).hexdigest()):
            raise ValueError(f"{name} is damaged, its SHA-256 is another")
    return sum(facts["bytes"] for facts in files.values()), len(files)


def _extras() -> Iterator[Check]:
    for extra in metadata.metadata("storyreel").get_all("Provides-Extra") or []:
        own = list(requirements(extra))
        troubles = [trouble for requirement in own if (trouble := _unmet(requirement))]
        name = f"extra {extra}"
        if troubles:
            yield Check(name, "off", "; ".join(troubles), f'pip install -c constraints.txt ".[{extra}]"')
        elif any(requirement.name == "skia-python" for requirement in own) and (broken := _skia_trouble()):
            yield Check(name, "missing", f"skia cannot be imported: {broken}", SKIA_REMEDY)
        else:
            yield Check(name, "ok", ", ".join(requirement.name for requirement in own))


def _skia_trouble() -> str:
    try:
        importlib.import_module("skia")
    except ImportError as error:
        return str(error)
    return ""


GROUPS: tuple[Callable[[], Iterator[Check]], ...] = (
    _python,
    _libraries,
    _machine,
    _accelerators,
    _ttt_backends,
    _video,
    _demo_weights,
    _extras,
)
