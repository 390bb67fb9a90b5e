"""What a given video is: its size as shown, frame rate, length and content hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.error import FFmpegError

from storyreel.errors import DataError

READ_BYTES = 2**20


@dataclass(frozen=True)
class Source:
    """A video as given. `width` and `height` are pixels as shown (square), `seconds` the time all frames take."""

    path: Path
    width: int
    height: int
    rate: Fraction
    seconds: Fraction
    sha256: str


def look_at(path: Path) -> Source:
    """Reads the file from its first to its last byte, without decoding pictures.

    DataError, one line: the file cannot be read as a video, has no picture, no frame rate, or is stored turned.
    """
    try:
        digest = _hash(path)
        with av.open(os.path.abspath(path)) as container:
            if not container.streams.video:
                raise DataError(f"{path} has no pictures. Give a video.")
            stream = container.streams.video[0]
            context = stream.codec_context
            rate = stream.average_rate
            tick = stream.time_base
            times = [packet.pts for packet in container.demux(stream) if packet.pts is not None and packet.size]
            if not times or not rate or tick is None:
                raise DataError(f"{path} holds no frame with a time. Encode it again.")
            aspect = stream.sample_aspect_ratio or Fraction(1)
            first = next(_decoded(path), None)
            if first is None:
                raise DataError(f"{path} holds no picture that can be decoded. Encode it again.")
            if first.rotation:
                raise DataError(f"{path} is stored turned by {first.rotation} degrees. Encode it upright.")
    except (OSError, FFmpegError) as error:
        raise DataError(f"{path} cannot be read as a video: {_why(error)}. Give an MP4 that plays.") from error
    seconds = (max(times) - min(times)) * tick + 1 / Fraction(rate)
    return Source(path, round(context.width * aspect), context.height, Fraction(rate), seconds, digest)


def pictures(source: Source, rate: Fraction, frames: int) -> Iterator[av.VideoFrame]:
    """`frames` pictures at `rate`: at each moment the last one whose time has come, to half a frame."""
    try:
        decoded = _decoded(source.path)
        shown = next(decoded)
        start = shown.pts or 0
        following = next(decoded, None)
        for number in range(frames):
            due = (number + Fraction(1, 2)) / rate
            while following is not None and ((following.pts or 0) - start) * (following.time_base or 0) < due:
                shown, following = following, next(decoded, None)
            yield shown
    except (OSError, FFmpegError, StopIteration) as error:
        raise DataError(f"{source.path} cannot be decoded: {_why(error)}. Encode it again.") from error


def _decoded(path: Path) -> Iterator[av.VideoFrame]:
    with av.open(os.path.abspath(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        yield from container.decode(video=0)


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
