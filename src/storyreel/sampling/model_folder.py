"""A model as a folder: a diffusers pipeline folder, and storyreel.json with what a sampler must know of it.

Loading is strict and reads safetensors and JSON only. `load_pipeline` and `save_pipeline` are in pipeline.py.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX
from diffusers.schedulers.scheduling_ddim_cogvideox import CogVideoXDDIMScheduler
from diffusers.schedulers.scheduling_dpm_cogvideox import CogVideoXDPMScheduler
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

import storyreel
from storyreel.errors import ConfigError, WeightsError
from storyreel.models.state_dict import load_cogvideox
from storyreel.models.text import load_text_encoder, load_tokenizer
from storyreel.models.transformer import StoryreelTransformer3DModel
from storyreel.models.vae import WINDOW_KEY, set_window
from storyreel.sampling.contact_sheet import LatentRGB
from storyreel.sampling.device import CPU_FACTS, multiplies_bfloat16
from storyreel.sampling.request import check_is_model
from storyreel.sampling.schedulers import Scheduler, SolverName

INFO_FILE = "storyreel.json"
PIPELINE_CLASS = "StoryreelPipeline"
MODELS: tuple[str, ...] = ("text_encoder", "transformer", "vae")
PARTS = ("tokenizer", "text_encoder", "transformer", "vae", "scheduler")
HASHED_BYTES = 2**28
"""Weights above this size (256 MiB) are checked by their size alone: hashing them would take seconds."""


class SamplingDefaults(BaseModel):
    """How a model is best sampled where the user says nothing."""

    model_config = ConfigDict(extra="forbid")

    steps: int = 50
    guidance: float = 4.0
    solver: SolverName | None = None


class FileFacts(BaseModel):
    """Size and, for small files, SHA-256 of a weights file."""

    model_config = ConfigDict(extra="forbid")

    bytes: int
    sha256: str | None = None


class ModelInfo(BaseModel):
    """storyreel.json of a model folder.

    Sizes in pixels; `stages` are the seconds of video that it was trained at, 0 for stills.
    """

    model_config = ConfigDict(extra="forbid")

    height: int
    width: int
    max_text_tokens: int
    recipe: str = ""
    stages: list[int] = Field(default_factory=list)
    version: str = storyreel.__version__
    sampling: SamplingDefaults = Field(default_factory=SamplingDefaults)
    latent_rgb: LatentRGB | None = None
    files: dict[str, FileFacts] = Field(default_factory=dict)

    @classmethod
    def read(cls, folder: str | Path) -> ModelInfo:
        """WeightsError where the folder has no storyreel.json or a damaged one."""
        path = Path(folder) / INFO_FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise WeightsError(f"{path} cannot be read: {error.strerror}. {_remedy()}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise WeightsError(f"{path} is damaged: {where}: {first['msg']}. {_remedy()}") from None

    def write(self, folder: str | Path) -> None:
        """Replace the folder's storyreel.json, whole or not at all."""
        path = Path(folder) / INFO_FILE
        aside = path.with_name(f".{path.name}.{os.getpid()}.part")
        aside.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        os.replace(aside, path)


def check_folder(folder: Path) -> None:
    """A quick look before a slow load: the folder is one, is ours, is whole. WeightsError otherwise."""
    check_is_model(folder)
    index = _read_json(folder / "model_index.json")
    if index.get("_class_name") != PIPELINE_CLASS:
        raise WeightsError(f"{folder} holds a {index.get('_class_name')}, but a {PIPELINE_CLASS} is needed.")
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    if missing:
        raise WeightsError(f"{folder} lacks the part {missing[0]}. {_remedy()}")
    for name, facts in ModelInfo.read(folder).files.items():
        path = folder / name
        if not path.is_file():
            raise WeightsError(f"{path} is missing. {_remedy()}")
        if path.stat().st_size != facts.bytes:
            raise WeightsError(
                f"{path} has {path.stat().st_size} bytes instead of {facts.bytes}: cut short. {_remedy()}"
            )
        if facts.sha256 is not None and _sha256(path) != facts.sha256:
            raise WeightsError(f"{path} is damaged: its SHA-256 is not the one in {INFO_FILE}. {_remedy()}")


