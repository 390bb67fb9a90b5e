"""What a model makes of new clips at each noise level: where its schedule has something to decide, and where not.

    python bench/loss_by_noise.py --clips 8 --picture levels.png

For each time: alpha_bar, the error of the velocity (the training loss) and that of the clean latents it stands for, in
units of the latents' variance. The picture has the drawn frame, the autoencoder's, and the predicted one at each level,
from all noise to none. Stories are new ones, the noise has a seed, so that two models can be compared.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from storyreel.assets import DEMO_MODEL
from storyreel.data.clip_config import ClipConfig
from storyreel.data.toon_clips import draw_clip
from storyreel.models.text import encode_texts
from storyreel.models.vae import decode_stream, encode
from storyreel.recipes.demo import TEST_SEED
from storyreel.sampling.contact_sheet import to_uint8
from storyreel.sampling.model_folder import ModelInfo
from storyreel.sampling.pipeline import StoryreelPipeline, load_pipeline
from storyreel.training.diffusion import add_noise

TIMES = (999, 900, 800, 700, 600, 500, 400, 300, 200, 100, 50)
SHOWN_FRAME = 24


@torch.no_grad()
def main() -> None:
    options = arguments()
    info = ModelInfo.read(options.model)
    pipeline = load_pipeline(options.model, device="cpu", dtype=torch.float32)
    config = ClipConfig(options.clips, 1, 7, info.height, info.width, first_seed=TEST_SEED)
    clips = [draw_clip(config, number) for number in range(options.clips)]
    latents = torch.cat([encoded(pipeline, clip.frames) for clip in clips])
    layout = pipeline.transformer.layout_for(3, info.height, info.width, info.max_text_tokens)
    texts = [clip.texts[0] for clip in clips]
    text = encode_texts(pipeline.tokenizer, pipeline.text_encoder, texts, layout.text_tokens)[:, None]
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    bars = pipeline.scheduler.alphas_cumprod.float()
    rows = [np.concatenate([clip.frames[SHOWN_FRAME] for clip in clips], axis=1), shown(pipeline, latents)]
    print("time  alpha_bar  velocity  clean")
    for time in TIMES:
        bar = bars[time]
        noisy, velocity = add_noise(latents, noise, bar.expand(latents.shape[:2]))
        times = torch.full((len(latents),), time)
        predicted = pipeline.transformer(noisy, text, times, layout).float()
        clean = bar.sqrt() * noisy - (1 - bar).sqrt() * predicted
        errors = (float((a - b).square().mean()) for a, b in ((predicted, velocity), (clean, latents)))
        print(f"{time:4d}  {bar:9.5f}", *(f"{error:8.4f}" for error in errors), flush=True)
        if options.picture:
            rows.append(shown(pipeline, clean))
    if options.picture:
        Image.fromarray(np.concatenate(rows)).save(options.picture)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=DEMO_MODEL, help="a model folder (default: the bundled demo)")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument(
        "--picture", type=Path, help="a PNG with a row for each level (decoding takes most of the time)"
    )
    return parser.parse_args()


def encoded(pipeline: StoryreelPipeline, frames: np.ndarray) -> Tensor:
    """Latents `[1, F, C, h, w]` of drawn frames, uint8 `[N, H, W, 3]`."""
    pixels = torch.from_numpy(frames).float().div(127.5).sub(1).permute(3, 0, 1, 2)[None]
    return encode(pipeline.vae, pixels)[0].transpose(1, 2)


def shown(pipeline: StoryreelPipeline, latents: Tensor) -> np.ndarray:
    """The middle frame of each clip, side by side, uint8 `[H, clips * W, 3]`."""
    pictures = []
    for own in latents.transpose(1, 2):
        frames = torch.cat(list(decode_stream(pipeline.vae, own[None])), dim=2)[0, :, SHOWN_FRAME]
        pictures.append(to_uint8(frames.movedim(0, -1)).numpy())
    return np.concatenate(pictures, axis=1)


if __name__ == "__main__":
    main()
