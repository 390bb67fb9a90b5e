"""One training step of a model on a data set that `storyreel data build` made.

    python examples/training_step.py dataset/assembled --seconds 9

Prints the error of the same batch and noise before the step and after it. docs/data.md has the way to the data set.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from storyreel.assets import DEMO_MODEL
from storyreel.data.dataset import ExampleDataset, RankSampler, collate
from storyreel.models.sizes import ModelSizes
from storyreel.sampling.pipeline import load_pipeline
from storyreel.training.diffusion import add_noise, per_latent, weighted_error


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("assembled", type=Path, help="folder of the step assemble")
    parser.add_argument("--seconds", type=int, default=9, help="length of the examples")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--size", default="192x128", help="of the segments, as WIDTHxHEIGHT")
    parser.add_argument("--model", type=Path, default=DEMO_MODEL)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    torch.manual_seed(0)

    pipeline = load_pipeline(options.model, device="cpu", dtype=torch.float32)
    transformer = pipeline.transformer.requires_grad_(True).train()
    optimiser = torch.optim.AdamW(transformer.parameters(), lr=1e-4)
    layout = transformer.layout_for(options.seconds, height, width, ModelSizes.read(options.model).max_text_tokens)

    examples = ExampleDataset(options.assembled, options.seconds, layout.text_tokens)
    sampler = RankSampler(examples, options.batch)
    batch = next(iter(DataLoader(examples, batch_sampler=sampler, collate_fn=collate)))
    if batch.states is None:
        parser.error("the examples have no states of texts: run assemble with --embeddings")
    latents = batch.moments.sample(torch.randn(batch.moments.mean.shape))

    # Halfway up the noise of the model's own schedule.
    level = pipeline.scheduler.config["num_train_timesteps"] // 2
    alpha_bar = pipeline.scheduler.alphas_cumprod[level].expand(options.batch, layout.segments)
    noisy, target = add_noise(latents, torch.randn_like(latents), per_latent(alpha_bar, layout))
    weights = torch.ones(options.batch, layout.latents)
    errors = []
    for _ in range(2):
        prediction = transformer(noisy, batch.states.float(), torch.full((options.batch,), level), layout)
        error = weighted_error(prediction, target, weights)
        error.backward()
        optimiser.step()
        optimiser.zero_grad()
        errors.append(error.item())
    print(f"{', '.join(batch.ids)}: error {errors[0]:.4f}, after a step {errors[1]:.4f}")


if __name__ == "__main__":
    main()
