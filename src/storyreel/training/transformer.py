"""Joint training of the text encoder and the transformer on latents of one length (one stage of the paper's five)."""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, T5EncoderModel

from storyreel.data.latent_clips import LatentClips, batch_indices
from storyreel.geometry import TokenLayout
from storyreel.models.forward import use_forward
from storyreel.models.state_dict import load_cogvideox, load_mixers
from storyreel.models.text import build_text_encoder, build_tokenizer, encode_ids, tokenize
from storyreel.models.transformer import StoryreelTransformer3DModel
from storyreel.models.vae import load_vae
from storyreel.sampling.pipeline import StoryreelPipeline, load_pipeline, save_pipeline
from storyreel.sampling.schedulers import build_scheduler
from storyreel.toons.vocabulary import words
from storyreel.training import parallel
from storyreel.training.checkpoint import earlier_folder
from storyreel.training.config import DiffusionRun
from storyreel.training.diffusion import add_noise, draw_noise_levels, per_latent, weighted_error
from storyreel.training.graph import TrainingStep
from storyreel.training.loop import Clock, Report, train_steps
from storyreel.training.optimiser import MasterOptimiser
from storyreel.training.rematerialisation import Rematerialisation


class Batches:
    """Batches on the device, each a function of the run's seed and the step's number alone.

    Every process draws for the whole batch and takes its rows, so that any number of processes takes the same steps.
    """

    def __init__(
        self,
        run: DiffusionRun,
        clips: LatentClips,
        tokenizer: PreTrainedTokenizerFast,
        layout: TokenLayout,
        device: torch.device,
    ) -> None:
        self.run, self.layout, self.device = run, layout, device
        self.latents = clips.latents.to(device)
        flat = [text for texts in clips.texts for text in texts]
        different = {text: row for row, text in enumerate(dict.fromkeys(flat))}
        rows = [different[text] for text in flat]  # the stills of a clip share its text
        ids, mask = (x[rows] for x in tokenize(tokenizer, list(different), layout.text_tokens))
        shape = (len(clips), layout.segments, layout.text_tokens)
        self.ids, self.mask = ids.view(shape).to(device), mask.view(shape).to(device)
        self.empty_ids, self.empty_mask = (x.to(device) for x in tokenize(tokenizer, [""], layout.text_tokens))
        self.alpha_bar = build_scheduler("ddim", **run.scheduler).alphas_cumprod.float()

    def at(self, step: int, indices: Tensor, dtype: torch.dtype) -> list[dict[str, Tensor]]:
        """Inputs of the diffusion step of this process, by part; ids and mask `[B * S, L]` are texts (some dropped).

        `indices` are of the whole batch. `share` is what the mean error of a part's rows counts in the mean over all
        parts of all processes: 1 but for rows with less or more weight than others. What is small is drawn on the CPU
        and goes over from pinned memory, so that a GPU is never waited for: one step is prepared while it works on the
        one before.
        """
        run = self.run
        own = parallel.rows(run.batch)
        generator = torch.Generator().manual_seed(run.seed * 1_000_003 + step)
        levels, weights = draw_noise_levels(
            run.batch, self.layout.segments, len(self.alpha_bar), run.clean_prefix_share, generator, run.level_power
        )
        dropped = (torch.rand(run.batch, generator=generator) < run.text_dropout)[:, None, None]
        on_device = torch.Generator(self.device).manual_seed(run.seed * 1_000_003 + step)
        noise = torch.randn((run.batch, *self.latents.shape[1:]), generator=on_device, device=self.device, dtype=dtype)
        weights = per_latent(weights, self.layout)
        parts = parallel.parts(run.batch, run.rows_at_once)
        each = (own.stop - own.start) // parts

        def part(rows: slice) -> dict[str, Tensor]:
            share = weights[rows].sum() * (run.batch / each) / weights.sum()
            alpha_bar = per_latent(self.alpha_bar[levels[rows]], self.layout)
            chosen, empty = self._sent(indices[rows]), self._sent(dropped[rows])
            return {
                "ids": torch.where(empty, self.empty_ids, self.ids[chosen]).flatten(0, 1),
                "mask": torch.where(empty, self.empty_mask, self.mask[chosen]).flatten(0, 1),
                "latents": self.latents[chosen].to(dtype),
                "noise": noise[rows],
                "levels": self._sent(levels[rows]),
                "alpha_bar": self._sent(alpha_bar),
                "weights": self._sent(weights[rows]),
                "share": self._sent(share),
            }

        return [part(slice(start, start + each)) for start in range(own.start, own.stop, each)]

    def _sent(self, values: Tensor) -> Tensor:
        if self.device.type != "cuda":
            return values.to(self.device)
        return values.pin_memory().to(self.device, non_blocking=True)


