"""`storyreel data upscale`: shots smaller than the segments, enlarged by a super-resolution model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from storyreel.cli import at_work
from storyreel.data.model_file import check_file
from storyreel.errors import WeightsError

if TYPE_CHECKING:
    from storyreel.data.manifest import Manifest


@dataclass(frozen=True)
class Upscale:
    """Between steps 2 and 3: enlarge the shots that are smaller than the segments, with a super-resolution model.

    Leave it out, and segments are scaled with Lanczos.

    Example: storyreel data upscale dataset/scenes dataset/upscale --model realesr-general-x4v3.safetensors
    """

    scenes: Annotated[Positional[Path], arg(metavar="SCENES")]
    """Folder of step 2."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder of the step."""
    model: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(needed)")] = None
    """Model file of an architecture that spandrel knows, .safetensors."""
    size: str = "720x480"
    """Width and height of the segments in pixels."""
    tile: int = 256
    """Side of the squares that the model is given at a time, in pixels; smaller ones need less memory."""
    margin: int = 32
    """Pixels around a square that the model sees besides."""
    device: Annotated[str, arg(metavar="D")] = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1."""
    dtype: Annotated[str, arg(metavar="T")] = "auto"
    """In which to compute: float32, bfloat16, or auto (bfloat16 on a GPU)."""
    workers: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one a core, on a GPU 1)")] = None
    """Processes."""
    ray: at_work.Ray = None
    """Run on this Ray cluster; local: one that begins and ends with the command."""


def upscale_model(options: Upscale) -> Path:
    """The file that was given. WeightsError where it is none, or of a kind that is not read."""
    if options.model is None:
        raise WeightsError(
            "upscale needs --model FILE. Without a model leave the step out: segments scale by themselves."
        )
    check_file(options.model)
    return options.model


def upscale(options: Upscale, on_step: Callable[[str], Any], note: Callable[[str], None]) -> dict[str, Manifest]:
    from storyreel.cli.toons import parse_size
    from storyreel.data import upscale as step

    width, height = parse_size(options.size)
    config = step.UpscaleConfig(width, height, options.tile, options.margin, at_work.dtype_of(options))
    made = step.run(
        options.scenes,
        options.out,
        config,
        model=upscale_model(options),
        on_item=on_step("upscale"),
        on_estimate=lambda own: note(str(own)),
        **at_work.at_work(options),
    )
    return {"upscale": made}
