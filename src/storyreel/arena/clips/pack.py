"""Coded clips of a story to MP4 files whose bytes are the same outside the pictures.

Frame by frame every clip is filled up to the largest one's size, so that the index, the size of the file, and what goes
over the line at each second of play are the same for all of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import av

from storyreel.arena.clips.boxes import without_pictures
from storyreel.arena.clips.encode import Coded, filler, set_up

LEAST_FILLER = 8
_OPTIONS = {"movflags": "+faststart", "fflags": "+bitexact", "use_editlist": "0"}


def pack(clips: Sequence[Coded]) -> list[bytes]:
    """A file for each of a story's clips. ValueError where their frames or parameter sets do not match."""
    first = clips[0]
    if any((clip.extradata, clip.keys, clip.shape) != (first.extradata, first.keys, first.shape) for clip in clips):
        raise ValueError("clips of a story must be encoded alike")
    sizes = [max(map(len, frames)) for frames in zip(*(clip.frames for clip in clips), strict=True)]
    files = [_file(clip, [size + LEAST_FILLER for size in sizes]) for clip in clips]
    if len({without_pictures(file) for file in files}) > 1:
        raise ValueError("the files of a story differ outside their pictures")
    return files


def _file(clip: Coded, sizes: Sequence[int]) -> bytes:
    with tempfile.TemporaryDirectory(prefix="storyreel-") as folder:
        path = Path(folder) / "clip.mp4"  # to put its index in front, FFmpeg reads the file again by its name
        with av.open(str(path), "w", format="mp4", options=_OPTIONS) as container:
            stream = cast(Any, container.add_stream("libx264", rate=clip.shape.rate))
            set_up(stream.codec_context, clip.shape)
            if bytes(stream.codec_context.extradata) != clip.extradata:
                raise ValueError("the encoder made other parameter sets for the same shape")
            for number, (frame, key, size) in enumerate(zip(clip.frames, clip.keys, sizes, strict=True)):
                packet = av.Packet(filler(size - len(frame)) + frame)
                packet.stream, packet.time_base = stream, 1 / clip.shape.rate
                packet.pts = packet.dts = number
                packet.duration, packet.is_keyframe = 1, key
                container.mux(packet)
        return path.read_bytes()
