"""`storyreel data`: films to a data set, step by step or all of it. Thin wrappers of `storyreel.data`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg, subcommand

from storyreel.cli import at_work, data_examples
from storyreel.cli.annotate import Annotate, run_annotate
from storyreel.cli.captions import Captions, run_captions
from storyreel.cli.data_examples import Assemble, CheckExamples, Device, Embeddings, Export, Import, Latents, Stages
from storyreel.cli.machine import check_workers
from storyreel.cli.upscale import Upscale, upscale
from storyreel.errors import DataError
from storyreel.wording import counted

if TYPE_CHECKING:
    from storyreel.data.check import Report
    from storyreel.data.manifest import Manifest

Workers = Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one a core)")]
Edited = Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: none)")]


@dataclass(frozen=True)
class Build:
    """All steps that follow: films to segments, with a model to examples. Run again, it does what is missing.

    Without captions in OUT/captions it ends after the latents.

    Example: storyreel data build films dataset --size 192x128
    """

    films: Annotated[Positional[Path], arg(metavar="FILMS")]
    """Folder of films, or one film."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder of the data set; each step has a folder in it."""
    size: str = "720x480"
    """Width and height of the segments in pixels."""
    crf: int = 14
    """H.264 quality of the segments: 0 lossless, 18 hardly to be told from the source."""
    detector: Annotated[str, arg(metavar="NAME")] = "adaptive"
    """How shots are found: adaptive, or transnet (a neural network, which takes longer)."""
    edited: Edited = None
    """Folder of edited lists of shots (ID.csv, ID.edl, ID.otio), used instead of looking at those films."""
    upscale_model: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none, Lanczos)")] = None
    """Super-resolution model (.safetensors) for films that are smaller than --size."""
    model: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: none, up to segments)")] = None
    """Model folder to make latents, embeddings and examples for."""
    stages: Stages = data_examples.STAGES
    """Lengths of the examples in seconds."""
    device: Device = "auto"
    """Where to encode: auto, cpu, cuda, cuda:1."""
    dtype: data_examples.DType = "auto"
    """In which to encode: float32, bfloat16, or auto (bfloat16 on a GPU)."""
    workers: Workers = None
    """Processes."""
    ray: at_work.Ray = None
    """Run on this Ray cluster; local: one that begins and ends with the command."""


@dataclass(frozen=True)
class Probe:
    """Step 1: decode every film, note what it is and when each frame is shown, and refuse what cannot be used.

    Example: storyreel data probe films dataset/probe
    """

    films: Annotated[Positional[Path], arg(metavar="FILMS")]
    """Folder of films, or one film."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder of the step."""
    workers: Workers = None
    """Processes."""
    ray: at_work.Ray = None
    """Run on this Ray cluster; local: one that begins and ends with the command."""


@dataclass(frozen=True)
class Scenes:
    """Step 2: find the shots of each film and group them into scenes by setting.

    Example: storyreel data scenes dataset/probe dataset/scenes
    """

    probed: Annotated[Positional[Path], arg(metavar="PROBE")]
    """Folder of step 1."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder of the step."""
    detector: Annotated[str, arg(metavar="NAME")] = "adaptive"
    """How shots are found: adaptive, or transnet (a neural network, which takes longer)."""
    edited: Edited = None
    """Folder of edited lists of shots (ID.csv, ID.edl, ID.otio), used instead of looking at those films."""
    workers: Workers = None
    """Processes."""
    ray: at_work.Ray = None
    """Run on this Ray cluster; local: one that begins and ends with the command."""


@dataclass(frozen=True)
class Segments:
    """Step 3: cut the shots into segments of 3 s at 16 frames a second, look at each again, and draw contact sheets.

    Example: storyreel data segments dataset/scenes dataset/segments --size 720x480
    """

    scenes: Annotated[Positional[Path], arg(metavar="SCENES")]
    """Folder of step 2."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder of the step."""
    upscaled: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: none, Lanczos)")] = None
    """Folder of the step upscale."""
    size: str = "720x480"
    """Width and height of the segments in pixels."""
    crf: int = 14
    """H.264 quality of the segments: 0 lossless, 18 hardly to be told from the source."""
    workers: Workers = None
    """Processes."""
    ray: at_work.Ray = None
    """Run on this Ray cluster; local: one that begins and ends with the command."""


@dataclass(frozen=True)
class Data:
    """Make a data set of films: segments of 3 s with the scenes they are of, and examples to train a model on.

    Every step keeps what is done, lists what it dropped and why, and can be killed and run again.

    Example: storyreel data build films dataset
    """

    step: Annotated[
        Annotated[Build, subcommand("build")]
        | Annotated[Probe, subcommand("probe")]
        | Annotated[Scenes, subcommand("scenes")]
        | Annotated[Upscale, subcommand("upscale")]
        | Annotated[Segments, subcommand("segments")]
        | Annotated[Captions, subcommand("captions")]
        | Annotated[Annotate, subcommand("annotate")]
        | Annotated[Latents, subcommand("latents")]
        | Annotated[Embeddings, subcommand("embeddings")]
        | Annotated[Assemble, subcommand("assemble")]
        | Annotated[CheckExamples, subcommand("check")]
        | Annotated[Import, subcommand("import")]
        | Annotated[Export, subcommand("export")],
        arg(name=""),
    ] = field()


