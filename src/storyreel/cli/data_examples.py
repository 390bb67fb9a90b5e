"""`storyreel data latents`, `embeddings`, `assemble` and `check`: segments and captions to examples for a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from storyreel.cli import at_work

if TYPE_CHECKING:
    from storyreel.data.check import Report
    from storyreel.data.manifest import Manifest

Workers = Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one a core, on a GPU 1)")]
Device = Annotated[str, arg(metavar="D")]
DType = Annotated[str, arg(metavar="T")]
Model = Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: the demo model)")]
Stages = Annotated[tuple[int, ...], arg(metavar="SECONDS")]
STAGES = (3, 9, 18, 30, 63)


@dataclass(frozen=True)
class Latents:
    """Step 5: encode the segments with a model's autoencoder, once for all examples: mean and log-variance.

    Example: storyreel data latents dataset/segments dataset/latents --model cogvideox
    """

    segments: Annotated[Positional[Path], arg(metavar="SEGMENTS")]
    """Folder of the step segments."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder of the step."""
    model: Model = None
    """Model folder."""
    device: Device = "auto"
    """Where to encode: auto, cpu, cuda, cuda:1."""
    dtype: DType = "auto"
    """In which to compute: float32, bfloat16, or auto (bfloat16 on a GPU)."""
    workers: Workers = None
    """Processes."""
    ray: at_work.Ray = None
    """Run on this Ray cluster; local: one that begins and ends with the command."""


@dataclass(frozen=True)
class Embeddings:
    """Step 6: encode each caption with its scene marks by a model's text encoder, every distinct text once.

    Example: storyreel data embeddings dataset/captions dataset/embeddings --model cogvideox
    """

    captions: Annotated[Positional[Path], arg(metavar="CAPTIONS")]
    """Folder of the step captions."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder of the step."""
    model: Model = None
    """Model folder."""
    stages: Stages = STAGES
    """Lengths of the examples to come, in seconds."""
    mask: Annotated[str, arg(metavar="MASK")] = "padding"
    """What the encoder does not see: padding, as for models of this project, or none, as the paper's authors do it."""
    device: Device = "auto"
    """Where to encode: auto, cpu, cuda, cuda:1."""
    dtype: DType = "auto"
    """In which to compute: float32, bfloat16, or auto (bfloat16 on a GPU)."""
    workers: Workers = None
    """Processes."""
    ray: at_work.Ray = None
    """Run on this Ray cluster; local: one that begins and ends with the command."""


@dataclass(frozen=True)
class Assemble:
    """Step 7: join segments that follow each other into examples of each stage, with latents and texts, in tar shards.

    Example: storyreel data assemble dataset/latents dataset/assembled --captions dataset/captions
    """

    latents: Annotated[Positional[Path], arg(metavar="LATENTS")]
    """Folder of the step latents."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder of the step."""
    captions: Annotated[Path, arg(metavar="DIR")]
    """Folder of the step captions."""
    embeddings: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: none, texts alone)")] = None
    """Folder of the step embeddings."""
    model: Model = None
    """Model folder; its sizes say how long a text may be."""
    stages: Stages = STAGES
    """Lengths of the examples in seconds."""
    validation: float = 0.05
    """Share of the films that are for validation."""
    seed: int = 0
    """Chooses those films."""
    shard_mib: int = 1024
    """A shard's size from which the next one begins."""
    workers: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one a core)")] = None
    """Processes."""
    ray: at_work.Ray = None
    """Run on this Ray cluster; local: one that begins and ends with the command."""


@dataclass(frozen=True)
class CheckExamples:
    """Step 8: prove every example against a model's layout, say what a trainer would leave out, and print statistics.

    The exit status is 1 where anything is wrong.

    Example: storyreel data check dataset/assembled --model cogvideox
    """

    assembled: Annotated[Positional[Path], arg(metavar="ASSEMBLED")]
    """Folder of the step assemble."""
    model: Model = None
    """Model folder."""
    batch: int = 1
    """Examples in a batch of the trainer, on all GPUs together."""
    json: bool = False
    """Print JSON instead of lines."""


