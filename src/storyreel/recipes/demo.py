"""The demo model: drawn cartoons of 192x128, 3 s and then 9 s, on one GPU. docs/demo/README.md tells how it went.

`storyreel train demo --minutes 25` runs all of it; each part is a recipe of its own too.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from storyreel.data.clip_config import ClipConfig
from storyreel.training.config import (
    ActionsRun,
    DiffusionRun,
    DrawRun,
    EncodeRun,
    OptimiserConfig,
    PackRun,
    PlanRun,
    ProbeRun,
    VAERun,
)

HEIGHT, WIDTH = 128, 192
MAX_TEXT_TOKENS = 112
TEST_SEED = 9_000_000
"""Stories from this seed on are never trained on."""

VAE_ARCHITECTURE: dict[str, Any] = {
    "block_out_channels": (32, 64, 64, 96),
    "layers_per_block": 1,
    "latent_channels": 32,
    "sample_height": HEIGHT,
    "sample_width": WIDTH,
    "scaling_factor": 1.0,
}
"""Twice CogVideoX's channels: 192 numbers of a drawn 8x8 patch leave 24 dB in 16 principal components (LOG.md)."""
TEXT_ENCODER: dict[str, Any] = {"width": 192, "layers": 3, "heads": 3}
TRANSFORMER: dict[str, Any] = {
    "num_attention_heads": 5,
    "attention_head_dim": 64,
    "num_layers": 8,
    "in_channels": VAE_ARCHITECTURE["latent_channels"],
    "out_channels": VAE_ARCHITECTURE["latent_channels"],
    "time_embed_dim": 48,
    "text_embed_dim": 192,
    "max_text_seq_length": MAX_TEXT_TOKENS,
    "sample_width": WIDTH // 8,
    "sample_height": HEIGHT // 8,
    "use_rotary_positional_embeddings": True,
    "mixer": "ttt_mlp",
}
SCHEDULER: dict[str, Any] = {"snr_shift_scale": 32.0}
"""Much more noise than CogVideoX: 13 frames that hardly differ show a picture through it (docs/decisions/0004)."""


def clips_3s() -> DrawRun:
    return DrawRun("clips-3s", ClipConfig(12_000, 1, 7, HEIGHT, WIDTH, first_seed=0))


def clips_9s() -> DrawRun:
    return DrawRun("clips-9s", ClipConfig(2_000, 3, 7, HEIGHT, WIDTH, first_seed=1_000_000))


def vae_parts() -> VAERun:
    """The autoencoder on small parts of short windows, while it learns what a line and a colour are."""
    optimiser = OptimiserConfig(
        learning_rate=2e-3, warmup_steps=60, clip=1.0, ema_decay=0.995, weight_decay=0.0, matrices="muon"
    )
    folders = ("clips-3s",)
    return VAERun("vae-parts", folders, VAE_ARCHITECTURE, optimiser, steps=4000, batch=32, frames=9, crop=(64, 96))


def vae() -> VAERun:
    """Then on whole frames and whole windows, as it is used: its norms see a whole frame at a time.

    It begins anew every 24 frames (docs/decisions/0014), so windows need no more than 25. Clips of 9 s have what a clip
    of 3 s never has, a cut from one place to another.
    """
    optimiser = dataclasses.replace(vae_parts().optimiser, learning_rate=7e-4, warmup_steps=30)
    return dataclasses.replace(
        vae_parts(),
        name="vae",
        clips_folders=("clips-3s", "clips-9s"),
        optimiser=optimiser,
        steps=20_000,
        batch=8,
        rows_at_once=4,
        frames=25,
        crop=(0, 0),
        init="vae-parts/vae",
        seed=1,
    )


def vae_decoder() -> VAERun:
    """More training of the decoder alone: latents, and models trained on them, stay what they are.

    Noise on the latents teaches it to draw what is nearly right (docs/decisions/0011).
    """
    optimiser = dataclasses.replace(vae().optimiser, learning_rate=2e-4, warmup_steps=10, ema_decay=0.98)
    return dataclasses.replace(
        vae(),
        name="vae-decoder",
        optimiser=optimiser,
        decoder_only=True,
        init="bundled/vae",
        clips_folders=("clips-3s-decoder", "clips-9s-decoder"),
        steps=3000,
        latent_noise=0.4,
        seed=2,
    )


def latents_stills() -> EncodeRun:
    return EncodeRun("latents-stills", "clips-3s", "vae/vae", stills=6)


def latents_3s() -> EncodeRun:
    return EncodeRun("latents-3s", "clips-3s", "vae/vae")


def latents_9s() -> EncodeRun:
    return EncodeRun("latents-9s", "clips-9s", "vae/vae")


def stills() -> DiffusionRun:
    """Single frames first: a step of the same size sees about six times as many scenes (docs/decisions/0006)."""
    return dataclasses.replace(
        base(),
        name="stills",
        seconds=0,
        latents_folder="latents-stills",
        optimiser=dataclasses.replace(base().optimiser, learning_rate=1.5e-3),
        steps=20_000,
        batch=512,
        rows_at_once=512,
        init=None,
        level_power=2.0,
        stages=(0,),
        seed=3,
    )


