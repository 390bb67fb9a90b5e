"""A storyboard's text to the frames of its video: a diffusers pipeline over the five parts of a model.

Shapes: B branches (1 or 2), S segments, L text tokens, D text width, F latent frames, C channels, H x W a latent frame.
"""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.utils.outputs import BaseOutput
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, T5EncoderModel
from transformers.utils import logging as transformers_logging

from storyreel.errors import WeightsError
from storyreel.geometry import TokenLayout
from storyreel.models.forward import use_forward
from storyreel.models.forward_names import Forward
from storyreel.models.text import encode_texts
from storyreel.models.transformer import StoryreelTransformer3DModel
from storyreel.models.vae import decode_stream, lighten
from storyreel.sampling.contact_sheet import LatentRGB, to_uint8
from storyreel.sampling.guidance import guidance_scales, guided_velocity
from storyreel.sampling.model_folder import (
    MODELS,
    ModelInfo,
    SamplingDefaults,
    check_folder,
    fastest_dtypes,
    forget_origin,
    load_parts,
    weight_facts,
)
from storyreel.sampling.schedulers import Scheduler, Solver, SolverName, initial_noise, solver_of
from storyreel.storyboard.schema import Storyboard


@dataclass(frozen=True)
class StepReport:
    """What a callback learns after each step. `clean` is the predicted clean latents, float32 `[F, C, H, W]`."""

    index: int
    steps: int
    guidance: float
    clean: Tensor


@dataclass
class StoryreelOutput(BaseOutput):
    """latents float32 `[1, F, C, H, W]`; frames uint8 `[N, height, width, 3]`, None for latents alone."""

    latents: Tensor
    frames: np.ndarray | None = None


class StoryreelPipeline(DiffusionPipeline):
    """Storyboard in, video out. Parts are those of a CogVideoX pipeline, with this project's transformer."""

    model_cpu_offload_seq = "text_encoder->transformer->vae"

    tokenizer: PreTrainedTokenizerFast
    text_encoder: T5EncoderModel
    transformer: StoryreelTransformer3DModel
    vae: AutoencoderKLCogVideoX
    scheduler: Scheduler

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        text_encoder: T5EncoderModel,
        transformer: StoryreelTransformer3DModel,
        vae: AutoencoderKLCogVideoX,
        scheduler: Scheduler,
    ) -> None:
        super().__init__()
        self.register_modules(
            tokenizer=tokenizer, text_encoder=text_encoder, transformer=transformer, vae=vae, scheduler=scheduler
        )

    @torch.no_grad()
    def __call__(
        self,
        storyboard: Storyboard,
        *,
        height: int | None = None,
        width: int | None = None,
        max_text_tokens: int | None = None,
        num_inference_steps: int = 50,
        guidance_scale: float = 4.0,
        solver: SolverName | None = None,
        seed: int = 0,
        latents: Tensor | None = None,
        in_turn: bool = False,
        callback_on_step: Callable[[StepReport], None] | None = None,
        output_type: Literal["frames", "latent"] = "frames",
    ) -> StoryreelOutput:
        """One video of a storyboard.

        height, width, max_text_tokens: None for what the transformer's configuration has. guidance_scale: the last
        step's; the first has 1. solver: None for the scheduler's. seed: of the noise, the same on every device.
        latents: noise to start from, float32 `[1, F, C, H, W]`, instead of that. in_turn: the branches of the guidance
        one after the other, for less memory, instead of as one batch. StoryboardError where a text is too long.
        """
        # 1. The order of all tokens
        layout = self.layout_for(storyboard, height, width, max_text_tokens)
        # 2. Text of both branches
        text = self.encode(storyboard, layout)
        # 3. The schedule
        walk = Solver(self.scheduler, solver or solver_of(self.scheduler), num_inference_steps)
        scales = guidance_scales(num_inference_steps, guidance_scale)
        # 4. Noise
        generator = torch.Generator().manual_seed(seed)
        noise = initial_noise(self.latent_shape(layout), generator) if latents is None else latents
        # 5. Denoising
        x = noise.to(self.transformer.device)
        for index, scale in enumerate(scales):
            velocity = self.predict(x, text, walk.times[index], scale, layout, in_turn=in_turn)
            fresh = initial_noise(tuple(x.shape), generator).to(x.device) if walk.needs_noise else None
            x, clean = walk.step(index, velocity, x, fresh)
            if callback_on_step is not None:
                callback_on_step(StepReport(index, num_inference_steps, scale, clean[0]))
        if not bool(torch.isfinite(x).all()):
            raise WeightsError("the model's latents are not finite. Its weights are damaged, or its dtype too narrow.")
        # 6. Pixels
        frames = np.concatenate(list(self.decode(x))) if output_type == "frames" else None
        return StoryreelOutput(latents=x, frames=frames)

    def layout_for(
        self,
        storyboard: Storyboard,
        height: int | None = None,
        width: int | None = None,
        max_text_tokens: int | None = None,
    ) -> TokenLayout:
        """The layout of this storyboard's video; GeometryError where there is none of that size."""
        config = self.transformer.config
        side = 2 ** (len(self.vae.config["block_out_channels"]) - 1)
        return self.transformer.layout_for(
            storyboard.seconds,
            height or config["sample_height"] * side,
            width or config["sample_width"] * side,
            max_text_tokens,
        )

    def latent_shape(self, layout: TokenLayout) -> tuple[int, int, int, int, int]:
        """(1, F, C, H, W) of a layout's latents."""
        config = self.transformer.config
        patch = config["patch_size"]
        return (1, layout.latents, config["in_channels"], layout.rows * patch, layout.columns * patch)

    @torch.no_grad()
    def encode(self, storyboard: Storyboard, layout: TokenLayout) -> Tensor:
        """Text of the unconditional and of the conditional branch, `[2, S, L, D]` in the transformer's dtype."""
        branches = (storyboard.negative_texts(), storyboard.marked_texts())
        encoded = [encode_texts(self.tokenizer, self.text_encoder, texts, layout.text_tokens) for texts in branches]
        return torch.stack(encoded).to(self.transformer.device, self.transformer.dtype)

    @torch.no_grad()
    def predict(
        self, x: Tensor, text: Tensor, time: int, scale: float, layout: TokenLayout, *, in_turn: bool = False
    ) -> Tensor:
        """The guided velocity at noisy latents x `[1, F, C, H, W]`, float32; text as `encode` gives it."""
        return guided_velocity(self.transformer, x, text[:, None], time, scale, layout, in_turn=in_turn)

    def decode(self, latents: Tensor) -> Iterator[np.ndarray]:
        """Latents `[1, F, C, H, W]` as frames, uint8 `[n, height, width, 3]` at a time, in bounded memory."""
        for pixels in decode_stream(self.vae, latents.transpose(1, 2)):
            yield to_uint8(pixels[0].movedim(0, -1)).cpu().numpy()