@dataclass(frozen=True)
class Export:
    """Write each captioned segment as a clip of 3 s, with the texts as another program wants them.

    Example: storyreel data export dataset/captions for_musubi --format musubi
    """

    captions: Annotated[Positional[Path], arg(metavar="CAPTIONS")]
    """Folder of the step captions."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder of the other program's data set."""
    format: Annotated[str, arg(metavar="NAME")]
    """finetrainers, pairs, musubi, ltx, fastvideo, open-sora, hugging-face or ttt-video."""


@dataclass(frozen=True)
class Import:
    """Take over the texts of another program's data set, or those beside the films, as captions of the segments.

    Texts that are known by segment id come in by "storyreel data captions --from".

    Example: storyreel data import their_set dataset/segments dataset/captions --format ltx
    """

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """The other program's data set; its videos are what storyreel data build was given."""
    segments: Annotated[Positional[Path], arg(metavar="SEGMENTS")]
    """Folder of the step segments."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder of the step captions."""
    format: Annotated[str, arg(metavar="NAME")]
    """finetrainers, pairs, musubi, ltx, fastvideo, open-sora, hugging-face, ttt-video, or storyboards: FILM.json (a
    storyboard, a paragraph each 3 s) or FILM.txt (one text) beside each film."""


OnStep = Callable[[str], Any]
Note = Callable[[str], None]


def model_folder(model: Path | None) -> Path:
    """The folder that was given, or the demo model's."""
    from storyreel.assets import DEMO_MODEL
    from storyreel.sampling.request import check_is_model

    folder = model or DEMO_MODEL
    check_is_model(folder)
    return folder


def latents(options: Latents, on_step: OnStep, note: Note) -> dict[str, Manifest]:
    from storyreel.data import latents as step

    made = step.run(
        options.segments,
        options.out,
        step.LatentsConfig(dtype=at_work.dtype_of(options)),
        model=model_folder(options.model),
        on_item=on_step("latents"),
        on_estimate=lambda own: note(str(own)),
        **at_work.at_work(options),
    )
    return {"latents": made}


def embeddings(options: Embeddings, on_step: OnStep, note: Note) -> dict[str, Manifest]:
    from storyreel.data import embeddings as step
    from storyreel.data.examples import ExamplesConfig

    examples = ExamplesConfig(stages=options.stages)
    made = step.run(
        options.captions,
        options.out,
        step.EmbeddingsConfig(mask=options.mask, dtype=at_work.dtype_of(options), examples=examples),
        model=model_folder(options.model),
        on_item=on_step("embeddings"),
        on_estimate=lambda own: note(str(own)),
        **at_work.at_work(options),
    )
    return {"embeddings": made}


def assemble(options: Assemble, on_step: OnStep, note: Note) -> dict[str, Manifest]:
    from storyreel.data import assemble as step
    from storyreel.data.examples import ExamplesConfig

    examples = ExamplesConfig(stages=options.stages, validation_share=options.validation, seed=options.seed)
    made = step.run(
        options.latents,
        options.out,
        step.AssembleConfig(examples, options.shard_mib * 2**20),
        captions=options.captions,
        embeddings=options.embeddings,
        model=model_folder(options.model),
        **at_work.processes(options),
        on_item=on_step("assemble"),
        on_estimate=lambda own: note(str(own)),
    )
    return {"assemble": made}


def export(options: Export, on_step: OnStep, note: Note) -> dict[str, Manifest]:
    from storyreel.data.exchange import conventions
    from storyreel.wording import counted

    clips = conventions.export(options.captions, options.out, options.format, on_item=on_step("export"))
    note(f"{options.out}: {counted(len(clips), 'clip')} as {options.format}")
    return {}


def bring_in(options: Import, on_step: OnStep, note: Note) -> dict[str, Manifest]:
    from storyreel.data.exchange import importing

    config = importing.ImportConfig(options.format)
    made = importing.run(options.folder, options.segments, options.out, config, on_item=on_step("captions"))
    return {"captions": made}


def check(options: CheckExamples, on_step: OnStep) -> Report:
    from storyreel.data import check as step

    return step.run(options.assembled, model_folder(options.model), batch=options.batch, on_item=on_step("check"))


def print_report(report: Report, as_json: bool = False) -> int:
    """Prints what `check` found; the exit status."""
    from storyreel.data import check as step
    from storyreel.wording import counted

    if as_json:
        print(step.as_json(report))
    else:
        print("\n".join(report.lines()))
        print("every example is good" if report.is_good else counted(len(report.findings), "finding"))
    return 0 if report.is_good else 1
