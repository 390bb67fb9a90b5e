"""Frozen configurations of training runs. A recipe is a function that returns one; a variant replaces one field."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from storyreel.data.clip_config import ClipConfig
from storyreel.errors import TrainingError, refusal
from storyreel.models.forward_names import Forward


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW or Muon with fp32 masters, warm-up, a schedule, clipping and an exponential moving average of the weights.

    `pretrained_learning_rate` is that of everything outside the mixers, None for the same. `matrices` says what moves
    the hidden matrices (training/muon.py); everything else is AdamW's.
    """

    learning_rate: float = 1e-4
    pretrained_learning_rate: float | None = None
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_steps: int = 100
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 1e-4
    clip: float = 0.1
    ema_decay: float = 0.999
    matrices: Literal["adamw", "muon"] = "adamw"


@dataclass(frozen=True)
class DrawRun:
    """Draw the clips that later runs train on."""

    name: str
    clips: ClipConfig


@dataclass(frozen=True)
class VAERun:
    """Train an AutoencoderKLCogVideoX on windows of drawn clips.

    `crop` is the height and width of the random part of a frame that is seen, (0, 0) for whole frames: many small parts
    teach more than the same pixels of few frames. `init` names the VAE folder of an earlier run, "bundled/vae" the one
    that ships. `rows_at_once` is the most windows that a GPU has memory for at once, as in DiffusionRun.

    `latent_noise` is the most noise that latents get before they are decoded, in standard deviations of their channel:
    half of the windows have none, the others any share of it. A decoder that has seen it draws what a diffusion model
    makes, whose latents are never quite right.

    `frames` is the length of a window, a multiple of 8 and one: what uses the autoencoder begins anew after as many
    (models/vae.py `set_window`), where it has learned all that there is to look back on.
    """

    name: str
    clips_folders: tuple[str, ...]
    vae: dict[str, Any]
    optimiser: OptimiserConfig
    steps: int
    batch: int = 8
    frames: int = 17
    crop: tuple[int, int] = (0, 0)
    kl_weight: float = 5e-4
    seed: int = 0
    decoder_only: bool = False
    init: str | None = None
    rows_at_once: int | None = None
    latent_noise: float = 0.0


@dataclass(frozen=True)
class EncodeRun:
    """Encode drawn clips to latents with a trained VAE; with `stills`, so many single frames of each clip instead."""

    name: str
    clips_folder: str
    vae_folder: str
    stills: int = 0


@dataclass(frozen=True)
class DiffusionRun:
    """Train the text encoder and the transformer together on latents of one length; 0 seconds are stills.

    `init` names the model folder of an earlier run, or "bundled" for the model that ships; mixers that it lacks start
    new, or are those of `mixer_init`, a folder too. `clean_prefix_share` and `level_power` are what `draw_noise_levels`
    makes of them. `forward` is the blocks' (models/forward.py), `remat` what they compute again for gradients, such as
    "block+projections" (training/rematerialisation.py). A process with more than `rows_at_once` rows of a batch takes
    them one part after the other and steps with the mean of their gradients; None takes them all at once.
    """

    name: str
    seconds: int
    height: int
    width: int
    max_text_tokens: int
    latents_folder: str
    vae_folder: str
    transformer: dict[str, Any]
    text_encoder: dict[str, Any]
    optimiser: OptimiserConfig
    steps: int
    batch: int
    seed: int = 0
    text_dropout: float = 0.1
    clean_prefix_share: float = 0.0
    level_power: float = 1.0
    init: str | None = None
    mixer_init: str | None = None
    stages: tuple[int, ...] = (3,)
    forward: Forward = "auto"
    remat: str = "none"
    rows_at_once: int | None = None
    scheduler: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ProbeRun:
    """Train the network that reads place and characters off a clip."""

    name: str
    clips_folders: tuple[str, ...]
    vae_folder: str
    optimiser: OptimiserConfig
    steps: int
    width: int = 24
    batch: int = 48
    seed: int = 0


@dataclass(frozen=True)
class ActionsRun:
    """Train the network that reads who does what, on stories drawn from `first_seed` on at `height` x `width`.

    After the `first_stories` another is drawn every `steps_a_story` steps, and the last `kept_stories` are shown again
    and again.
    """

    name: str
    optimiser: OptimiserConfig
    steps: int
    height: int
    width: int
    first_seed: int
    widths: tuple[int, ...] = (16, 32, 64)
    first_stories: int = 10
    steps_a_story: int = 8
    kept_stories: int = 200
    batch: int = 8
    seed: int = 0


@dataclass(frozen=True)
class PackRun:
    """Put the parts together that are to be shipped: model and probe; "bundled" and "bundled-probe" are ours."""

    name: str
    model_folder: str
    vae_folder: str
    probe_folder: str
    clips_folder: str
    sampling: dict[str, Any] = field(default_factory=dict)


SingleRun = DrawRun | VAERun | EncodeRun | DiffusionRun | ProbeRun | ActionsRun | PackRun


@dataclass(frozen=True)
class PlanRun:
    """Runs one after the other in one process, so that libraries load once; clips are drawn beside the first.

    Each run comes with its share of the time limit; 0 is for those that take as long as they take.
    """

    name: str
    drawn: tuple[DrawRun, ...]
    runs: tuple[tuple[SingleRun, float], ...]


Run = SingleRun | PlanRun


def check_batches(run: Run, processes: int) -> None:
    """TrainingError where a batch, which is that of all processes together, does not divide among them."""
    runs = [single for single, _ in run.runs] if isinstance(run, PlanRun) else [run]
    trained = (VAERun, DiffusionRun, ProbeRun, ActionsRun)
    batches = {single.name: single.batch for single in runs if isinstance(single, trained)}
    common = math.gcd(*batches.values())
    for name, batch in batches.items():
        if batch % processes:
            fitting = max(n for n in range(1, processes) if common % n == 0)
            limit = f"it must be a multiple of the {processes} processes that share it, one a GPU"
            raise TrainingError(refusal(f"the batch of {name}", batch, limit, f"Try --gpus {fitting}"))
