"""From the folders of finished runs to what is shipped."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKLCogVideoX
from torch import nn

from storyreel.data.clips import clip_numbers, read_clip
from storyreel.evaluation.probe import load_probe
from storyreel.models.vae import encode, load_vae
from storyreel.sampling.contact_sheet import LatentRGB, fit_latent_rgb
from storyreel.sampling.model_folder import ModelInfo, SamplingDefaults, forget_origin
from storyreel.sampling.pipeline import load_pipeline, save_pipeline
from storyreel.training.checkpoint import earlier_folder
from storyreel.training.config import PackRun

FITTED_CLIPS = 24


def pack(run: PackRun, root: Path) -> None:
    """Writes ROOT/NAME/model (with the last decoder, a latent-to-RGB map and sampling defaults) and ROOT/NAME/probe."""
    folder = earlier_folder(root, run.model_folder)
    info = ModelInfo.read(folder)
    pipeline = load_pipeline(folder, device="cpu", dtype=torch.float32)
    pipeline.vae = load_vae(root / run.vae_folder)
    (root / run.name).mkdir(exist_ok=True)
    save_pipeline(
        pipeline,
        root / run.name / "model",
        height=info.height,
        width=info.width,
        max_text_tokens=info.max_text_tokens,
        recipe=info.recipe,
        stages=info.stages,
        latent_rgb=_fit(pipeline.vae, root / run.clips_folder),
        sampling=SamplingDefaults(**run.sampling),
    )
    probe = load_probe(earlier_folder(root, run.probe_folder))
    nn.Module.to(probe, torch.bfloat16)
    probe.save_pretrained(root / run.name / "probe")
    forget_origin(root / run.name / "probe")


def _fit(vae: AutoencoderKLCogVideoX, clips: Path) -> LatentRGB:
    frames = [torch.from_numpy(read_clip(clips, number).frames[:17]) for number in clip_numbers(clips)[:FITTED_CLIPS]]
    pixels = torch.stack(frames).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
    mean, _ = encode(vae, pixels)
    return fit_latent_rgb(mean, pixels)
