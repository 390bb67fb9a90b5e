"""`storyreel bench video`: a whole video by a model of random weights. A thin wrapper of `training.video_timing`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from storyreel.cli.bench import SMALLEST, machine_facts
from storyreel.cli.machine import available_memory_bytes
from storyreel.cli.progress import duration, open_progress
from storyreel.data.files import write_whole
from storyreel.errors import ConfigError, refusal
from storyreel.geometry import STAGE_SECONDS, TokenLayout
from storyreel.models.forward_names import Forward

if TYPE_CHECKING:
    import torch

    from storyreel.training.video_profile import PartProfile
    from storyreel.training.video_timing import Estimate, Video, VideoBench, VideoTime

Say = Callable[[str], None]
GB = 10**9
SPARE = 0.97
"""Of the memory that is free; the rest is for what nobody counts."""


@dataclass(frozen=True)
class BenchVideo:
    """Time and memory of a whole video: a denoising step with guidance, decoding, and what 50 exact steps would take.

    Weights are random and made on the device, as many as the paper's model has (7.2 B) unless told otherwise. What it
    will take is said first, and refused where memory will not do. The first step compiles and is told apart; the time
    of a step is the median of --steps more. --profile adds one step under a profiler, and writes where each millisecond
    goes: kernels by part of the model, beside the least that an H100's arithmetic or memory would take. The last line
    is one JSON object.

    Example: storyreel bench video --seconds 3 --blocks 2 --out video.json
    """

    seconds: Annotated[int, arg(metavar="N")] = 63
    """Length of the video."""
    size: Annotated[str, arg(metavar="WxH")] = "720x480"
    """Width and height of the video in pixels."""
    blocks: Annotated[int, arg(metavar="N")] = 42
    """Blocks of the transformer."""
    steps: Annotated[int, arg(metavar="N")] = 2
    """Steps that are timed, after the first."""
    mixer: Annotated[str, arg(metavar="NAME")] = "ttt_mlp"
    """local, full, sliding_window, mamba2, gated_deltanet, ttt_linear or ttt_mlp."""
    forward: Forward = "auto"
    """Of the blocks: fused has kernels in Triton, for CUDA GPUs; auto is plain, or mixed on a CPU with bfloat16."""
    in_turn: bool = False
    """Compute the two branches of the guidance one after the other instead of together: less memory."""
    width: Annotated[int, arg(metavar="N")] = 3072
    """Width of the transformer."""
    heads: Annotated[int, arg(metavar="N")] = 48
    """Heads of the transformer."""
    vae_channels: Annotated[int, arg(metavar="N")] = 128
    """Channels of the decoder's widest stage, CogVideoX's has 128; 0 leaves decoding out."""
    profile: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """A new JSON file for where each millisecond of a step goes."""
    device: Annotated[str, arg(metavar="D")] = "auto"
    """auto (the first GPU, else the CPU), cpu, cuda or cuda:1."""
    out: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: no file)")] = None
    """A new file for the JSON object."""
    force: bool = False
    """Begin also where memory seems too small."""
    json: bool = False
    """Print the JSON object alone."""


def run(options: BenchVideo) -> None:
    """The estimate, times as they are measured, and one JSON object on standard output."""
    width, height = _check(options)
    say: Say = (lambda _: None) if options.json else (lambda line: print(line, flush=True))
    free = available_memory_bytes()
    with open_progress() as progress:
        progress.stage("load the libraries")
        from storyreel.sampling.device import choose_device

        device = choose_device(options.device)
        from storyreel.training.video_timing import Video, VideoBench, estimate, operations_a_second

        video = Video(
            **{name: getattr(options, name) for name in ("seconds", "blocks", "heads", "mixer", "forward", "in_turn")},
            height=height,
            width=width,
            features=options.width,
            vae_channels=options.vae_channels,
        )
        wanted = estimate(video, device)
        rate = operations_a_second(device)
        for line in _before(video, wanted, rate):
            say(line)
        if not options.force:
            _check_memory(video, wanted, device, free)
        progress.stage("draw the weights")
        bench = VideoBench(video, device)
        measured = _measure(bench, options, progress, say)
        profiled = _profile(bench, options, progress) if options.profile else []
    for line in _after(video, measured, profiled):
        say(line)
    facts = _facts(video, wanted, rate, measured, device)
    if options.profile:
        write_whole(
            options.profile, json.dumps(facts | {"parts": [row.to_dict() for row in profiled]}, indent=1) + "\n"
        )
    if options.out:
        write_whole(options.out, json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts))


def _check(options: BenchVideo) -> tuple[int, int]:
    """Width and height in pixels."""
    for name in ("blocks", "steps", "width", "heads"):
        if getattr(options, name) < 1:
            raise ConfigError(refusal(f"--{name}", getattr(options, name), SMALLEST, "Leave it out for the usual"))
    channels = options.vae_channels
    if channels and (channels < 8 or channels & (channels - 1)):
        limit = "it must be a power of 2, 8 or more, or 0 for no decoding"
        raise ConfigError(refusal("--vae-channels", channels, limit, "CogVideoX has 128"))
    for name in ("out", "profile"):
        if (path := getattr(options, name)) and path.exists():
            raise ConfigError(refusal(f"--{name}", path, "that file is there already", "Choose another name"))
    width, _, height = options.size.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise ConfigError(refusal("--size", repr(options.size), "it must be WIDTHxHEIGHT in pixels", "Try 720x480"))
    TokenLayout.for_video(options.seconds, int(height), int(width))
    return int(width), int(height)


def _before(video: Video, wanted: Estimate, rate: float) -> Iterator[str]:
    from storyreel.training.video_timing import EXACT_STEPS

    layout = video.layout()
    yield (
        f"{video.seconds} s, {video.width}x{video.height}, {layout.total_tokens:,} tokens, {video.mixer}, "
        f"{video.blocks} blocks, {wanted.parameters / 1e9:.2f} B parameters"
    )
    together = "one branch after the other" if video.in_turn else "both branches together"
    yield (
        f"memory: about {wanted.memory.peak_bytes / GB:.2f} GB for a step ({together}), most of it alive in "
        f"{wanted.memory.peak_stage!r}; about {wanted.decode_bytes / GB:.2f} GB to decode"
    )
    least = wanted.operations / rate
    yield (
        f"time: {wanted.operations / 1e12:,.3f} TFLOP a step, at least {duration(least)} at the {rate / 1e12:,.2f} "
        f"TFLOP/s that a matrix product shows here; {EXACT_STEPS} steps {duration(EXACT_STEPS * least)}"
    )


def _check_memory(video: Video, wanted: Estimate, device: torch.device, free_on_host: int | None) -> None:
    """ConfigError where the free memory will not do, with what would."""
    import torch

    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_on_host
    if free is None or wanted.peak_bytes <= SPARE * free:
        return
    from storyreel.training.video_timing import estimate

    def fits(**changes: Any) -> bool:
        return estimate(dataclasses.replace(video, **changes), device).peak_bytes <= SPARE * free

    shorter = [seconds for seconds in STAGE_SECONDS if seconds < video.seconds and fits(seconds=seconds)]
    if not video.in_turn and fits(in_turn=True):
        less = "--in-turn"
    elif shorter:
        less = f"--seconds {shorter[-1]}"
    else:
        less = "fewer --blocks or a smaller --size"
    limit = f"this needs about {wanted.peak_bytes / GB:.1f}"
    way_out = f"Try {less}, or begin anyway with --force"
    raise ConfigError(refusal("free memory", f"{free / GB:.1f} GB", limit, way_out))


def _measure(bench: VideoBench, options: BenchVideo, progress: Any, say: Say) -> VideoTime:
    from storyreel.geometry import PixelShape
    from storyreel.training.video_timing import VideoTime

    times = []
    for number in range(options.steps + 1):
        progress.stage(f"step {number} of {options.steps}" if number else "first step, which compiles", bench.passes)
        with bench.counted(progress.advance):
            times.append(bench.seconds())
        say(f"{'first step' if not number else f'step {number}'}: {times[-1]:.3f} s")
    typical = sorted(times[1:])[len(times[1:]) // 2]
    measured = VideoTime(bench.forward, times[0], typical, bench.peak_mib())
    if bench.vae is None:
        return measured
    video = bench.video
    progress.stage("decode", PixelShape.for_video(video.seconds, video.height, video.width).frames)
    seconds = bench.decode(progress.advance)
    say(f"decoding: {seconds:.3f} s")
    return dataclasses.replace(measured, decode_seconds=seconds, decode_peak_mib=bench.peak_mib())


def _profile(bench: VideoBench, options: BenchVideo, progress: Any) -> list[PartProfile]:
    from storyreel.training.video_profile import profile_step

    progress.stage("a step under the profiler", bench.passes)
    with bench.counted(progress.advance):
        return profile_step(bench.step, bench.transformer, bench.layout, bench.device)


def _after(video: Video, measured: VideoTime, profiled: list[PartProfile]) -> Iterator[str]:
    from storyreel.training.video_timing import AUTHORS_MINUTES, EXACT_STEPS

    if profiled:
        yield f"{'part (all blocks, both branches)':40}{'ms':>12}{'floor ms':>12}"
        for row in profiled:
            floor = "-" if row.floor_ms is None else f"{row.floor_ms:,.2f}"
            yield f"{row.part:40}{row.milliseconds:12,.2f}{floor:>12}"
    minutes = EXACT_STEPS * measured.step_seconds / 60
    beside = f" (the authors' kernels on an H100: {AUTHORS_MINUTES:.0f} min)" if video.is_the_papers() else ""
    yield f"a step, median: {measured.step_seconds:.3f} s; {EXACT_STEPS} steps: {minutes:.2f} min{beside}"
    for name, peak in (("a step", measured.step_peak_mib), ("decoding", measured.decode_peak_mib)):
        if peak is not None:
            yield f"most memory, {name}: {peak * 2**20 / GB:.2f} GB"


def _facts(video: Video, wanted: Estimate, rate: float, measured: VideoTime, device: torch.device) -> dict[str, Any]:
    from storyreel.training.video_timing import AUTHORS_MINUTES, EXACT_STEPS

    memory = wanted.memory
    return {
        **machine_facts(device),
        "video": dataclasses.asdict(video) | {"tokens": video.layout().total_tokens},
        "parameters": wanted.parameters,
        "estimated": {
            "peak_bytes": memory.peak_bytes,
            "peak_stage": memory.peak_stage,
            "alive": {held.name: held.bytes for held in (*memory.always, *memory.stages[memory.peak_stage])},
            "decode_bytes": wanted.decode_bytes,
            "operations_a_step": wanted.operations,
            "operations_a_second": rate,
        },
        "measured": dataclasses.asdict(measured),
        "exact_steps": EXACT_STEPS,
        "exact_minutes": round(EXACT_STEPS * measured.step_seconds / 60, 3),
        "authors_minutes": round(AUTHORS_MINUTES, 1) if video.is_the_papers() else None,
    }
