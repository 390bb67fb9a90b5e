"""Milliseconds and memory of one training step of the demo's transformer on random latents, as the trainer runs it.

    python bench/training_step.py --seconds 3 --batch 64 --mixer ttt_mlp

The last line is one JSON object with the device and versions.
"""

from __future__ import annotations

import argparse
import json
import time

import torch

from storyreel.models.transformer import StoryreelTransformer3DModel
from storyreel.recipes.demo import HEIGHT, MAX_TEXT_TOKENS, TRANSFORMER, WIDTH, stage_3s
from storyreel.training.diffusion import add_noise, per_latent, weighted_error
from storyreel.training.graph import TrainingStep
from storyreel.training.optimiser import MasterOptimiser
from storyreel.training.transformer import prepare_for_gpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--mixer", default="ttt_mlp", help="ttt_mlp, ttt_linear or local")
    parser.add_argument("--layers", type=int, default=TRANSFORMER["num_layers"])
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.manual_seed(0)
    transformer = StoryreelTransformer3DModel(**(TRANSFORMER | {"mixer": options.mixer, "num_layers": options.layers}))
    torch.nn.Module.to(transformer, device, dtype)
    if device.type == "cuda":
        prepare_for_gpu(transformer, compile_blocks=options.mixer == "local")
    layout = transformer.layout_for(options.seconds, HEIGHT, WIDTH, MAX_TEXT_TOKENS)
    optimiser = MasterOptimiser(transformer.named_parameters(), stage_3s().optimiser)

    def diffuse(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        noisy, target = add_noise(inputs["latents"], inputs["noise"], inputs["alpha_bar"])
        prediction = transformer(noisy, inputs["text"], inputs["levels"], layout)
        loss = weighted_error(prediction, target, inputs["weights"])
        loss.backward()
        return {"loss": loss}

    step = TrainingStep(diffuse, list(transformer.parameters()), ("text",))
    shape = (options.batch, layout.latents, TRANSFORMER["in_channels"], HEIGHT // 8, WIDTH // 8)
    levels = torch.randint(1000, (options.batch, layout.segments), device=device)
    inputs = {
        "latents": torch.randn(shape, device=device, dtype=dtype),
        "noise": torch.randn(shape, device=device, dtype=dtype),
        "levels": levels,
        "alpha_bar": per_latent(1 - levels / 1000, layout),
        "weights": torch.ones(options.batch, layout.latents, device=device),
        "text": torch.randn(
            options.batch,
            layout.segments,
            layout.text_tokens,
            TRANSFORMER["text_embed_dim"],
            device=device,
            dtype=dtype,
        ),
    }
    start = time.perf_counter()
    for _ in range(2):
        step(inputs)
        optimiser.step(0.0)
    _synchronise(device)
    first_seconds, start = time.perf_counter() - start, time.perf_counter()
    for _ in range(options.steps):
        values = step(inputs)
        optimiser.step(0.0)
    _synchronise(device)
    milliseconds = 1000 * (time.perf_counter() - start) / options.steps
    on_gpu = device.type == "cuda"
    print(
        json.dumps(
            {
                **vars(options),
                "milliseconds": round(milliseconds, 1),
                "first_seconds": round(first_seconds, 1),
                "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 1) if on_gpu else None,
                "loss": round(float(values["loss"]), 4),
                "device": torch.cuda.get_device_name() if on_gpu else "cpu",
                "torch": torch.__version__,
            }
        )
    )


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
