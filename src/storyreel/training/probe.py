"""Training of the probe (evaluation/probe.py) on drawn clips, some of them as the VAE gives them back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers import AutoencoderKLCogVideoX
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from storyreel.data.clips import CHARACTERS, PLACES, clip_numbers, read_clip
from storyreel.errors import TrainingError
from storyreel.evaluation.probe import PROBE_FRAMES, Probe, probe_loss
from storyreel.models.vae import decode_whole, load_vae, posterior
from storyreel.training import parallel
from storyreel.training.config import ProbeRun
from storyreel.training.loop import Clock, Report, train_steps
from storyreel.training.optimiser import MasterOptimiser

HELD_OUT_SHARE = 20


def is_held_out(number: int) -> bool:
    """Every twentieth clip is kept out of the probe's training, to judge the probe itself."""
    return number % HELD_OUT_SHARE == 0


class LabelledSegments(IterableDataset[tuple[Tensor, int, Tensor]]):
    """Endless random segments: uint8 frames `[9, H, W, 3]` (8 as the probe wants and the first of a VAE window), place,
    characters (float `[characters]`)."""

    def __init__(self, folders: tuple[Path, ...], seed: int) -> None:
        self.seed = seed
        self.clips = [(f, n) for f in folders for n in clip_numbers(f) if not is_held_out(n)]
        if not self.clips:
            raise TrainingError(f"no drawn clips in {', '.join(map(str, folders))}. Draw them first.")

    def __iter__(self) -> Iterator[tuple[Tensor, int, Tensor]]:
        worker = get_worker_info()
        generator = torch.Generator().manual_seed(1000 * self.seed + (worker.id if worker else 0))
        while True:
            folder, number = self.clips[int(torch.randint(len(self.clips), (), generator=generator))]
            clip = read_clip(folder, number)
            for segment, (place, seen) in enumerate(zip(clip.places, clip.characters, strict=True)):
                frames = torch.from_numpy(clip.frames[48 * segment + 1 : 48 * segment + 49])
                yield (
                    frames.clone(),
                    place,
                    torch.zeros(len(CHARACTERS)).index_fill(0, torch.tensor(seen, dtype=torch.int64), 1.0),
                )


def train_probe(
    run: ProbeRun, root: Path, *, device: torch.device, clock: Clock, report: Report, workers: int = 4
) -> None:
    """Trains, and writes the moving average to ROOT/NAME/probe."""
    torch.manual_seed(run.seed)
    probe = Probe(PLACES, CHARACTERS, run.width)
    nn.Module.to(probe, device)
    vae = load_vae(root / run.vae_folder)
    nn.Module.to(vae.eval(), device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    optimiser = MasterOptimiser(probe.named_parameters(), run.optimiser)
    seed = parallel.own_seed(run.seed)
    segments = LabelledSegments(tuple(root / name for name in run.clips_folders), seed)
    batches = iter(DataLoader(segments, batch_size=run.batch // parallel.size(), num_workers=workers))

    def one_step(step: int) -> dict[str, Tensor]:
        frames, places, characters = (x.to(device) for x in next(batches))
        generator = torch.Generator(device).manual_seed(seed * 1_000_003 + step)
        shown = augmented(vae, frames, generator)
        logits = probe(shown)
        loss = probe_loss(logits, places, characters)
        for parameter in optimiser.working:
            parameter.grad = None
        loss.backward()
        right = (logits[0].argmax(1) == places).float().mean(), ((logits[1] > 0) == (characters > 0.5)).float().mean()
        return {"loss": loss.detach(), "place": right[0], "characters": right[1]}

    train_steps(run, root / run.name, optimiser, one_step, steps=run.steps, clock=clock, report=report)
    if not parallel.is_first():
        return
    optimiser.use_average()
    probe.save_pretrained(root / run.name / "probe")


@torch.no_grad()
def augmented(vae: AutoencoderKLCogVideoX, frames: Tensor, generator: torch.Generator) -> Tensor:
    """PROBE_FRAMES frames of each segment uint8 `[B, 48, H, W, 3]`, float32 `[B, 8, 3, H, W]`.

    Three quarters of the batch as drawn, the last through the VAE in windows of 9; all with noise and another
    brightness.
    """
    batch, count = frames.shape[:2]
    drawn = batch - batch // 4
    window = frames[
        drawn:, (start := int(torch.randint(count - 8, (), generator=generator, device=frames.device))) : start + 9
    ]
    pixels = window.permute(0, 4, 1, 2, 3).to(vae.dtype) / 127.5 - 1
    made = decode_whole(vae, posterior(vae, pixels)[0]).float()[:, :, 1:].transpose(1, 2)
    spread = torch.linspace(0, count - 1, PROBE_FRAMES, device=frames.device).long()
    plain = frames[:drawn, spread].permute(0, 1, 4, 2, 3).float() / 127.5 - 1
    shown = torch.cat([plain, made.clamp(-1, 1)])
    strength = torch.rand(batch, 1, 1, 1, 1, generator=generator, device=frames.device) * 0.1
    gain = 1 + 0.1 * torch.randn(batch, 1, 1, 1, 1, generator=generator, device=frames.device)
    return shown * gain + strength * torch.randn(shown.shape, generator=generator, device=frames.device)