def load_pipeline(
    folder: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    *,
    forward: Forward = "auto",
    on_part: Callable[[str], None] = lambda part: None,
) -> StoryreelPipeline:
    """The pipeline of a model folder, in eval mode. dtype None: what is fastest on the device (`fastest_dtypes`).
    forward: the transformer blocks' (models/forward.py).

    `on_part` is called with the name of each of the five parts when it is loaded. WeightsError, one line, where the
    folder or a file of it is missing, damaged, cut short or of another model.
    """
    folder = Path(folder)
    check_folder(folder)
    device = torch.device(device)
    dtypes = fastest_dtypes(device) if dtype is None else dict.fromkeys(MODELS, dtype)
    pipeline = StoryreelPipeline(**load_parts(folder, dtypes, on_part))
    for part in MODELS:
        getattr(pipeline, part).eval().requires_grad_(False)
    if device.type == "cpu":
        lighten(pipeline.vae)
    pipeline = pipeline.to(device)
    use_forward(pipeline.transformer, forward)
    return pipeline


def save_pipeline(
    pipeline: StoryreelPipeline,
    folder: str | Path,
    *,
    height: int,
    width: int,
    max_text_tokens: int,
    recipe: str = "",
    stages: Sequence[int] = (),
    latent_rgb: LatentRGB | None = None,
    sampling: SamplingDefaults | None = None,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Write a model folder with weights in `dtype`; `pipeline` stays as it is, a folder of that name is replaced."""
    folder = Path(folder)
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(aside, ignore_errors=True)
    with _without_bars():
        _stored(pipeline, dtype).save_pretrained(aside)
    forget_origin(aside)
    info = ModelInfo(
        height=height,
        width=width,
        max_text_tokens=max_text_tokens,
        recipe=recipe,
        stages=list(stages),
        latent_rgb=latent_rgb,
        sampling=sampling or SamplingDefaults(),
        files=weight_facts(aside),
    )
    info.write(aside)
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.rename(old)
    aside.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _without_bars() -> Iterator[None]:
    """transformers draws a bar for every file that it writes, across the progress of whoever saves."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def _stored(pipeline: StoryreelPipeline, dtype: torch.dtype) -> StoryreelPipeline:
    """A copy of the pipeline on the CPU in the dtype of storage."""

    def copied(model: nn.Module) -> nn.Module:
        return nn.Module.to(copy.deepcopy(model), "cpu", dtype)

    return StoryreelPipeline(
        pipeline.tokenizer,
        copied(pipeline.text_encoder),  # pyright: ignore[reportArgumentType]
        copied(pipeline.transformer),  # pyright: ignore[reportArgumentType]
        copied(pipeline.vae),  # pyright: ignore[reportArgumentType]
        pipeline.scheduler,
    )
