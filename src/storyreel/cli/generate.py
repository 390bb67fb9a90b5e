"""`storyreel generate`: a storyboard in, a video out. A thin wrapper of `storyreel.sampling.run`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from storyreel.cli.machine import available_memory_bytes
from storyreel.cli.progress import duration, open_progress
from storyreel.errors import ConfigError, refusal
from storyreel.geometry import STAGE_SECONDS
from storyreel.models.forward_names import Forward

GIB = 2**30
CLEARLY_LESS = 0.8
"""Less memory than this share of the estimate is refused: the estimate is a rough one, and some can be swapped out."""


@dataclass(frozen=True)
class Generate:
    """Make the video of a storyboard, a paragraph for every three seconds.

    Writes an H.264 MP4, and beside it a contact sheet (.sheet.png) and a record (.run.json) with the storyboard, the
    seed, times, peak memory and the exact line that makes the same video again. While it runs, .preview.png shows what
    is coming. The negative texts of a storyboard's segments ("negative_text") say what must not be seen.

    Where memory is clearly too small for the video, nothing is begun. What a run that was killed left half-made, the
    next one removes.

    Example: storyreel generate examples/apple_pie_9s.json --seed 3
    """

    storyboard: Annotated[Positional[Path], arg(metavar="STORYBOARD")]
    """JSON file: {"segments": [{"text": ..., "scene_start": true}, ...]}, or a list of stories as the paper's authors
    have it; or a plot, a .txt of plain sentences, whose storyboard is written by rules and kept beside the video."""
    out: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the storyboard's name, here)")] = None
    """MP4 file to write."""
    model: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: the bundled demo model)")] = None
    """Folder of the model. Nothing is downloaded: fetch one with hf download ID --local-dir DIR."""
    seconds: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all of it)")] = None
    """Make only the beginning of the storyboard: one of 3, 9, 18, 30 and 63 seconds. Of a plot: all of it, so long."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the model's own)")] = None
    """Denoising steps; fewer are faster and coarser."""
    guidance: Annotated[float | None, arg(metavar="G", help_behavior_hint="(default: the model's own)")] = None
    """How strongly the text is followed; rises from 1 to this. 1 is off and twice as fast."""
    solver: Annotated[
        Literal["ddim", "dpm", "dpm-ode"] | None,
        arg(metavar="{ddim,dpm,dpm-ode}", help_behavior_hint="(default: the model's own)"),
    ] = None
    """ddim as in the paper; dpm-ode for few steps."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seed of the noise; it means the same on every device."""
    device: Annotated[str, arg(metavar="D")] = "auto"
    """auto (the first GPU, else the CPU), cpu, cuda, cuda:1 or mps."""
    story: Annotated[int, arg(metavar="N")] = 0
    """Which story of a file that holds several, from 0."""
    keep_partial: bool = False
    """After Ctrl-C, keep the frames written so far, as VIDEO.partial.mp4 beside where VIDEO.mp4 would be."""
    forward: Forward = "auto"
    """Of the transformer's blocks: fused has kernels in Triton, for CUDA GPUs; mixed multiplies in bfloat16 on a CPU
    that can; auto is mixed there, else plain; all say the same but for rounding."""
    in_turn: bool = False
    """With guidance, compute the two branches one after the other instead of together: less memory, more time."""
    force: bool = False
    """Begin also where memory seems too small."""


def run(options: Generate) -> None:
    """Makes the video, with progress on standard error; the last lines, on standard output, name what was made."""
    from storyreel.sampling.request import Request

    request = Request(
        source=options.storyboard,
        model=options.model,
        out=options.out or Path(options.storyboard.stem + ".mp4"),
        seconds=options.seconds,
        steps=options.steps,
        guidance=options.guidance,
        solver=options.solver,
        seed=options.seed,
        device=options.device,
        story=options.story,
        keep_partial=options.keep_partial,
        forward=options.forward,
        in_turn=options.in_turn,
    )
    # Mistakes are told before the large libraries load, which takes seconds.
    seconds = request.check().seconds
    free = available_memory_bytes()
    with open_progress() as progress:
        if note := request.clear_leftovers():
            progress.note(note)
        progress.stage("load the libraries")
        from storyreel.sampling.allocator import keep_freed_memory
        from storyreel.sampling.device import choose_device, multiplies_bfloat16

        device = choose_device(request.device)
        if device.type == "cpu":
            keep_freed_memory()
        if device.type == "cpu" and not options.force:
            check_memory(request.folder, seconds, free, 2 if multiplies_bfloat16() else 4)
        from storyreel.sampling.run import carry_out

        made = carry_out(request, progress)
    memory = " and ".join(f"{mib} MiB of {kind}" for kind, mib in made.peak_memory_mib.items())
    took = duration(sum(made.took_seconds.values()))
    print(f"{made.video}: {made.seconds} s of video in {took}, with {memory} at most")
    print(f"contact sheet: {made.sheet}")
    print(f"record: {made.record}")
    print(f"the same again: {made.command}")


def check_memory(folder: Path, seconds: int, free_bytes: int | None, decoded_bytes: int) -> None:
    """ConfigError where the free memory is clearly less than a video takes; None, unknown, is enough.

    seconds: of the video. decoded_bytes: of a value of the VAE. Says how long a video would fit.
    """
    from storyreel.sampling.memory import estimated_peak_bytes

    def fits(length: int) -> bool:
        needed = estimated_peak_bytes(folder, length, decoded_bytes)
        return free_bytes is None or needed is None or free_bytes >= CLEARLY_LESS * needed

    needed = estimated_peak_bytes(folder, seconds, decoded_bytes)
    if free_bytes is None or needed is None or fits(seconds):
        return
    shorter = [length for length in STAGE_SECONDS if length < seconds and fits(length)]
    less = f"try --seconds {shorter[-1]}, " if shorter else ""
    limit = f"{seconds} s of video need about {needed / GIB:.1f}"
    way_out = f"Close other programs, {less}or begin anyway with --force"
    raise ConfigError(refusal("free memory", f"{free_bytes / GIB:.1f} GiB", limit, way_out))
