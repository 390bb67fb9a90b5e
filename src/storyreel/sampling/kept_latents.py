"""Generated latents that are kept, so that an evaluation of hours goes on where it stopped.

A file a clip, named by a hash of all that made it: weights of the transformer and the text encoder, texts, noise and
settings. The autoencoder is not among them: with another decoder the same latents are judged again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from storyreel.sampling.batch import sample_latents
from storyreel.sampling.pipeline import StoryreelPipeline
from storyreel.sampling.schedulers import SolverName


def sample_or_load(
    pipeline: StoryreelPipeline,
    texts: Sequence[Sequence[str]],
    folder: Path,
    *,
    steps: int,
    guidance: float,
    solver: SolverName,
    max_text_tokens: int,
    seed: int = 0,
) -> Tensor:
    """As `sampling.batch.sample_latents`; what FOLDER has is read, what it lacks is made together and put there."""
    settings: dict[str, Any] = {"steps": steps, "guidance": guidance, "solver": solver, "tokens": max_text_tokens}
    settings["weights"] = [weights_hash(model) for model in (pipeline.transformer, pipeline.text_encoder)]
    settings["scheduler"] = {key: str(value) for key, value in sorted(pipeline.scheduler.config.items())}
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / _name(settings | {"texts": list(own), "seed": seed + n}) for n, own in enumerate(texts)]
    found: dict[int, Tensor] = {n: kept for n, file in enumerate(files) if (kept := _read(file)) is not None}
    while missing := [n for n in range(len(texts)) if n not in found]:
        # Seeds count up within a call, so neighbours alone can go together.
        together = [n for place, n in enumerate(missing) if n == missing[0] + place]
        made = sample_latents(
            pipeline,
            [texts[n] for n in together],
            steps=steps,
            guidance=guidance,
            solver=solver,
            max_text_tokens=max_text_tokens,
            seed=seed + together[0],
        )
        for n, own in zip(together, made, strict=True):
            _write(files[n], own)
            found[n] = own
    return torch.stack([found[n].to(pipeline.transformer.device) for n in range(len(texts))])


def weights_hash(model: nn.Module) -> str:
    """SHA-256 of a model's parameters and buffers, names, shapes and dtypes included."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _name(made_of: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:32] + ".safetensors"


def _read(file: Path) -> Tensor | None:
    try:
        return load_file(file)["latents"]
    except (OSError, SafetensorError, KeyError):
        return None


def _write(file: Path, latents: Tensor) -> None:
    aside = file.with_suffix(f".{os.getpid()}.part")
    save_file({"latents": latents.cpu().contiguous()}, aside)
    os.replace(aside, file)
