"""One run: a storyboard file in; a video, its contact sheet and its record out. `storyreel generate` is a thin wrapper.

Beside VIDEO.mp4 stand VIDEO.sheet.png and VIDEO.run.json; while it runs, VIDEO.preview.png shows what each step
predicts. Whatever interrupts the run, none of them is left behind half-made; what a killed run leaves, the next one
removes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import storyreel
from storyreel.errors import Stopped
from storyreel.geometry import FRAMES_PER_SECOND, PixelShape, TokenLayout
from storyreel.models.forward import resolve_forward
from storyreel.models.forward_names import Forward
from storyreel.sampling.contact_sheet import latent_thumbnails, middle_frames, save_contact_sheet
from storyreel.sampling.device import choose_device
from storyreel.sampling.guidance import guidance_scales
from storyreel.sampling.leftovers import marked
from storyreel.sampling.model_folder import PARTS, ModelInfo, check_folder
from storyreel.sampling.pipeline import StepReport, StoryreelPipeline, load_pipeline
from storyreel.sampling.progress import Progress, Silent
from storyreel.sampling.record import command_line, peak_memory_mib, versions, write_record
from storyreel.sampling.request import Request
from storyreel.sampling.schedulers import Solver, SolverName, solver_of
from storyreel.sampling.video import VideoWriter
from storyreel.storyboard.lint import lint_storyboard
from storyreel.storyboard.schema import Storyboard


@dataclass(frozen=True)
class RunResult:
    """What a run made. `took_seconds` by stage; `peak_memory_mib` by "memory" and, on a GPU, "gpu"."""

    video: Path
    sheet: Path
    record: Path
    seconds: int
    command: str
    warnings: tuple[str, ...]
    took_seconds: dict[str, float]
    peak_memory_mib: dict[str, int]


@dataclass(frozen=True)
class Settings:
    """What decides the pixels, nothing left open. `guidance` is the maximum; dtypes are transformer's and VAE's.

    `forward` is that of the transformer's blocks, and "auto" is resolved; it changes no more than their rounding.
    """

    steps: int
    guidance: float
    solver: SolverName
    seed: int
    device: str
    dtype: str
    vae_dtype: str
    forward: Forward


@dataclass
class Diary:
    """What is told while a run goes on, and kept for its record."""

    progress: Progress
    warnings: list[str] = field(default_factory=list)
    took_seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[None]:
        """Announce a stage, and note how long it took."""
        self.progress.stage(name, total)
        start = time.monotonic()
        yield
        self.took_seconds[name] = round(time.monotonic() - start, 2)

    def warn(self, text: str) -> None:
        """Something that the user should know, and that does not stop the run."""
        self.warnings.append(text)
        self.progress.note(f"warning: {text}")


@dataclass(frozen=True)
class Job:
    """A request that has been checked, with everything loaded. `told` is the user's storyboard, `read` the model's."""

    request: Request
    info: ModelInfo
    pipeline: StoryreelPipeline
    settings: Settings
    layout: TokenLayout
    told: Storyboard
    read: Storyboard


def generate(
    storyboard: str | Path,
    model: str | Path | None = None,
    out: str | Path | None = None,
    *,
    seconds: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
    solver: SolverName | None = None,
    story: int = 0,
    keep_partial: bool = False,
    forward: Forward = "auto",
    in_turn: bool = False,
) -> RunResult:
    """Make the video of a storyboard file, or of a plot (.txt), whose storyboard is written by rules.

    model: a model folder (None: the bundled demo). out: an MP4 file (None: the storyboard's name, here). seconds: how
    much of the storyboard from its start, a stage length (None: all of it). steps, guidance, solver: None for what the
    model's storyreel.json says. device: "auto", "cpu", "cuda", ... story: which one of a file of many, from 0.
    keep_partial: stopped while frames are written, the frames so far stay as VIDEO.partial.mp4. forward: of the
    transformer's blocks (models/forward.py). in_turn: branches of the guidance one after the other, for less memory.
    A user's mistake is a StoryreelError of one line; nothing half-written stays then, nor after Ctrl-C, which is a
    Stopped where frames were or could have been kept. What a killed run to `out` left is removed, with a note.
    """
    source = Path(storyboard)
    request = Request(
        source=source,
        model=None if model is None else Path(model),
        out=Path(source.stem + ".mp4") if out is None else Path(out),
        seconds=seconds,
        steps=steps,
        guidance=guidance,
        solver=solver,
        seed=seed,
        device=device,
        story=story,
        keep_partial=keep_partial,
        forward=forward,
        in_turn=in_turn,
    )
    return carry_out(request, progress)


def carry_out(request: Request, progress: Progress | None = None) -> RunResult:
    """`generate` for a request that is put together already."""
    diary = Diary(progress or Silent())
    with diary.stage("read the storyboard"):
        told = request.check()
        for note in request.keep_storyboard():
            diary.progress.note(note)
        if note := request.clear_leftovers():
            diary.progress.note(note)
    with marked(request.out):
        job = _prepare(request, told, diary)
        try:
            thumbnails = _make_video(job, diary)
        finally:
            request.beside(".preview.png").unlink(missing_ok=True)
    save_contact_sheet(request.beside(".sheet.png"), thumbnails, job.info.width / job.info.height)
    return _record(job, diary)


def _prepare(request: Request, told: Storyboard, diary: Diary) -> Job:
    """Every other check, from the quickest to the slowest, and the loading."""
    with diary.stage("load the model", len(PARTS)):
        check_folder(request.folder)
        info = ModelInfo.read(request.folder)
        device = choose_device(request.device)
        pipeline = load_pipeline(
            request.folder, device, forward=request.forward, on_part=lambda part: diary.progress.advance()
        )
        settings = _settings(request, info, pipeline, device)
    layout = pipeline.layout_for(told, info.height, info.width, info.max_text_tokens)
    linted = lint_storyboard(told, pipeline.tokenizer, layout.text_tokens)
    for note in linted.notes:
        diary.warn(str(note))
    if info.stages and told.seconds > max(info.stages):
        diary.warn(f"{told.seconds} s is longer than anything that this model was trained on ({max(info.stages)} s).")
    return Job(request, info, pipeline, settings, layout, told, linted.storyboard)


def _settings(request: Request, info: ModelInfo, pipeline: StoryreelPipeline, device: torch.device) -> Settings:
    default = info.sampling
    settings = Settings(
        steps=default.steps if request.steps is None else request.steps,
        guidance=default.guidance if request.guidance is None else request.guidance,
        solver=request.solver or default.solver or solver_of(pipeline.scheduler),
        seed=request.seed,
        device=str(device),
        dtype=str(pipeline.transformer.dtype).removeprefix("torch."),
        vae_dtype=str(pipeline.vae.dtype).removeprefix("torch."),
        forward=resolve_forward(request.forward, pipeline.transformer),
    )
    Solver(pipeline.scheduler, settings.solver, settings.steps)
    guidance_scales(settings.steps, settings.guidance)
    return settings


def _make_video(job: Job, diary: Diary) -> list[np.ndarray]:
    """Denoise, decode and write; the middle frame of each segment, uint8 `[height, width, 3]`."""
    info, request = job.info, job.request
    comment = f"storyreel {storyreel.__version__}, seed {request.seed}"
    partial = request.keep_partial
    writer = VideoWriter(request.out, info.height, info.width, comment=comment, keep_partial=partial)
    try:
        with writer:
            latents = _denoise(job, diary)
            return _write_frames(job, latents, writer, diary)
    except KeyboardInterrupt:
        raise Stopped(_what_is_kept(writer, job.told.seconds)) from None


def _what_is_kept(writer: VideoWriter, seconds: int) -> str:
    """What an interrupted video of so many seconds leaves, in one line."""
    made = f"{writer.frames / FRAMES_PER_SECOND:.1f} of {seconds} s"
    if not writer.frames:
        way_out = "" if writer.keep_partial else "; from then on --keep-partial keeps those that are"
        kept = f"Nothing is kept, for no frame was written yet{way_out}."
    elif writer.keep_partial:
        kept = f"{writer.partial_path} is kept: the first {made}."
    else:
        kept = f"Nothing is kept; --keep-partial would have kept the first {made}."
    return f"{kept} The same line begins again."


def _denoise(job: Job, diary: Diary) -> Tensor:
    preview = job.request.beside(".preview.png")

    def after_step(report: StepReport) -> None:
        if job.info.latent_rgb is not None:
            thumbnails = latent_thumbnails(report.clean, job.layout, job.info.latent_rgb)
            save_contact_sheet(preview, thumbnails, job.info.width / job.info.height)
            if report.index == 0:
                diary.progress.note(f"a first look, refreshed with each step: {preview}")
        diary.progress.advance()

    with diary.stage("denoise", job.settings.steps):
        output = job.pipeline(
            job.read,
            height=job.info.height,
            width=job.info.width,
            max_text_tokens=job.info.max_text_tokens,
            num_inference_steps=job.settings.steps,
            guidance_scale=job.settings.guidance,
            solver=job.settings.solver,
            seed=job.settings.seed,
            in_turn=job.request.in_turn,
            callback_on_step=after_step,
            output_type="latent",
        )
    return output.latents


def _write_frames(job: Job, latents: Tensor, writer: VideoWriter, diary: Diary) -> list[np.ndarray]:
    wanted = set(middle_frames(job.layout))
    thumbnails: list[np.ndarray] = []
    with diary.stage("decode and write frames", _shape(job).frames):
        for chunk in job.pipeline.decode(latents):
            thumbnails += [frame.copy() for number, frame in enumerate(chunk, writer.frames) if number in wanted]
            writer.write(chunk)
            diary.progress.advance(len(chunk))
    return thumbnails


def _shape(job: Job) -> PixelShape:
    return PixelShape.for_video(job.told.seconds, job.info.height, job.info.width)


def _record(job: Job, diary: Diary) -> RunResult:
    """Write the record, and say what the run made."""
    request, settings = job.request, job.settings
    memory = peak_memory_mib(job.pipeline.device)
    command = _command(request, settings)
    record = {
        "command": command,
        "video": {"file": request.out.name, **asdict(_shape(job)), "fps": FRAMES_PER_SECOND},
        "settings": asdict(settings),
        "model": {"folder": str(request.folder), **job.info.model_dump(include={"recipe", "version", "stages"})},
        "storyboard": job.told.model_dump(),
        "texts_as_read": job.read.marked_texts(),
        "warnings": diary.warnings,
        "took_seconds": diary.took_seconds,
        "peak_memory_mib": memory,
        "versions": versions(),
    }
    path = request.beside(".run.json")
    write_record(path, record)
    sheet, warnings = request.beside(".sheet.png"), tuple(diary.warnings)
    return RunResult(request.out, sheet, path, job.told.seconds, command, warnings, diary.took_seconds, memory)


def _command(request: Request, settings: Settings) -> str:
    """The line that makes the same video again, with every default spelled out that a later version could change."""
    options = {
        "out": request.out,
        "model": request.model,
        "story": request.story or None,
        "seconds": request.seconds,
        "steps": settings.steps,
        "guidance": settings.guidance,
        "solver": settings.solver,
        "seed": settings.seed,
        "device": settings.device,
        "forward": settings.forward,
        "in-turn": request.in_turn,
    }
    return command_line(request.source, options)
