"""What a user asks of a run, and every check of it that needs no large library: mistakes are told at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from storyreel.assets import DEMO_MODEL
from storyreel.errors import ConfigError, OutputError, StoryboardError, WeightsError, refusal
from storyreel.geometry import SEGMENT_SECONDS, STAGE_SECONDS
from storyreel.models.forward_names import Forward, check_forward
from storyreel.sampling.guidance import check_guidance
from storyreel.sampling.leftovers import clear_leftovers
from storyreel.sampling.video import check_output
from storyreel.storyboard.reader import is_plot, read_storyboard
from storyreel.storyboard.saving import as_json, save_text, to_text
from storyreel.storyboard.schema import Storyboard
from storyreel.wording import counted

if TYPE_CHECKING:
    from storyreel.sampling.schedulers import SolverName
    from storyreel.writing.rules import Written

LARGEST_SEED = 2**63 - 1
HUB_ID = re.compile(r"(https?:/huggingface\.co/)?(?P<owner>\w[\w.-]*)/(?P<name>\w[\w.-]*)")


@dataclass(frozen=True, kw_only=True)
class Request:
    """A storyboard file, or a plot, and how its video is wanted; `storyreel.sampling.run.generate` tells of the fields.

    The storyboard of a plot is written by rules and kept beside the video, as VIDEO.storyboard.json.
    """

    source: Path
    model: Path | None = None
    out: Path
    seconds: int | None = None
    steps: int | None = None
    guidance: float | None = None
    solver: SolverName | None = None
    seed: int = 0
    device: str = "auto"
    story: int = 0
    keep_partial: bool = False
    forward: Forward = "auto"
    in_turn: bool = False

    @property
    def folder(self) -> Path:
        return self.model or DEMO_MODEL

    def beside(self, ending: str) -> Path:
        """A file that stands beside the video and has its name."""
        return self.out.with_suffix(ending)

    def clear_leftovers(self) -> str:
        """Removes what a killed run to this output left; one line about it, empty where there was none."""
        return clear_leftovers(
            self.out, self.beside(".preview.png"), [self.beside(".sheet.png"), self.beside(".run.json")]
        )

    def check(self) -> Storyboard:
        """What the video will tell: the storyboard, or its beginning. StoryreelError, one line, for any mistake."""
        if not 0 <= self.seed <= LARGEST_SEED:
            raise ConfigError(refusal("--seed", self.seed, f"it must be 0 to {LARGEST_SEED}", "Try 0"))
        if self.steps is not None and self.steps < 1:
            raise ConfigError(refusal("--steps", self.steps, "it must be 1 or more", "Try 20"))
        if self.guidance is not None:
            check_guidance(self.guidance)
        check_forward(self.forward)
        self._check_outputs()
        check_stage(self.seconds)
        board = self._write().storyboard if is_plot(self.source) else read_storyboard(self.source, self.story)
        told = choose_segments(board, self.seconds)
        check_is_model(self.folder)
        return told

    def keep_storyboard(self) -> list[str]:
        """Keeps what is written of a plot beside the video; lines that say so, and what its writer has found.

        No line where the source is a storyboard. OutputError where the storyboard kept there is another one.
        """
        if not is_plot(self.source):
            return []
        written, path = self._write(), self.beside(".storyboard.json")
        save_text(path, to_text(as_json(written.storyboard)))
        told = [f"{self.source} is a plot: its storyboard is written by rules, and kept as {path}"]
        return told + [str(finding) for finding in written.findings]

    def _write(self) -> Written:
        # Storyboards, the usual case, do without the writer, and their mistakes are told the sooner.
        from storyreel.writing.rules import read_plot_file, write_text

        written, path = write_text(read_plot_file(self.source), self.seconds), self.beside(".storyboard.json")
        if path.exists() and path.read_text(encoding="utf-8", errors="replace") != to_text(as_json(written.storyboard)):
            raise OutputError(
                f"{path} is there already, and is not what the plot {self.source} gives. Make the video of it "
                f"(storyreel generate {path}), remove it, or choose another --out."
            )
        return written

    def _check_outputs(self) -> None:
        check_output(self.out)
        for ending in (".mp4", ".run.json"):
            if self.beside(ending).resolve() == self.source.resolve():
                raise OutputError(f"{self.source} would be overwritten by the run. Choose another name with --out.")


def choose_segments(storyboard: Storyboard, seconds: int | None) -> Storyboard:
    """The first `seconds` of a storyboard, all of it for None.

    ConfigError where that is not a stage length, StoryboardError where the storyboard is shorter.
    """
    check_stage(seconds)
    if seconds is None:
        return storyboard
    if seconds > storyboard.seconds:
        have = f"the storyboard has {counted(len(storyboard.segments), 'segment')}, {storyboard.seconds} s"
        raise StoryboardError(refusal("--seconds", seconds, have, "Ask for less or write more"))
    return storyboard.first(seconds // SEGMENT_SECONDS)


def check_stage(seconds: int | None) -> None:
    """ConfigError where `seconds` is given and is not a stage length."""
    if seconds is not None and seconds not in STAGE_SECONDS:
        stages = ", ".join(map(str, STAGE_SECONDS))
        nearest = min(STAGE_SECONDS, key=lambda stage: abs(stage - seconds))
        raise ConfigError(refusal("--seconds", seconds, f"it must be one of {stages}", f"Try {nearest}"))


def check_is_model(folder: Path) -> None:
    """WeightsError unless there is a folder with a model's index; model_folder.check_folder looks inside."""
    if not folder.exists() and (hub_id := find_hub_id(folder)):
        own = hub_id.partition("/")[2]
        raise WeightsError(
            f"There is no model folder {folder}; it looks like an id of the Hugging Face hub, and storyreel does not "
            f"download by itself. If a storyreel model is there: hf download {hub_id} --local-dir {own}, then "
            f"--model {own}."
        )
    if not folder.is_dir():
        raise WeightsError(
            f"There is no model folder {folder}. Give a folder that storyreel train or save_pipeline made."
        )
    if not (folder / "model_index.json").is_file():
        raise WeightsError(f"{folder} holds no model_index.json. Give a folder that storyreel train made.")


def find_hub_id(folder: Path) -> str | None:
    """The id, "owner/name", where a path that does not exist looks like one or like its address; None elsewhere.

    >>> find_hub_id(Path("THUDM/CogVideoX-2b")), find_hub_id(Path("a/b/c"))
    ('THUDM/CogVideoX-2b', None)
    """
    found = HUB_ID.fullmatch(folder.as_posix())
    # In a folder that exists, a missing model is a slip of the pen.
    return None if found is None or Path(found["owner"]).exists() else f"{found['owner']}/{found['name']}"
