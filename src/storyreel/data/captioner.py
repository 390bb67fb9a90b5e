"""A vision-language model describes a segment: fixed fields from sampled frames, then a second look at each field."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from storyreel.data.caption_fields import CaptionFields, Verdict, listed
from storyreel.data.segments import SegmentRow
from storyreel.data.takes import read_take
from storyreel.llm.asking import Asker, Complaint, Question
from storyreel.llm.prices import TOKENS_AN_IMAGE, Estimate
from storyreel.llm.prompts import load_prompt

PROMPTS = "storyreel.data"
JPEG_QUALITY = 85
CAPTION_TOKENS, VERDICT_TOKENS = 2048, 1024
"""The most of an answer."""
USUAL_IN, USUAL_OUT = 2200, 320
"""Words of both calls of a segment in tokens, pictures apart; for the estimate, with a third more for second turns."""
TRIED_AGAIN = 4 / 3
FEWEST_WORDS, MOST_WORDS = 40, 160


@dataclass(frozen=True)
class Captioned:
    """Fields, and those of them that the second look did not confirm."""

    fields: CaptionFields
    doubts: tuple[str, ...]


class Captioner:
    """Asks for captions; may be used by several threads."""

    def __init__(self, asker: Asker, frames: int, frame_width: int, cast: str, seed: int) -> None:
        self.asker, self.frames, self.frame_width, self.cast, self.seed = asker, frames, frame_width, cast, seed

    def caption(self, frames: tuple[bytes, ...], before: str, about: str) -> Captioned:
        """Fields for JPEG frames of a segment; where the second look objects, they are asked for once more.

        `before` is the paragraph of the segment whose last frame is this one's first, "" for none.
        """
        fields = self._describe(frames, before, about, "")
        verdict = self._verify(frames, fields, about)
        if verdict.doubts:
            wrong = f"An earlier description was wrong in: {', '.join(verdict.doubts)} ({verdict.wrong}). It was:"
            fields = self._describe(frames, before, about, f"{wrong} {fields.model_dump_json()}")
            verdict = self._verify(frames, fields, about)
        return Captioned(fields, verdict.doubts)

    def _describe(self, frames: tuple[bytes, ...], before: str, about: str, objections: str) -> CaptionFields:
        prompt = load_prompt(PROMPTS, "caption")
        text = prompt.filled(
            cast=self.cast or "(nobody is known by name)",
            before=before or "(nothing)",
            objections=objections,
            frames=len(frames),
        )
        question = Question(
            prompt, text, CaptionFields, about, CAPTION_TOKENS, frames, self.seed, check=lambda own: complaints(own)
        )
        return self.asker.ask(question).value

    def _verify(self, frames: tuple[bytes, ...], fields: CaptionFields, about: str) -> Verdict:
        prompt = load_prompt(PROMPTS, "verify")
        text = prompt.filled(
            setting=fields.setting,
            characters=listed(fields.characters),
            actions="\n".join(fields.actions),
            camera=fields.camera,
            frames=len(frames),
        )
        return self.asker.ask(Question(prompt, text, Verdict, about, VERDICT_TOKENS, frames, self.seed)).value


def complaints(fields: CaptionFields) -> list[Complaint]:
    """What is sent back of a description: far too short or too long."""
    words = len(fields.paragraph().split())
    if FEWEST_WORDS <= words <= MOST_WORDS:
        return []
    return [Complaint(f"it has {words} words in all; write about 100.", must=False)]


def estimate_for(segments: int, frames: int) -> Estimate:
    """A guess for so many segments with so many frames: two calls each."""
    images = 2 * frames * TOKENS_AN_IMAGE
    return Estimate(
        2 * segments,
        round(segments * (USUAL_IN + images) * TRIED_AGAIN),
        round(segments * USUAL_OUT * TRIED_AGAIN),
    )


def prompt_keys() -> str:
    """The prompts and their versions, for provenance and fingerprints."""
    return ", ".join(load_prompt(PROMPTS, name).key for name in ("caption", "verify"))


def sampled_frames(segments: Path, row: SegmentRow, count: int, width: int) -> tuple[bytes, ...]:
    """`count` frames of a segment as JPEG, evenly spread from its first to its last, at most `width` pixels wide."""
    last = row.frames - 1
    picks = {round(last * i / max(1, count - 1)) for i in range(count)}
    frames = read_take(segments / row.take, row.first_frame, row.first_frame + last)
    return tuple(_jpeg(Image.fromarray(frame), width) for i, frame in enumerate(frames) if i in picks)


def _jpeg(picture: Image.Image, width: int) -> bytes:
    if picture.width > width:
        picture = picture.resize((width, round(width * picture.height / picture.width)), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=JPEG_QUALITY)
    return data.getvalue()
