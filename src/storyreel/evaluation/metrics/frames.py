"""Frames of one video, one in memory at a time, and which segment each belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from storyreel.data.decode import Decoder
from storyreel.errors import DataError
from storyreel.evaluation.action_reader import READ_FRAMES
from storyreel.geometry import FRAMES_PER_SECOND, SEGMENT_SECONDS

SAMPLED_OFFSETS = (2, 9, 15, 21, 28, 34, 40, 47)
"""Frames of a segment, at 16 a second, that are shown to a network: those that the demo's probe was trained on."""


@dataclass(frozen=True)
class Grid:
    """Segments of 3 s in a video of `rate` frames a second: at 16, segment i has frames 48 i + 1 to 48 i + 48."""

    rate: Fraction

    def segment_of(self, frame: int) -> int:
        """The segment that a frame belongs to; frame 0 opens segment 0."""
        return max(0, -(-Fraction(frame) // (SEGMENT_SECONDS * self.rate)) - 1)

    def first_frame(self, segment: int) -> int:
        """The first frame of a segment."""
        return int(SEGMENT_SECONDS * segment * self.rate) + 1 if segment else 0

    def sampled(self, segment: int) -> list[int]:
        """The frames of a segment that networks look at."""
        start = int(SEGMENT_SECONDS * segment * self.rate) + 1
        return [start + round(offset * self.rate / FRAMES_PER_SECOND) for offset in SAMPLED_OFFSETS]

    def followed(self, segment: int) -> list[int]:
        """The frames of a segment that the reader of actions looks at, 8 a second."""
        start = int(SEGMENT_SECONDS * segment * self.rate) + 1
        return [start + round((2 * own + 1) * self.rate / FRAMES_PER_SECOND) for own in range(READ_FRAMES)]


@dataclass(frozen=True)
class VideoShape:
    """What a video is; `rate` in frames a second."""

    frames: int
    height: int
    width: int
    rate: Fraction

    @property
    def seconds(self) -> float:
        return float(self.frames / self.rate)

    @property
    def segments(self) -> int:
        """How many segments it has, a started one counted."""
        return Grid(self.rate).segment_of(self.frames - 1) + 1

    def starts(self) -> list[int]:
        """First frames of the segments after the first."""
        grid = Grid(self.rate)
        return [grid.first_frame(segment) for segment in range(1, self.segments)]


class Frames:
    """Iterates over the frames of the video at `path`, uint8 `[H, W, 3]` RGB; afterwards `shape` says what it was.

    DataError: it cannot be opened, has no frame, or holds damaged packets.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.grid = Grid(Fraction(FRAMES_PER_SECOND))
        self._counted: tuple[int, int, int] | None = None

    @property
    def shape(self) -> VideoShape:
        """Known when all frames have been seen."""
        if self._counted is None:
            raise ValueError("the frames have not been seen yet")
        return VideoShape(*self._counted, self.grid.rate)

    def __iter__(self) -> Iterator[np.ndarray]:
        count, picture = 0, None
        try:
            with Decoder(self.path) as decoder:
                self.grid = Grid(Fraction(decoder.stream.average_rate or FRAMES_PER_SECOND))
                # One for all frames: to_ndarray alone would set up a scaler for each.
                reformatter = VideoReformatter()
                for frame in decoder.frames():
                    picture = reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
                    yield picture
                    count += 1
                errors = decoder.errors
        except (FFmpegError, LookupError, OSError) as error:
            raise DataError(f"{self.path} cannot be read: {str(error).splitlines()[0]}. Make it again.") from error
        if picture is None or errors:
            what = f"{errors} packets cannot be decoded" if errors else "it has no frame"
            raise DataError(f"{self.path} is damaged: {what}. Make it again.")
        self._counted = (count, picture.shape[0], picture.shape[1])
