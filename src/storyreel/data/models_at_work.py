"""Models that encode in a data step: loaded once a process, hashed, and with results that do not hang on the cores."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX
from torch import nn
from transformers import PreTrainedTokenizerFast, T5EncoderModel

from storyreel.data.fingerprint import hash_of, hash_of_file
from storyreel.errors import ConfigError, WeightsError, refusal
from storyreel.models.text import load_text_encoder, load_tokenizer
from storyreel.models.vae import load_vae, prepare_for_gpu

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def check_dtype(name: str) -> None:
    """ConfigError for a dtype that models do not compute in here."""
    if name not in DTYPES:
        raise ConfigError(refusal("dtype", name, f"it must be {' or '.join(DTYPES)}", "Try float32"))


def hash_of_part(model: Path, *parts: str) -> str:
    """Hash of every JSON and weights file of parts of a model folder; WeightsError where a part is missing."""
    files = {}
    for part in parts:
        if not (model / part).is_dir():
            raise WeightsError(
                f"{model} has no {part}. Give a model folder, such as storyreel train or save_pipeline makes."
            )
        for path in sorted((model / part).iterdir()):
            if path.suffix in (".json", ".safetensors"):
                files[f"{part}/{path.name}"] = hash_of_file(path)
    return hash_of(files)


@functools.lru_cache(maxsize=1)
def vae_at_work(model: str, digest: str, device: str, dtype: str) -> AutoencoderKLCogVideoX:
    """The autoencoder of a model folder, ready to encode; a changed folder has another `digest`, and is loaded anew."""
    del digest
    vae = load_vae(Path(model) / "vae").eval().requires_grad_(False)
    # diffusers' own `to` warns of an empty list of modules that should stay in float32
    nn.Module.to(vae, torch.device(device), DTYPES[dtype])
    return prepare_for_gpu(vae) if device.startswith("cuda") else vae


@functools.lru_cache(maxsize=1)
def text_models_at_work(
    model: str, digest: str, device: str, dtype: str
) -> tuple[PreTrainedTokenizerFast, T5EncoderModel]:
    """Tokenizer and text encoder of a model folder, ready to encode; `digest` as for `vae_at_work`."""
    del digest
    encoder = load_text_encoder(Path(model) / "text_encoder", DTYPES[dtype]).eval().requires_grad_(False)
    nn.Module.to(encoder, torch.device(device))
    return load_tokenizer(Path(model) / "tokenizer"), encoder


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread, so that sums on the CPU are the same on any number of cores; processes share the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
