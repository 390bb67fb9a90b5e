"""The Hopper kernels of TTT-MLP on a model of the device, compiled for the host, behind the driver's calls."""

from __future__ import annotations

import contextlib
import ctypes
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from storyreel.ops.ttt.hopper import driver
from storyreel.ops.ttt.hopper.build import FOLDER

HOST = Path(__file__).parent / "hopper_on_host"


class HopperModel:
    """Both passes. `spoil`: (file, old, new), a change of the source; `only`: the pass that it is of, for speed."""

    def __init__(self, folder: Path, spoil: tuple[str, str, str] | None = None, only: str = "") -> None:
        # The model's headers take the place of those of the same name.
        for path in (*FOLDER.glob("*.cu"), *FOLDER.glob("*.cuh"), *HOST.iterdir()):
            shutil.copy(path, folder)
        if spoil:
            name, old, new = spoil
            source = (folder / name).read_text()
            assert source.count(old) == 1, spoil
            (folder / name).write_text(source.replace(old, new))
        passes = [f"-DTTT_{name}" for name in ("FORWARD", "BACKWARD") if only.upper() in ("", name)]
        options = ("-std=c++17", "-O1", "-shared", "-fPIC", "-DTTT_DUMP", *passes, "-I.")
        command = ["g++", *options, "run.cpp", "-o", "model.so"]
        subprocess.run(command, cwd=folder, check=True, timeout=300, capture_output=True)
        self.library = ctypes.CDLL(str(folder / "model.so"))

    @contextlib.contextmanager
    def for_a_gpu(self, seed: int = 0, lazy: bool = True, poison: bool = True) -> Iterator[pytest.MonkeyPatch]:
        """In place of the driver. poison: what torch.empty gives is NaN until it is written."""
        self.library.choose(seed, lazy)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(driver, "_library", lambda: self.library)
            patch.setattr(driver, "kernel", driver.kernel.__wrapped__)  # which remembers none of these
            patch.setattr(torch.cuda, "device", contextlib.nullcontext)
            patch.setattr(torch.cuda, "current_device", lambda: 0)
            patch.setattr(torch.cuda, "current_stream", lambda: SimpleNamespace(cuda_stream=0))
            if poison:
                patch.setattr(torch, "empty", poisoned)
            yield patch


def poisoned(*shape: int | tuple[int, ...], **kind: Any) -> Tensor:
    """As torch.empty, full of NaN; bytes are 255, which is NaN in every floating dtype."""
    sizes = [size for part in shape for size in (part if isinstance(part, tuple) else (part,))]
    return torch.full(sizes, 255 if kind.get("dtype") == torch.uint8 else float("nan"), **kind)


@pytest.fixture(scope="session")
def hopper_model(tmp_path_factory: pytest.TempPathFactory) -> HopperModel:
    return HopperModel(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def hopper_models() -> type[HopperModel]:
    """To make others of."""
    return HopperModel


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever torch.empty gives is NaN until it is written."""
    monkeypatch.setattr(torch, "empty", poisoned)
