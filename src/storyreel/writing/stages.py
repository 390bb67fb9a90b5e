"""The saved stages between a plot and its storyboard: each is a file to edit, and the writer goes on from it.

    OUT.json                  format 3, the storyboard
    OUT.stages/1.plot.json    format 1, the plot's sentences
    OUT.stages/2.beats.json   format 2, a beat a segment
    OUT.stages/made.json      hashes: from what each of them was made, and how it was written

A stage whose source is unchanged stays as it is, edited or not. One whose source has changed is written anew, unless it
was edited too: then the writer refuses and says how to choose.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storyreel.errors import OutputError, StoryboardError
from storyreel.storyboard.reader import read_storyboard
from storyreel.storyboard.saving import as_json, save_text, to_text
from storyreel.storyboard.schema import Storyboard, StoryboardSegment
from storyreel.wording import counted
from storyreel.writing.beats import Beat


class PlotStage(BaseModel):
    """Format 1."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: str = ""
    sentences: list[str] = Field(min_length=1)


class BeatStage(BaseModel):
    """Format 2."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: str = ""
    beats: list[Beat] = Field(min_length=1)


Stage = TypeVar("Stage", bound=BaseModel)
AGAIN = "Remove one of the two, or begin from the plot with --again"


class StageFolder:
    """The stages of one storyboard file. `again`: saved stages are not looked at."""

    def __init__(self, out: Path, again: bool = False) -> None:
        self.out, self.again = out, again
        self.folder = out.with_suffix(".stages")
        self._made: dict[str, Any] = {} if again else self._read_made()

    def path(self, name: str) -> Path:
        """The file of stage "1.plot" or "2.beats"."""
        return self.folder / f"{name}.json"

    def kept(self, name: str, source: str, kind: type[Stage]) -> Stage | None:
        """The saved stage where it goes with `source`, the hash of what it is made from; None: make it.

        StoryboardError where it was edited although its source changed as well, or is damaged.
        """
        path = self.path(name)
        if self.again or not path.exists():
            return None
        record = self._made.get(name, {})
        if not record or record["of"] == source:
            return _read(path, kind)
        if record["is"] != digest(_raw(path)):
            raise StoryboardError(f"{path} was edited, and so was what it is made from. {AGAIN}.")
        return None

    def save(self, name: str, source: str, stage: BaseModel) -> None:
        """Writes a stage and notes its hashes."""
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            where = f"there is no folder {self.out.parent}" if not self.out.parent.is_dir() else error.strerror
            raise OutputError(f"{self.folder} cannot be made: {where}. Choose another --out.") from error
        save_text(self.path(name), to_text(stage.model_dump()))
        self._note(name, {"of": source, "is": digest(stage.model_dump())})

    def kept_storyboard(self, source: str) -> Storyboard | None:
        """The storyboard where it goes with `source`."""
        if self.again or not self.out.exists() or self._made.get("storyboard", {}).get("of") != source:
            return None
        return read_storyboard(self.out)

    def locked(self, segments: int) -> dict[int, StoryboardSegment]:
        """The locked segments of the storyboard that is there, by number from 0, for a new one of so many segments.

        StoryboardError where other segments of it were edited, or where a locked one has no place any more.
        """
        if not self.out.exists():
            return {}
        old = read_storyboard(self.out).segments
        if not self.again:
            self._refuse_edited(old)
        late = [number for number, own in enumerate(old, 1) if own.locked and number > segments]
        if late:
            raise StoryboardError(
                f"segment {late[0]} of {self.out} is locked, but the new storyboard has "
                f"{counted(segments, 'segment')}. Unlock it or ask for more --seconds."
            )
        return {number: own for number, own in enumerate(old) if own.locked}

    def merged(self, storyboard: Storyboard) -> Storyboard:
        """The storyboard with the locked segments of the one that is there as they are; refuses as `locked` does."""
        locked = self.locked(len(storyboard.segments))
        segments = [locked.get(i, segment) for i, segment in enumerate(storyboard.segments)]
        return storyboard.model_copy(update={"segments": segments})

    def save_storyboard(self, source: str, storyboard: Storyboard) -> None:
        """Writes the storyboard and notes its hashes."""
        save_text(self.out, to_text(as_json(storyboard)))
        segments = [_segment_digest(own) for own in storyboard.segments]
        self._note("storyboard", {"of": source, "segments": segments})

    def _refuse_edited(self, old: Sequence[StoryboardSegment]) -> None:
        before = self._made.get("storyboard", {}).get("segments")
        if before is None:
            raise OutputError(
                f"{self.out} exists and was not written from this plot. Choose another --out, or write over it with "
                "--again (locked segments stay)."
            )
        edited = [
            str(number)
            for number, own in enumerate(old, start=1)
            if not own.locked and (number > len(before) or _segment_digest(own) != before[number - 1])
        ]
        if edited:
            which = f"segment{'s' if len(edited) > 1 else ''} {', '.join(edited)}"
            raise StoryboardError(
                f"{self.out} was edited ({which}), and so was what it is made from. Keep what is good with "
                '"locked": true in it and run with --again, or choose another --out.'
            )

    def _read_made(self) -> dict[str, Any]:
        try:
            made = json.loads((self.folder / "made.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return made if isinstance(made, dict) else {}

    def _note(self, name: str, record: dict[str, Any]) -> None:
        self._made[name] = record
        save_text(self.folder / "made.json", to_text(self._made))


def digest(data: Any) -> str:
    """A hash of JSON data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def _segment_digest(segment: StoryboardSegment) -> str:
    return digest([segment.text, segment.scene_start, segment.negative_text])


def _raw(path: Path) -> Any:
    """The JSON of a stage, of whatever form; None where it is damaged, which counts as edited."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _read(path: Path, kind: type[Stage]) -> Stage:
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise StoryboardError(f"{path} cannot be read: {error}. Remove it, and it is written anew.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ", ".join(str(part + 1) if isinstance(part, int) else part for part in first["loc"])
        where = f" at {where}" if where else ""
        raise StoryboardError(f"{path}{where}: {first['msg']}. Mend it, or remove the file.") from None
