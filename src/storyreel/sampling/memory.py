"""How much memory a run takes: measured, and estimated before it begins. Needs no large library."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from storyreel.geometry import SEGMENT_SECONDS, PixelShape

LIBRARIES_BYTES = 460 * 10**6
"""Python with torch, diffusers and transformers imported, nothing loaded: 436 MiB on Linux."""
WEIGHTS_FACTOR = 2
"""Weights are stored in bfloat16 and computed with in float32."""
DENOISE_FLOATS = 33
"""Floats for each token and unit of the transformer's width, both branches of the guidance together."""
DECODE_VALUES = 45
"""Values for each pixel of a chunk of frames and channel of the decoder's widest stage."""
CHUNK_FRAMES = 9
"""The most frames that models/vae.py decodes at once."""


def process_peak_mib() -> int | None:
    """The most memory that this process has held so far in MiB, None where the system does not tell (Windows)."""
    if sys.platform == "win32":
        return None
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def estimated_peak_bytes(folder: Path, seconds: int, decoded_bytes: int = 4) -> int | None:
    """The most memory that a video of so many seconds takes on a CPU, None where the folder is no whole model.

    decoded_bytes: of a value of the VAE, 2 for bfloat16. Libraries and weights, and the larger of denoising, which
    grows with the tokens, and decoding, which grows with the frame size alone. Measured in MiB with the demo model
    (2 steps, one thread, torch 2.13, x86): 3 s 1150 to 1261, with a float32 VAE 1808; 9 s 1173; 30 s 1240; 63 s 1619,
    all of it before the decoding. test_memory.py holds the estimate to these. GeometryError where there is no such
    video.
    """
    try:
        info = json.loads((folder / "storyreel.json").read_text(encoding="utf-8"))
        transformer, vae = (
            json.loads((folder / part / "config.json").read_text(encoding="utf-8")) for part in ("transformer", "vae")
        )
        weights = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
        height, width, text_tokens = info["height"], info["width"], info["max_text_tokens"]
        features = transformer["num_attention_heads"] * transformer["attention_head_dim"]
        patch, channels = transformer["patch_size"], vae["block_out_channels"][0]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    latent = PixelShape.for_video(seconds, height, width).latent()
    rows, columns = latent.grid(patch)
    tokens = latent.frames * rows * columns + seconds // SEGMENT_SECONDS * text_tokens
    denoise = DENOISE_FLOATS * 4 * tokens * features
    decode = DECODE_VALUES * decoded_bytes * CHUNK_FRAMES * height * width * channels
    return LIBRARIES_BYTES + WEIGHTS_FACTOR * weights + max(denoise, decode)