def run(options: Data) -> int:
    """Runs the step with progress on standard error; a line a step on standard output says what was kept.

    The exit status is 1 where `check` finds anything.
    """
    from storyreel.cli.data_inputs import check_inputs
    from storyreel.cli.progress import Counter, open_progress

    if isinstance(options.step, Annotate):
        return run_annotate(options.step)
    check_inputs(options.step)
    if not isinstance(options.step, CheckExamples):
        check_workers(getattr(options.step, "workers", None))
        _check_output(options.step.out)
    with open_progress() as progress:
        progress.stage("load the libraries")

        def on_step(name: str) -> Callable[[int, int], None]:
            counter: Counter | None = None

            def on_item(done: int, items: int) -> None:
                nonlocal counter
                if counter is None:
                    progress.stage(name, items)
                    counter = Counter(progress)
                counter(done)

            return on_item

        if isinstance(options.step, CheckExamples):
            report, manifests = data_examples.check(options.step, on_step), {}
        elif isinstance(options.step, Build):
            manifests, report = _build(options.step, on_step, progress.note)
        elif type(options.step) in _NOTED_RUNS:
            report, manifests = None, _NOTED_RUNS[type(options.step)](options.step, on_step, progress.note)
        else:
            report, manifests = None, _RUNS[type(options.step)](options.step, on_step)
    for name, manifest in manifests.items():
        print(_line(name, manifest))
    if isinstance(options.step, Build | Segments):
        folder = options.step.out / "segments" if isinstance(options.step, Build) else options.step.out
        print(f"{folder / 'sheets'}: a page for each film, to look at in a browser")
    if manifests and not isinstance(options.step, CheckExamples):
        print(f"{options.step.out}: what was dropped, and why, is in dropped.jsonl of each step")
    if isinstance(options.step, Build) and options.step.model and report is None:
        captions = options.step.out / "captions"
        print(
            f"{captions} is missing: embeddings and examples need it. storyreel data captions, annotate or import "
            "write it; the same line then goes on."
        )
    return 0 if report is None else data_examples.print_report(report, getattr(options.step, "json", False))


def _check_output(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file, but the result is a folder. Give another name.")


def _line(name: str, manifest: Manifest) -> str:
    counts = (
        f"{_units(own.kept, own.unit)} of {own.seen}" if own.dropped else _units(own.kept, own.unit)
        for own in manifest.accounts
    )
    return f"{name}: {', '.join(counts)}"


def _units(number: int, unit: str) -> str:
    """ "2 films", "2 segments at 9 s"."""
    noun, *more = unit.split(" ", 1)
    return " ".join([counted(number, noun), *more])


def _build(
    options: Build, on_step: Callable[[str], Any], note: Callable[[str], None]
) -> tuple[dict[str, Manifest], Report | None]:
    from storyreel.data import build
    from storyreel.data.scenes import ScenesConfig

    config = build.BuildConfig(
        scenes=ScenesConfig(detector=options.detector),
        upscale=_upscale_config(options),
        segments=_segments_config(options),
    )
    enlarging = None
    if options.upscale_model:
        enlarging = build.Enlarging(options.upscale_model, **at_work.at_work(options))
    manifests = build.run(
        options.films,
        options.out,
        config,
        edited=options.edited,
        enlarging=enlarging,
        on_step=on_step,
        on_estimate=lambda own: note(str(own)),
        **at_work.processes(options),
    )
    if options.model is None:
        return manifests, None
    from storyreel.data import build_examples

    made, report = build_examples.run(
        options.out,
        _examples_config(options),
        model=data_examples.model_folder(options.model),
        on_step=on_step,
        on_estimate=lambda own: note(str(own)),
        **at_work.at_work(options),
    )
    return manifests | made, report


def _examples_config(options: Build) -> Any:
    from storyreel.data.build_examples import BuildExamplesConfig
    from storyreel.data.examples import ExamplesConfig

    return BuildExamplesConfig(dtype=at_work.dtype_of(options), examples=ExamplesConfig(stages=options.stages))


def _probe(options: Probe, on_step: Callable[[str], Any]) -> dict[str, Manifest]:
    from storyreel.data import probe

    config = probe.ProbeConfig()
    made = probe.run(options.films, options.out, config, on_item=on_step("probe"), **at_work.processes(options))
    return {"probe": made}


def _scenes(options: Scenes, on_step: Callable[[str], Any]) -> dict[str, Manifest]:
    from storyreel.data import scenes

    config = scenes.ScenesConfig(detector=options.detector)
    made = scenes.run(
        options.probed,
        options.out,
        config,
        edited=options.edited,
        on_item=on_step("scenes"),
        **at_work.processes(options),
    )
    return {"scenes": made}


def _segments(options: Segments, on_step: Callable[[str], Any]) -> dict[str, Manifest]:
    from storyreel.data import segments

    made = segments.run(
        options.scenes,
        options.out,
        _segments_config(options),
        upscaled=options.upscaled,
        on_item=on_step("segments"),
        **at_work.processes(options),
    )
    return {"segments": made}


def _upscale_config(options: Build) -> Any:
    if options.upscale_model is None:
        return None
    from storyreel.cli.toons import parse_size
    from storyreel.data.upscale import UpscaleConfig

    width, height = parse_size(options.size)
    return UpscaleConfig(width, height, dtype=at_work.dtype_of(options))


def _segments_config(options: Build | Segments) -> Any:
    from storyreel.cli.toons import parse_size
    from storyreel.data.segments import SegmentsConfig

    width, height = parse_size(options.size)
    return SegmentsConfig(width=width, height=height, crf=options.crf)


_RUNS: dict[type, Callable[[Any, Callable[[str], Any]], dict[str, Manifest]]] = {
    Probe: _probe,
    Scenes: _scenes,
    Segments: _segments,
    Captions: run_captions,
}

_NOTED_RUNS: dict[type, Callable[[Any, Callable[[str], Any], Callable[[str], None]], dict[str, Manifest]]] = {
    Upscale: upscale,
    Latents: data_examples.latents,
    Embeddings: data_examples.embeddings,
    Assemble: data_examples.assemble,
    Import: data_examples.bring_in,
    Export: data_examples.export,
}
