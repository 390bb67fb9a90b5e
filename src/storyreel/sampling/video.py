"""Frames to an H.264 MP4 that every player opens, whole or not at all.

The file is written beside its target, read back, flushed to the disk and renamed; whatever interrupts that leaves what
was there before. Nothing is held but the frame in hand.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from storyreel.errors import OutputError, refusal
from storyreel.geometry import FRAMES_PER_SECOND
from storyreel.sampling.leftovers import aside

REMEDIES = {
    errno.ENOSPC: "Make room there",
    errno.EDQUOT: "Make room there",
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f)",
}


SAME_BITS = "mbtree=0"
"""With its macroblock tree, x264 now and then makes other bits of the same frames: on two busy cores in 30 of 1,739
runs over 49 frames of 48x32, with one thread too; without the tree in none of 577."""


@dataclass(frozen=True)
class VideoFacts:
    """What a video file says of itself, its frames counted one by one."""

    frames: int
    width: int
    height: int
    fps: float
    codec: str
    pix_fmt: str
    fast_start: bool
    comment: str = ""

    @property
    def seconds(self) -> float:
        return self.frames / self.fps


class VideoWriter:
    """Writes uint8 RGB frames to `path`: H.264, yuv420p (BT.709), 16 frames a second, index in front (fast start).

    A context manager: at the end of the block the file is complete, and after an exception there is none (unless
    `keep_partial`, then `partial_path` has what was written so far, playable). `crf` is x264's quality: 0 lossless,
    18 hardly to be told from the source, 51 worst. OutputError, one line, where the file cannot be written.
    """

    def __init__(
        self, path: str | Path, height: int, width: int, *, crf: int = 18, comment: str = "", keep_partial: bool = False
    ) -> None:
        self.path = Path(path)
        self.height, self.width = height, width
        self.frames = 0
        self.keep_partial = keep_partial
        check_output(self.path)
        if height % 2 or width % 2:
            raise OutputError(refusal("frame size", f"{width}x{height}", "H.264 needs even sides", "Change the size"))
        self._aside = aside(self.path)
        try:
            self._container = av.open(
                os.path.abspath(self._aside), "w", format="mp4", options={"movflags": "+faststart"}
            )
        except (OSError, FFmpegError) as error:
            self._aside.unlink(missing_ok=True)
            raise output_error(self.path, error) from error
        self._container.metadata["comment"] = comment
        self._stream = self._container.add_stream(
            "libx264", rate=FRAMES_PER_SECOND, options={"crf": str(crf), "x264-params": SAME_BITS}
        )
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        context = self._stream.codec_context
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709

    @property
    def partial_path(self) -> Path:
        """Where an interrupted video is kept, where it is kept."""
        return self.path.with_suffix(".partial.mp4")

    def write(self, frames: np.ndarray) -> None:
        """Append frames, uint8 `[N, height, width, 3]` RGB."""
        if frames.dtype != np.uint8 or frames.shape[1:] != (self.height, self.width, 3):
            raise ValueError(f"frames are {frames.dtype} {frames.shape}, not uint8 [N, {self.height}, {self.width}, 3]")
        with self._told():
            for pixels in frames:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
                frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
                self._container.mux(self._stream.encode(frame))
                self.frames += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        elif self.keep_partial and self.frames and not isinstance(error, OutputError):
            self._complete(self.partial_path)
        else:
            self.discard()

    def finish(self) -> None:
        """Complete the file and put it in its place."""
        if not self.frames:
            self.discard()
            raise OutputError(f"{self.path}: a video needs at least one frame.")
        self._complete(self.path)

    def discard(self) -> None:
        """Leave nothing of this video."""
        with contextlib.suppress(OSError, FFmpegError, ValueError):
            self._container.close()
        self._aside.unlink(missing_ok=True)

    def _complete(self, target: Path) -> None:
        with self._told():
            self._container.mux(self._stream.encode(None))
            self._container.close()
            if count_packets(self._aside) != self.frames:
                raise OSError(0, "it did not arrive whole on the disk")
            with self._aside.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(self._aside, target)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the file system and of FFmpeg as one line, with nothing left behind."""
        try:
            yield
        except (OSError, FFmpegError, ValueError) as error:
            self.discard()
            raise output_error(self.path, error) from error


def output_error(path: Path, error: BaseException) -> OutputError:
    """What hinders writing `path`, with the remedy."""
    number = getattr(error, "errno", None) or 0
    reason = os.strerror(number) if number > 0 else str(error) or type(error).__name__
    return OutputError(
        f"{path} cannot be written: {reason}. {REMEDIES.get(number, 'Choose another place with --out')}."
    )


def check_output(path: Path) -> None:
    """OutputError unless a file can be made at `path`: one without a name is made beside it, and is gone again."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder. Give the name of a file in it: {path / 'video.mp4'}.")
    if path.suffix.lower() != ".mp4":
        raise OutputError(refusal("output", path, "videos are MP4 files", f"Try {path.with_suffix('.mp4')}"))
    if not path.parent.is_dir():
        raise OutputError(
            f"{path} cannot be written: there is no folder {path.parent}. Make it or choose another place."
        )
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise output_error(path, error) from error


def count_packets(path: Path) -> int:
    """Coded frames of a video file, read from its first to its last byte without decoding."""
    with av.open(os.path.abspath(path)) as container:
        return sum(packet.size > 0 for packet in container.demux(video=0))


def probe_video(path: str | Path) -> VideoFacts:
    """Facts of a video file, with all of its frames decoded and counted."""
    with av.open(os.path.abspath(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        frames = sum(1 for _ in container.decode(stream))
        rate = stream.average_rate
        return VideoFacts(
            frames=frames,
            width=context.width,
            height=context.height,
            fps=float(rate) if rate else 0.0,
            codec=context.name,
            pix_fmt=context.pix_fmt or "",
            fast_start=_index_first(Path(path)),
            comment=container.metadata.get("comment", ""),
        )


def read_frames(path: str | Path) -> Iterator[np.ndarray]:
    """Frames of a video file one by one, uint8 `[height, width, 3]` RGB."""
    with av.open(os.path.abspath(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def _index_first(path: Path) -> bool:
    """Whether the index (moov) stands in front of the data (mdat): a player can start before it has the whole file."""
    with path.open("rb") as file:
        while header := file.read(8):
            size, kind = int.from_bytes(header[:4], "big"), header[4:]
            if kind in (b"moov", b"mdat") or size < 8:
                return kind == b"moov"
            file.seek(size - 8, os.SEEK_CUR)
    return False
