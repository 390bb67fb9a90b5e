"""Milliseconds and memory of a training step of the demo as the trainer runs it, on random latents.

    python bench/training_step.py --seconds 9 --batch 48 --profile

A step is all of it: a batch, text encoder and transformer forward and backward, the optimiser. The model, the batch and
the forward of its blocks are those of the recipe for so many seconds unless told otherwise; a batch is what this one
GPU gets, so on N GPUs the trainer gives each an N-th of the recipe's. The last line is one JSON object with the device
and versions.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable

import torch
from profiling import show_profile, synchronise
from torch import nn

from storyreel.data.latent_clips import LatentClips
from storyreel.models.forward import use_forward
from storyreel.models.forward_names import FORWARDS
from storyreel.models.text import build_text_encoder, build_tokenizer
from storyreel.models.transformer import StoryreelTransformer3DModel
from storyreel.recipes import demo
from storyreel.toons.vocabulary import words
from storyreel.training.config import DiffusionRun
from storyreel.training.optimiser import MasterOptimiser
from storyreel.training.rematerialisation import Rematerialisation
from storyreel.training.transformer import Batches, _Stepper

CLIPS = 64


def main() -> None:
    options = arguments()
    run = configured(options)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    step = build(run, device)
    start = time.perf_counter()
    for _ in range(2):
        values = step()
    synchronise(device)
    first_seconds, start = time.perf_counter() - start, time.perf_counter()
    for _ in range(options.steps):
        values = step()
    submitted = time.perf_counter() - start
    synchronise(device)
    milliseconds = 1000 * (time.perf_counter() - start) / options.steps
    on_gpu = device.type == "cuda"
    busy = show_profile(step, device, milliseconds) if options.profile else None
    result = {
        "run": run.name,
        "seconds": run.seconds,
        "batch": run.batch,
        "mixer": run.transformer["mixer"],
        "layers": run.transformer["num_layers"],
        "forward": run.forward,
        "remat": run.remat,
        "milliseconds": round(milliseconds, 1),
        "host_milliseconds": round(1000 * submitted / options.steps, 1),
        "busy_milliseconds": busy and round(busy, 1),
        "first_seconds": round(first_seconds, 1),
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 1) if on_gpu else None,
        "loss": round(float(values["loss"]), 4),
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "torch": torch.__version__,
    }
    print(json.dumps(result))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3, help="0 (stills), 3 or 9")
    parser.add_argument("--mixer", default="ttt_mlp", help="a name that build_mixer knows")
    parser.add_argument("--batch", type=int, help="default: the recipe's, of all GPUs")
    parser.add_argument("--layers", type=int, help="default: the recipe's")
    parser.add_argument("--forward", choices=FORWARDS, help="of the blocks; default: the recipe's")
    parser.add_argument("--remat", help="what is computed again, such as attention+mlp; default: the recipe's")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--profile", action="store_true", help="the dearest kernels, and the GPU's idle share")
    return parser.parse_args()


def configured(options: argparse.Namespace) -> DiffusionRun:
    """The recipe's run for these seconds and this mixer, with what the options change."""
    recipes: dict[int, Callable[[], DiffusionRun]] = {0: demo.stills, 3: demo.stage_3s, 9: demo.stage_9s}
    run = demo.base() if (options.seconds, options.mixer) == (3, "local") else recipes[options.seconds]()
    layers = options.layers or run.transformer["num_layers"]
    return dataclasses.replace(
        run,
        transformer=run.transformer | {"mixer": options.mixer, "num_layers": layers},
        batch=options.batch or run.batch,
        forward=options.forward or run.forward,
        remat=options.remat or run.remat,
    )


def build(run: DiffusionRun, device: torch.device) -> Callable[[], dict[str, torch.Tensor]]:
    """A function that takes the next training step, of fresh models on random clips under texts of random words."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.manual_seed(0)
    tokenizer = build_tokenizer(words())
    text_encoder = build_text_encoder(len(tokenizer), **run.text_encoder)
    transformer = StoryreelTransformer3DModel(**run.transformer)
    for model in (text_encoder, transformer):
        nn.Module.to(model.train(), device, dtype)
    use_forward(transformer, run.forward, training=True)
    Rematerialisation.of(run.remat).apply(transformer)
    layout = transformer.layout_for(run.seconds, run.height, run.width, run.max_text_tokens)
    shape = (CLIPS, layout.latents, run.transformer["in_channels"], run.height // 8, run.width // 8)
    vocabulary = sorted(words())
    texts = [
        [" ".join(vocabulary[i] for i in torch.randint(len(vocabulary), (layout.text_tokens // 4,)))] * layout.segments
        for _ in range(CLIPS)
    ]
    batches = Batches(run, LatentClips(torch.randn(shape).to(torch.bfloat16), texts), tokenizer, layout, device)
    both = nn.ModuleDict({"text_encoder": text_encoder, "transformer": transformer})
    optimiser = MasterOptimiser(both.named_parameters(), run.optimiser)
    stepper = _Stepper(transformer, text_encoder, layout)

    def step() -> dict[str, torch.Tensor]:
        values = stepper.whole(batches.at(optimiser.steps, torch.randint(CLIPS, (run.batch,)), dtype), optimiser)
        values["gradient_norm"] = optimiser.step(0.0)
        return values

    return step


if __name__ == "__main__":
    main()