def load_parts(folder: Path, dtypes: Mapping[str, torch.dtype], on_part: Callable[[str], None]) -> dict[str, Any]:
    """The five parts of a model folder by name, in their `dtypes`, on the CPU. WeightsError where one is amiss."""
    loaded: dict[str, Any] = {}
    for part in PARTS:
        loaded[part] = _load_part(folder / part, part, dtypes.get(part, torch.float32))
        on_part(part)
    return loaded


def fastest_dtypes(device: torch.device) -> dict[str, torch.dtype]:
    """The dtype of each model where the user names none: bfloat16 on a GPU, float32 on a CPU.

    A CPU that multiplies in bfloat16 decodes in it. Measured on one core of an EPYC with avx512_bf16, demo sizes: the
    VAE's decoder takes 0.14 s instead of 0.37 s a frame, the transformer 1.6 s instead of 1.9 s a pass, too little.
    """
    if device.type != "cpu":
        return dict.fromkeys(MODELS, torch.bfloat16)
    decoding = torch.bfloat16 if multiplies_bfloat16(CPU_FACTS) else torch.float32
    return {**dict.fromkeys(MODELS, torch.float32), "vae": decoding}


def weight_facts(folder: Path) -> dict[str, FileFacts]:
    """Facts of every weights file below a folder, by its path in it."""
    return {path.relative_to(folder).as_posix(): _facts(path) for path in sorted(folder.rglob("*.safetensors"))}


def forget_origin(folder: Path) -> None:
    """Takes out of every config.json in `folder` the path that diffusers notes: where the part was read from."""
    for path in folder.rglob("config.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _load_part(folder: Path, part: str, dtype: torch.dtype) -> Any:
    if part == "tokenizer":
        return load_tokenizer(folder)
    if part == "text_encoder":
        return load_text_encoder(folder, dtype)
    if part == "scheduler":
        return _scheduler(folder)
    kind = StoryreelTransformer3DModel if part == "transformer" else AutoencoderKLCogVideoX
    model = _from_config(kind, folder / "config.json")
    if part == "vae":
        _keep_window(model, folder / "config.json")
    # diffusers' own `to` warns of an empty list of modules that should stay in float32
    nn.Module.to(model, dtype=dtype)
    load_cogvideox(model, folder)
    return model


def _keep_window(vae: AutoencoderKLCogVideoX, path: Path) -> None:
    try:
        set_window(vae, _read_json(path).get(WINDOW_KEY))
    except (ConfigError, TypeError) as error:
        raise WeightsError(f"{path}: {_first_line(error)}. {_remedy()}") from error


def _scheduler(folder: Path) -> Scheduler:
    path = folder / "scheduler_config.json"
    classes = {kind.__name__: kind for kind in (CogVideoXDDIMScheduler, CogVideoXDPMScheduler)}
    name = _read_json(path).get("_class_name")
    if name not in classes:
        raise WeightsError(f"{path} is of a {name}, but must be of {' or '.join(classes)}.")
    return _from_config(classes[name], path)


def _from_config(kind: Any, path: Path) -> Any:
    """A diffusers object from its configuration file; arguments that its class does not take are an error."""
    config = {name: value for name, value in _read_json(path).items() if not name.startswith("_")}
    try:
        return kind(**config)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} does not describe a {kind.__name__}: {_first_line(error)}. {_remedy()}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}. {_remedy()}") from None
    except ValueError as error:
        raise WeightsError(f"{path} is damaged: {error}. {_remedy()}") from None
    if not isinstance(content, dict):
        raise WeightsError(f"{path} is damaged: it holds no JSON object. {_remedy()}")
    return content


def _facts(path: Path) -> FileFacts:
    size = path.stat().st_size
    return FileFacts(bytes=size, sha256=_sha256(path) if size <= HASHED_BYTES else None)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _remedy() -> str:
    return "Install storyreel again, or copy the model folder again."
