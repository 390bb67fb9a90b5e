"""What it gives that the autoencoder begins anew after each window, and what it costs.

    python bench/vae_windows.py --clips 8 --seconds 3 --windows 0,8,24,48

Clips of the judge (drawn, never trained on), encoded with one window and decoded with each; 0 is no window. Mean over
clips and frames of a frame's PSNR in dB: all frames, those to frame 24, those behind it, the 8 frames behind each cut
between segments; and seconds a clip for decoding. One JSON line each way at the end.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from storyreel.assets import DEMO_MODEL
from storyreel.data.clip_config import ClipConfig
from storyreel.data.toon_clips import draw_clip
from storyreel.evaluation.judge import decibels, squared_errors
from storyreel.models.vae import decode_stream, encode, load_vae, set_window
from storyreel.recipes.demo import HEIGHT, TEST_SEED, WIDTH
from storyreel.sampling.contact_sheet import to_uint8
from storyreel.training.vae import to_model

SEGMENT_FRAMES, STORY_SEGMENTS = 48, 7


def main() -> None:
    """Runs what the options ask for; a line a clip, then the table and the JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vae", type=Path, default=DEMO_MODEL / "vae")
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--windows", default="0,24")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    options = parser.parse_args()
    plain = load_vae(options.vae).eval().requires_grad_(False)
    nn.Module.to(plain, getattr(torch, options.dtype))
    vaes = {}
    for window in map(int, options.windows.split(",")):
        vaes[window] = copy.deepcopy(plain)
        set_window(vaes[window], window or None)
    segments = options.seconds // 3
    story = max(segments, STORY_SEGMENTS)
    config = ClipConfig(options.clips, segments, story, HEIGHT, WIDTH, first_seed=TEST_SEED)
    errors: dict[tuple[int, int], list[np.ndarray]] = {(one, two): [] for one in vaes for two in vaes}
    seconds = dict.fromkeys(vaes, 0.0)
    for number in range(options.clips):
        clip = draw_clip(config, number)
        pixels = to_model(torch.from_numpy(clip.frames)[None], plain.dtype)
        for one, encoder in vaes.items():
            latents, _ = encode(encoder, pixels)
            for two, decoder in vaes.items():
                start = time.perf_counter()
                made = torch.cat(list(decode_stream(decoder, latents)), dim=2)
                seconds[two] += time.perf_counter() - start
                shown = to_uint8(made[0].movedim(0, -1)).numpy()
                errors[one, two].append(squared_errors(shown, clip.frames))
        done = (f"{one}-{two} {decibels(own[-1]).mean():.2f}" for (one, two), own in errors.items())
        print(f"clip {number + 1}/{options.clips}: {', '.join(done)}", flush=True)
    behind_cuts = [SEGMENT_FRAMES * segment + frame for segment in range(1, segments) for frame in range(1, 9)]
    print("encoded decoded    all   to 24  later  behind borders  s a clip")
    for (one, two), own in errors.items():
        level = decibels(np.stack(own))
        row = {
            "encoded": one,
            "decoded": two,
            "all": level.mean(),
            "to_24": level[:, :25].mean(),
            "later": level[:, 25:].mean(),
            "behind_borders": level[:, behind_cuts].mean() if behind_cuts else None,
            "seconds_a_clip": seconds[two] / (len(vaes) * options.clips),
        }
        borders = row["behind_borders"]
        cells = f"{one:7} {two:7} {row['all']:6.2f}  {row['to_24']:6.2f} {row['later']:6.2f}"
        print(f"{cells}  {'-' if borders is None else f'{borders:.2f}':>14}  {row['seconds_a_clip']:8.2f}")
        row = {key: value if value is None else round(float(value), 3) for key, value in row.items()}
        print(json.dumps(row | {"clips": options.clips, "seconds": options.seconds, "dtype": options.dtype}))


if __name__ == "__main__":
    main()
