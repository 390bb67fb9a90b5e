"""Takes: the part of a shot that becomes segments, at 16 frames a second, in one video file.

A take of n segments is 48 n + 1 frames; segment i is its frames 48 i to 48 i + 48, so that neighbours share a frame,
and the shared frame is one coded picture. Every segment begins with a key frame, so
that it can be read without those before it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from storyreel.data.decode import Decoder
from storyreel.data.files import whole
from storyreel.data.film import FrameTimes
from storyreel.errors import OutputError
from storyreel.geometry import FRAMES_PER_SECOND, SEGMENT_SECONDS

SEGMENT_FRAMES = SEGMENT_SECONDS * FRAMES_PER_SECOND
"""48; a segment has one more, which it shares with the one before."""
SAME_BITS = f"mbtree=0:keyint={SEGMENT_FRAMES}:min-keyint={SEGMENT_FRAMES}:scenecut=0:open-gop=0"
"""Key frames at segments only; with x264's macroblock tree the same frames are not the same bits each time."""


@dataclass(frozen=True)
class Take:
    """What a take shows: `picks[j]` is the film's frame that is shown at `start` + j / 16 s, `[48 n + 1]`, rising."""

    start: Fraction
    segments: int
    picks: tuple[int, ...]

    def span(self, segment: int) -> tuple[Fraction, Fraction]:
        """(start, stop) of a segment in seconds of the film."""
        start = self.start + SEGMENT_SECONDS * segment
        return start, start + SEGMENT_SECONDS


def plan_take(times: FrameTimes, start: int, stop: int) -> Take:
    """The take of frames `start` to `stop` (excluded): cropped by the same at both ends to a multiple of 3 s.

    A shot of 10 s loses 0.5 s at each end. One that is a multiple of 3 s to 1/16 s shows its last frame once more,
    rather than the next shot's first or losing 3 s. ValueError for less than 3 s.
    """
    begin, end = times.seconds(start), times.seconds(stop)
    segments = int((end - begin) / SEGMENT_SECONDS)
    if not segments:
        raise ValueError(f"{float(end - begin):.3f} s are no segment")
    begin += (end - begin - SEGMENT_SECONDS * segments) / 2
    moments = (begin + Fraction(j, FRAMES_PER_SECOND) for j in range(SEGMENT_FRAMES * segments + 1))
    return Take(begin, segments, tuple(min(max(times.frame_at(own), start), stop - 1) for own in moments))


def segments_with_gaps(take: Take, times: FrameTimes, most_seconds: Fraction) -> list[int]:
    """Segments that show a frame for longer than `most_seconds` because the film has no other then."""
    found = []
    for segment in range(take.segments):
        shown = take.picks[segment * SEGMENT_FRAMES : (segment + 1) * SEGMENT_FRAMES + 1]
        if any(times.seconds(own + 1) - times.seconds(own) > most_seconds for own in set(shown)):
            found.append(segment)
    return found


def write_take(
    path: Path, views: Iterator[tuple[int, VideoFrame]], picks: Sequence[int], width: int, height: int, crf: int
) -> int:
    """Writes a take as H.264 (BT.709, 16 a second) from views of all frames between its picks; returns frames written.

    Fewer than `picks` are written where the views end early; then there is no file. OutputError where it cannot be
    written.
    """
    written = 0
    try:
        with whole(path) as part:
            with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as opened:
                container = cast(OutputContainer, opened)
                stream = _stream(container, width, height, crf)
                for number, view in views:
                    while written < len(picks) and picks[written] == number:
                        view.pts, view.time_base = written, Fraction(1, FRAMES_PER_SECOND)
                        view.pict_type = PictureType.NONE
                        container.mux(stream.encode(view))
                        written += 1
                if written:
                    container.mux(stream.encode(None))
            if written < len(picks):
                raise _TooFew
    except _TooFew:
        path.unlink(missing_ok=True)
    except FFmpegError as error:
        remedy = "Make room there" if error.errno == errno.ENOSPC else "Choose another folder"
        raise OutputError(f"{path} cannot be written: {error.strerror or error}. {remedy}.") from error
    return written


class _TooFew(Exception):
    """The film gave fewer frames than it did when it was probed."""


def _stream(container: OutputContainer, width: int, height: int, crf: int) -> VideoStream:
    options = {"crf": str(crf), "preset": "medium", "x264-params": SAME_BITS}
    stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    context = stream.codec_context
    context.thread_count = 1
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    return stream


def read_take(path: Path, first: int, last: int) -> Iterator[np.ndarray]:
    """Frames `first` to `last`, both included, of a take, uint8 `[height, width, 3]` RGB; decodes from a key frame."""
    for frame in take_frames(path, first, last):
        yield frame.to_ndarray(format="rgb24")


def take_frames(path: Path, first: int, last: int) -> Iterator[VideoFrame]:
    """`read_take`'s frames as they were coded."""
    with Decoder(path) as decoder:
        time_base = decoder.stream.time_base or Fraction(1, FRAMES_PER_SECOND)
        if first:
            moment = Fraction(first - first % SEGMENT_FRAMES, FRAMES_PER_SECOND)
            decoder.container.seek(int(moment / time_base), stream=decoder.stream)
        for frame in decoder.frames():
            number = round((frame.pts or 0) * time_base * FRAMES_PER_SECOND)
            if number > last:
                return
            if number >= first:
                yield frame
