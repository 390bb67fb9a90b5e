"""`storyreel evaluate`: videos by metrics, or a model against stories it was never trained on.

Thin wrappers of `evaluation.metrics` (cli/evaluate_videos.py) and `evaluation.judge`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from storyreel.assets import DEMO_MODEL, DEMO_PROBE
from storyreel.cli.machine import check_workers, cores
from storyreel.cli.progress import Counter, open_progress
from storyreel.errors import ConfigError, OutputError, WeightsError, refusal
from storyreel.geometry import SEGMENT_SECONDS, STAGE_SECONDS
from storyreel.models.forward_names import Forward
from storyreel.recipes.demo import TEST_SEED
from storyreel.sampling.progress import Progress

if TYPE_CHECKING:
    from storyreel.evaluation.judge import Judgement

STORY_SEGMENTS = 7


@dataclass(frozen=True)
class Evaluate:
    """Measure a folder of videos, or a model on cartoons that it was never trained on.

    With DIR: cuts, flicker, frozen frames, seams, motion, sharpness and consistency of every video in it (or of each
    method's, in a folder a method), against the storyboard beside it; of toons also places, characters, actions,
    colours and memory. docs/metrics.md says what each means. Results, a page with film strips and VBench's files lie in
    --out.

    Without DIR: draws new stories, rebuilds them with the autoencoder, generates their texts anew, and lets a probe (a
    small network trained on the truth) read the place and the characters in all three. Shares come with a 95% interval,
    the autoencoder's PSNR a frame (averaged over frames) and pooled (of all frames' squared error together).

    Example: storyreel evaluate videos --out scores

    Example: storyreel evaluate --clips 48 --out docs/demo/evaluation.json
    """

    videos: Annotated[Positional[Path | None], arg(metavar="DIR", help_behavior_hint="(default: none)")] = None
    """Folder of videos, or of a folder of videos for each method."""
    weights: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: features of the probe)")] = None
    """With DIR: folder of a CLIP or DINO model (safetensors), whose features consistency is measured with."""
    ceiling: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: none)")] = None
    """With DIR: drawn toons (`storyreel toons`), on which the memory probes' ceiling is measured."""
    votes: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """With DIR, a folder a method: write the metrics as votes of automatic judges, for `storyreel arena ratings`."""
    model: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: the bundled demo model)")] = None
    """Folder of the model. Nothing is downloaded: fetch one with hf download ID --local-dir DIR."""
    probe: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: the bundled one)")] = None
    """Folder of the probe."""
    clips: Annotated[int, arg(metavar="N")] = 48
    """How many clips."""
    seconds: Annotated[int, arg(metavar="N")] = 3
    """Length of each: 3, 9 or 18."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the model's own)")] = None
    """Denoising steps."""
    guidance: Annotated[float | None, arg(metavar="G", help_behavior_hint="(default: the model's own)")] = None
    """Maximum of the guidance."""
    solver: Annotated[
        Literal["ddim", "dpm", "dpm-ode"] | None,
        arg(metavar="{ddim,dpm,dpm-ode}", help_behavior_hint="(default: the model's own)"),
    ] = None
    """Solver of the sampler."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seed of the noise."""
    batch: Annotated[int, arg(metavar="N")] = 8
    """Clips generated at once."""
    device: Annotated[str, arg(metavar="D")] = "auto"
    """auto (the first GPU, else the CPU), cpu, cuda, cuda:1 or mps."""
    forward: Forward = "auto"
    """Of the transformer's blocks: fused has kernels in Triton, for CUDA GPUs; mixed multiplies in bfloat16 on a CPU
    that can; auto is mixed there, else plain."""
    workers: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one a core)")] = None
    """Processes that draw."""
    out: Annotated[
        Path | None, arg(metavar="PATH", help_behavior_hint="(default: DIR-evaluation, or standard output alone)")
    ] = None
    """With DIR a folder for all results; else a JSON file for the figures."""
    keep: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: none)")] = None
    """Folder that keeps what is generated: the same command goes on from there after Ctrl-C."""
    sheets: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: none)")] = None
    """Folder for contact sheets, drawn above generated."""


