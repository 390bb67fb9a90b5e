"""Several storyboards of one length at once: what judges and researchers want, where a film maker wants one video.

Shapes: N videos, S segments, F latent frames, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from storyreel.errors import GeometryError
from storyreel.models.text import encode_texts
from storyreel.sampling.guidance import guidance_scales, guided_velocity
from storyreel.sampling.pipeline import StoryreelPipeline
from storyreel.sampling.schedulers import Solver, SolverName, initial_noise
from storyreel.storyboard.schema import Storyboard, StoryboardSegment


@torch.no_grad()
def sample_latents(
    pipeline: StoryreelPipeline,
    texts: Sequence[Sequence[str]],
    *,
    steps: int,
    guidance: float,
    solver: SolverName,
    max_text_tokens: int,
    seed: int = 0,
    in_turn: bool = False,
) -> Tensor:
    """Latents `[N, F, C, H, W]`, float32 on the model's device; video n has `pipeline`'s noise of seed + n.

    texts: each video's, one a segment, scene marks written out. in_turn: as for the pipeline. GeometryError where the
    videos differ in length.
    """
    lengths = {len(own) for own in texts}
    if len(lengths) != 1:
        raise GeometryError(f"the storyboards have {sorted(lengths)} segments, but a batch has one length. Sort them.")
    segments = lengths.pop()
    empty = Storyboard(segments=[StoryboardSegment(text="any")] * segments)
    layout = pipeline.layout_for(empty, max_text_tokens=max_text_tokens)
    flat = [text for own in texts for text in own]
    branches = [
        encode_texts(pipeline.tokenizer, pipeline.text_encoder, part, layout.text_tokens)
        for part in ([""] * len(flat), flat)
    ]
    text = torch.stack(branches).unflatten(1, (len(texts), segments)).to(pipeline.transformer.dtype)
    walk = Solver(pipeline.scheduler, solver, steps)
    generators = [torch.Generator().manual_seed(seed + n) for n in range(len(texts))]

    def noise() -> Tensor:
        return torch.cat([initial_noise(pipeline.latent_shape(layout), own) for own in generators]).to(
            pipeline.transformer.device
        )

    x = noise()
    for index, scale in enumerate(guidance_scales(steps, guidance)):
        velocity = guided_velocity(pipeline.transformer, x, text, walk.times[index], scale, layout, in_turn=in_turn)
        x, _ = walk.step(index, velocity, x, noise() if walk.needs_noise else None)
    return x