def base() -> DiffusionRun:
    """What a pre-trained CogVideoX is to the paper: 3 s, local attention, no memory yet."""
    optimiser = OptimiserConfig(learning_rate=1e-3, warmup_steps=200, clip=1.0, ema_decay=0.999, matrices="muon")
    return DiffusionRun(
        name="base",
        seconds=3,
        height=HEIGHT,
        width=WIDTH,
        max_text_tokens=MAX_TEXT_TOKENS,
        latents_folder="latents-3s",
        vae_folder="vae/vae",
        transformer=TRANSFORMER | {"mixer": "local"},
        text_encoder=TEXT_ENCODER,
        optimiser=optimiser,
        steps=20_000,
        batch=64,
        rows_at_once=64,
        init="stills/model",
        scheduler=SCHEDULER,
        forward="compiled",
    )


def stage_3s() -> DiffusionRun:
    """Memories open behind small gates; they learn faster than what was there before.

    24 clips of 5 heads at once, here and at 9 s, are 120 programs of the TTT kernel: one a multiprocessor.
    """
    optimiser = OptimiserConfig(
        learning_rate=1e-3, pretrained_learning_rate=3e-4, warmup_steps=30, clip=1.0, ema_decay=0.99, matrices="muon"
    )
    return dataclasses.replace(
        base(),
        name="3s",
        transformer=TRANSFORMER,
        optimiser=optimiser,
        steps=800,
        batch=48,
        rows_at_once=24,
        init="base/model",
        seed=1,
    )


def stage_9s() -> DiffusionRun:
    """Three segments: what the memory holds has to cross a border for the first time."""
    optimiser = OptimiserConfig(
        learning_rate=7e-4, pretrained_learning_rate=3e-4, warmup_steps=30, clip=1.0, ema_decay=0.995, matrices="muon"
    )
    return dataclasses.replace(
        stage_3s(),
        name="9s",
        seconds=9,
        latents_folder="latents-9s",
        optimiser=optimiser,
        steps=2000,
        init="3s/model",
        stages=(3, 9),
        clean_prefix_share=0.25,
        seed=2,
    )


def probe() -> ProbeRun:
    optimiser = OptimiserConfig(learning_rate=2e-3, warmup_steps=50, clip=1.0, ema_decay=0.995, matrices="muon")
    return ProbeRun("probe", ("clips-3s", "clips-9s"), "vae/vae", optimiser, steps=4000)


def actions() -> ActionsRun:
    """The reader of actions, made for a processor."""
    optimiser = OptimiserConfig(learning_rate=2e-3, warmup_steps=50, clip=1.0, ema_decay=0.99, matrices="muon")
    return ActionsRun("actions", optimiser, 1500, HEIGHT, WIDTH, first_seed=6_000_000)


def package() -> PackRun:
    sampling = {"steps": 16, "guidance": 6.0, "solver": "dpm-ode"}
    return PackRun("demo", "9s/model", "vae/vae", "probe/probe", "clips-3s", sampling)


def plan() -> PlanRun:
    """Everything in order, with the shares of a time limit that the first training taught (LOG.md)."""
    return PlanRun(
        "demo-plan",
        (clips_3s(), clips_9s()),
        (
            (vae_parts(), 0.15),
            (vae(), 0.15),
            (probe(), 0.06),
            (latents_stills(), 0.0),
            (stills(), 0.20),
            (latents_3s(), 0.0),
            (latents_9s(), 0.0),
            (base(), 0.20),
            (stage_3s(), 0.05),
            (stage_9s(), 0.19),
            (package(), 0.0),
        ),
    )


def more() -> PlanRun:
    """The plan again, on new stories, from the model that ships: what it has learned is kept and goes on.

    The probe stays: it is the yardstick of both. The autoencoder, which has settled, goes on in smaller steps: at 7e-4
    its loss rose before it fell again (LOG.md, 2026-11-23).
    """
    three = dataclasses.replace(clips_3s(), clips=dataclasses.replace(clips_3s().clips, first_seed=2_000_000))
    nine = dataclasses.replace(clips_9s(), clips=dataclasses.replace(clips_9s().clips, first_seed=3_000_000))
    optimiser = dataclasses.replace(base().optimiser, warmup_steps=50)
    smaller = dataclasses.replace(vae().optimiser, learning_rate=3e-4)
    return PlanRun(
        "demo-more-plan",
        (three, nine),
        (
            (dataclasses.replace(vae(), init="bundled/vae", optimiser=smaller, seed=4), 0.30),
            (latents_stills(), 0.0),
            (dataclasses.replace(stills(), init="bundled", optimiser=optimiser, seed=5), 0.21),
            (latents_3s(), 0.0),
            (latents_9s(), 0.0),
            (dataclasses.replace(base(), optimiser=optimiser, seed=6), 0.19),
            (dataclasses.replace(stage_3s(), mixer_init="bundled", seed=7), 0.06),
            (dataclasses.replace(stage_9s(), seed=8), 0.24),
            (dataclasses.replace(package(), probe_folder="bundled-probe"), 0.0),
        ),
    )


def decoder() -> PlanRun:
    """The decoder of the model that ships learns to draw latents that are not quite right; everything else stays."""
    three = DrawRun("clips-3s-decoder", dataclasses.replace(clips_3s().clips, count=600, first_seed=4_000_000))
    nine = DrawRun("clips-9s-decoder", dataclasses.replace(clips_9s().clips, count=300, first_seed=5_000_000))
    packed = dataclasses.replace(
        package(),
        name="demo-decoder",
        model_folder="bundled",
        vae_folder="vae-decoder/vae",
        probe_folder="bundled-probe",
        clips_folder=three.name,
    )
    return PlanRun("demo-decoder-plan", (three, nine), ((vae_decoder(), 1.0), (packed, 0.0)))