def run(options: Evaluate) -> int:
    """Measures, with progress on standard error; figures on standard output.

    The last line is one JSON object for a model. The exit status is 1 where videos had to be left out.
    """
    if options.videos is not None:
        from storyreel.cli.evaluate_videos import run_videos

        _check_given(options, ("clips", "model", "seconds", "steps", "guidance", "solver", "seed", "batch", "workers",
                               "forward", "keep", "sheets"), "judge a model, which goes without DIR")  # fmt: skip
        return run_videos(options.videos, options.weights, options.probe or DEMO_PROBE, options.ceiling, options.votes,
                          options.out, options.device)  # fmt: skip
    _check_given(options, ("weights", "ceiling", "votes"), "measure videos, which needs DIR")
    _check(options)
    with open_progress() as progress:
        judgement = _judge(options, progress)
    print(f"autoencoder: PSNR {judgement.psnr_db:.2f} dB a frame, {judgement.pooled_psnr_db:.2f} dB pooled")
    for name in ("drawn", "reconstructed", "generated"):
        reading = getattr(judgement, name)
        print(f"{name}: place {reading.place}, all characters {reading.all_characters}")
    text = json.dumps(judgement.to_dict())
    print(text)
    if options.out is not None:
        write_figures(options.out, text)
    return 0


def write_figures(path: Path, text: str) -> None:
    """Replaces a file, whole or not at all; a full disk or a folder that is read-only is told in one line."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        aside.write_text(text + "\n", encoding="utf-8")
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written: {error.strerror}. The figures are above.") from error


def _judge(options: Evaluate, progress: Progress) -> Judgement:
    progress.stage("load the libraries")
    from storyreel.sampling.device import choose_device

    device = choose_device(options.device)
    from storyreel.data.clip_config import ClipConfig
    from storyreel.evaluation.judge import judge
    from storyreel.evaluation.probe import load_probe
    from storyreel.sampling.model_folder import ModelInfo
    from storyreel.sampling.pipeline import load_pipeline
    from storyreel.sampling.schedulers import solver_of

    progress.stage("load the model")
    folder = options.model or DEMO_MODEL
    pipeline = load_pipeline(folder, device, forward=options.forward)
    probe = load_probe(options.probe or DEMO_PROBE)
    probe.to(pipeline.device)  # pyright: ignore[reportArgumentType] (diffusers wraps `to` without its self)
    info = ModelInfo.read(folder)
    own = info.sampling
    segments = options.seconds // SEGMENT_SECONDS
    progress.stage("judge clips", options.clips)
    counter = Counter(progress)
    return judge(
        pipeline,
        probe,
        ClipConfig(options.clips, segments, STORY_SEGMENTS, info.height, info.width, first_seed=TEST_SEED),
        max_text_tokens=info.max_text_tokens,
        steps=own.steps if options.steps is None else options.steps,
        guidance=own.guidance if options.guidance is None else options.guidance,
        solver=options.solver or own.solver or solver_of(pipeline.scheduler),
        batch=options.batch,
        seed=options.seed,
        workers=options.workers or cores(),
        keep=options.keep,
        sheets=options.sheets,
        on_batch=counter,
    )


def _check_given(options: Evaluate, names: tuple[str, ...], purpose: str) -> None:
    """ConfigError for the first option of `names` that was given."""
    plain = Evaluate()
    for name in names:
        if getattr(options, name) != getattr(plain, name):
            raise ConfigError(f"--{name} is there to {purpose}. Leave out one of the two.")


def _check(options: Evaluate) -> None:
    from storyreel.sampling.guidance import check_guidance
    from storyreel.sampling.request import check_is_model

    lengths = [seconds for seconds in STAGE_SECONDS if seconds <= STORY_SEGMENTS * SEGMENT_SECONDS]
    if options.seconds not in lengths:
        limit = f"clips are cut from stories of {STORY_SEGMENTS} segments"
        way_out = f"Try one of {', '.join(map(str, lengths))}"
        raise ConfigError(refusal("--seconds", options.seconds, limit, way_out))
    for name in ("clips", "batch"):
        if getattr(options, name) < 1:
            raise ConfigError(refusal(f"--{name}", getattr(options, name), "it must be 1 or more", "Try 8"))
    check_workers(options.workers)
    if options.steps is not None and options.steps < 1:
        raise ConfigError(refusal("--steps", options.steps, "it must be 1 or more", "Try 20"))
    if options.guidance is not None:
        check_guidance(options.guidance)
    check_is_model(options.model or DEMO_MODEL)
    _check_places(options)


def _check_places(options: Evaluate) -> None:
    out, probe = options.out, options.probe or DEMO_PROBE
    if not (probe / "config.json").is_file():
        raise WeightsError(f"{probe} holds no probe (no config.json). storyreel train demo-probe makes one.")
    if out is not None and out.is_dir():
        raise OutputError(f"--out {out} is a folder. Give the name of a file in it: {out / 'evaluation.json'}.")
    if out is not None and not out.parent.is_dir():
        raise OutputError(f"--out is {out}, but there is no folder {out.parent}. Make it first.")
    for name, folder in (("--sheets", options.sheets), ("--keep", options.keep)):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise OutputError(f"{name} {folder} is a file, but it must be a folder. Choose another name.")
