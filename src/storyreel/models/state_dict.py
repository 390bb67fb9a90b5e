"""Weights from safetensors files into a transformer; a key too many, a key too few and another shape are errors.

Only headers are read until everything fits; then tensors are copied one at a time. So a checkpoint that does not fit
changes nothing, and one that does needs memory for one tensor more than the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from storyreel.errors import WeightsError

WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
INDEX_SUFFIX = ".safetensors.index.json"
MIXER = ".mixer."


def load_cogvideox(
    transformer: nn.Module, path: str | Path, *, new_mixer: bool = False, spare_mixer: bool = False
) -> list[str]:
    """Copy CogVideoX weights (or this project's own) into `transformer`, in the dtype that its parameters have.

    path: a safetensors file, the index of a sharded checkpoint, or a folder that holds either (diffusers' names), also
    in its sub-folder `transformer`. new_mixer: mixers and gates may be missing and stay as they were initialised.
    spare_mixer: those that the transformer has no slot for may be there, and are left out. Returns the names of those
    that stayed. WeightsError for a missing or damaged file, a missing or unexpected key, a wrong shape.
    """
    shapes, homes = _read_headers(_weight_files(Path(path)))
    targets = transformer.state_dict()
    if spare_mixer:
        shapes = {name: shape for name, shape in shapes.items() if name in targets or MIXER not in name}
    kept = [name for name in targets if new_mixer and MIXER in name and name not in shapes]
    _check_keys(shapes, targets, kept, path)
    _copy(targets, shapes, homes)
    return kept


def load_mixers(transformer: nn.Module, path: str | Path) -> None:
    """Copy mixers and gates alone into `transformer`; `path` and errors as in `load_cogvideox`."""
    shapes, homes = _read_headers(_weight_files(Path(path)))
    targets = {name: tensor for name, tensor in transformer.state_dict().items() if MIXER in name}
    shapes = {name: shape for name, shape in shapes.items() if MIXER in name}
    _check_keys(shapes, targets, [], path)
    _copy(targets, shapes, homes)


@torch.no_grad()
def _copy(targets: Mapping[str, Tensor], names: Iterable[str], homes: Mapping[str, Path]) -> None:
    names = list(names)
    for file in dict.fromkeys(homes[name] for name in names):
        with safe_open(file, framework="pt") as reader:
            for name in names:
                if homes[name] == file:
                    targets[name].copy_(reader.get_tensor(name))


def weight_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in a safetensors file, sharded checkpoint or folder, from the headers alone.

    WeightsError where a file is missing, no safetensors file or cut short. A quick check before a slow load.
    """
    return _read_headers(_weight_files(Path(path)))[0]


def _weight_files(path: Path) -> list[Path]:
    if path.is_dir():
        return _weight_files(_file_in_folder(path))
    if not path.is_file():
        raise WeightsError(f"There are no weights at {path}. Give a .safetensors file, its index or a model folder.")
    if path.name.endswith(INDEX_SUFFIX):
        return _shards(path)
    if path.suffix != ".safetensors":
        raise WeightsError(f"{path} is not a safetensors file, and no other kind is read. Convert it first.")
    return [path]


def _file_in_folder(folder: Path) -> Path:
    index = WEIGHTS_FILE.replace(".safetensors", INDEX_SUFFIX)
    for place in (folder, folder / "transformer"):
        for name in (WEIGHTS_FILE, index):
            if (place / name).is_file():
                return place / name
    raise WeightsError(f"The folder {folder} holds neither {WEIGHTS_FILE} nor {index}. Give a diffusers model folder.")


def _shards(index: Path) -> list[Path]:
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        names = sorted({str(name) for name in names})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{index} is not the index of a sharded checkpoint ({error}). Fetch it again.") from error
    for name in names:
        if Path(name).name != name:
            raise WeightsError(f"{index} names the shard {name!r}, which cannot be a file beside it. Fetch it again.")
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise WeightsError(f"The shard {missing[0]}{_and_more(missing)} of {index} is not there. Fetch it too.")
    return [index.parent / name for name in names]


def _read_headers(files: list[Path]) -> tuple[dict[str, tuple[int, ...]], dict[str, Path]]:
    """Shape and file of every tensor."""
    shapes: dict[str, tuple[int, ...]] = {}
    homes: dict[str, Path] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as reader:
                for name in reader.keys():  # noqa: SIM118 (not a mapping)
                    if name in homes:
                        both = f"{homes[name].name} and {file.name}"
                        raise WeightsError(f"{name} is in two shards, {both}. Fetch the checkpoint again.")
                    shapes[name], homes[name] = tuple(reader.get_slice(name).get_shape()), file
        except SafetensorError as error:
            raise WeightsError(f"{file} is damaged or cut short ({error}). Fetch it again.") from error
    return shapes, homes


def _check_keys(
    found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, Tensor], kept: list[str], path: str | Path
) -> None:
    way_out = "Use a checkpoint of this model's configuration"
    missing = [name for name in wanted if name not in found and name not in set(kept)]
    if missing:
        if all(MIXER in name for name in missing):
            way_out = "Pass new_mixer=True to start with new mixers"
        raise WeightsError(f"{path} lacks {missing[0]}{_and_more(missing)}. {way_out}.")
    unexpected = [name for name in found if name not in wanted]
    if unexpected:
        raise WeightsError(f"{path} holds {unexpected[0]}{_and_more(unexpected)}, unknown to this model. {way_out}.")
    for name, shape in found.items():
        wanted_shape = tuple(wanted[name].shape)
        if shape != wanted_shape:
            raise WeightsError(f"{name} is {list(shape)} in {path}, but {list(wanted_shape)} in this model. {way_out}.")


def _and_more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