def train_diffusion(run: DiffusionRun, root: Path, *, device: torch.device, clock: Clock, report: Report) -> None:
    """Trains one stage; ROOT/NAME/model holds the averaged weights as a pipeline folder whenever the run stops."""
    torch.manual_seed(run.seed)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    tokenizer, text_encoder, transformer = build_models(run, root)
    for model in (text_encoder, transformer):
        nn.Module.to(model.train(), device, dtype)
    use_forward(transformer, run.forward, training=True)
    Rematerialisation.of(run.remat).apply(transformer)
    layout = transformer.layout_for(run.seconds, run.height, run.width, run.max_text_tokens)
    clips = LatentClips.load(root / run.latents_folder)
    batches = Batches(run, clips, tokenizer, layout, device)
    both = nn.ModuleDict({"text_encoder": text_encoder, "transformer": transformer})
    optimiser = MasterOptimiser(both.named_parameters(), run.optimiser)
    stepper = _Stepper(transformer, text_encoder, layout)
    order: list[Tensor] = []

    def one_step(step: int) -> dict[str, Tensor]:
        if not order:
            needed = itertools.islice(batch_indices(len(clips), run.batch, run.seed), step, run.steps)
            order.extend(reversed(list(needed)))
        return stepper.whole(batches.at(step, order.pop(), dtype), optimiser)

    try:
        train_steps(run, root / run.name, optimiser, one_step, steps=run.steps, clock=clock, report=report)
    finally:
        optimiser.use_average()
        if parallel.is_first():
            _save_model(run, root, tokenizer, text_encoder, transformer)


def _save_model(
    run: DiffusionRun,
    root: Path,
    tokenizer: PreTrainedTokenizerFast,
    text_encoder: T5EncoderModel,
    transformer: StoryreelTransformer3DModel,
) -> None:
    fresh = StoryreelTransformer3DModel(**run.transformer)  # the trained one may be compiled
    fresh.load_state_dict(transformer.state_dict())
    vae = load_vae(root / run.vae_folder)
    scheduler = build_scheduler("ddim", **run.scheduler)
    save_pipeline(
        StoryreelPipeline(tokenizer, text_encoder, fresh, vae, scheduler),
        root / run.name / "model",
        height=run.height,
        width=run.width,
        max_text_tokens=run.max_text_tokens,
        recipe=run.name,
        stages=run.stages,
    )


def build_models(
    run: DiffusionRun, root: Path
) -> tuple[PreTrainedTokenizerFast, T5EncoderModel, StoryreelTransformer3DModel]:
    """Fresh models, or those of an earlier run's model folder (`run.init`)."""
    if run.init is not None:
        folder = earlier_folder(root, run.init)
        earlier = load_pipeline(folder, device="cpu", dtype=torch.float32)
        transformer = StoryreelTransformer3DModel(**run.transformer)
        load_cogvideox(transformer, folder / "transformer", new_mixer=True, spare_mixer=True)
        if run.mixer_init is not None:
            load_mixers(transformer, earlier_folder(root, run.mixer_init) / "transformer")
        return earlier.tokenizer, earlier.text_encoder.requires_grad_(True), transformer
    tokenizer = build_tokenizer(words())
    text_encoder = build_text_encoder(len(tokenizer), **run.text_encoder)
    transformer = StoryreelTransformer3DModel(**run.transformer)
    close_blocks(transformer)
    return tokenizer, text_encoder, transformer


@torch.no_grad()
def close_blocks(transformer: StoryreelTransformer3DModel) -> None:
    """Starts every block as the identity and the output at zero (adaLN-Zero, arXiv 2212.09748)."""
    for name, parameter in transformer.named_parameters():
        if name.startswith("proj_out.") or (".linear." in name and "norm" in name):
            parameter.zero_()


class _Stepper:
    """Forward and backward of one batch through both models, as one CUDA graph on a GPU."""

    def __init__(
        self, transformer: StoryreelTransformer3DModel, text_encoder: T5EncoderModel, layout: TokenLayout
    ) -> None:
        self.transformer, self.text_encoder, self.layout = transformer, text_encoder, layout
        self.step = TrainingStep(self.forward_backward, [*text_encoder.parameters(), *transformer.parameters()])

    def __call__(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.step(inputs)

    def whole(self, parts: list[dict[str, Tensor]], optimiser: MasterOptimiser) -> dict[str, Tensor]:
        """All parts of a batch, one after the other; the optimiser collects their gradients."""
        losses = []
        for inputs in parts:
            losses.append(self.step(inputs)["loss"].clone())
            optimiser.collect()
        return {"loss": torch.stack(losses).mean()}

    def forward_backward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The loss of what `Batches.at` gives; its gradients are added to those of the parameters."""
        text = encode_ids(self.text_encoder, inputs["ids"], inputs["mask"])
        text = text.unflatten(0, (len(inputs["latents"]), self.layout.segments))
        noisy, target = add_noise(inputs["latents"], inputs["noise"], inputs["alpha_bar"])
        prediction = self.transformer(noisy, text, inputs["levels"], self.layout)
        loss = weighted_error(prediction, target, inputs["weights"]) * inputs["share"]
        loss.backward()
        return {"loss": loss}
