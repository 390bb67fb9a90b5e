"""Pictures to H.264 in a fixed pattern: a key frame every second, every other frame predicted from the one before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import av
from av.codec.context import Flags
from av.error import FFmpegError
from av.filter import Graph
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from storyreel.arena.clips.shape import ClipShape
from storyreel.arena.clips.source import Source, pictures
from storyreel.errors import DataError

CRF = 17
RECIPE = "h264 veryfast crf 17, no B frames, key frame a second, filler SEI, 2"
"""Part of the cache's key: to be changed with anything that changes the files."""
SEI_NAL, SEI_END = 6, 0x80
START_CODES = (b"\x00\x00\x00\x01", b"\x00\x00\x01")


@dataclass(frozen=True)
class Coded:
    """A clip's coded frames, Annex B, each with its NAL units as x264 made them but for its description of itself."""

    shape: ClipShape
    extradata: bytes
    frames: tuple[bytes, ...]
    keys: tuple[bool, ...]


def encode(source: Source, shape: ClipShape) -> Coded:
    """The source's pictures, cropped and scaled to `shape`, BT.709, without sound."""
    context = cast(VideoCodecContext, av.CodecContext.create("libx264", "w"))
    set_up(context, shape)
    packets: list[Any] = []
    try:
        for number, frame in enumerate(_fitted(source, shape)):
            frame.pts, frame.time_base = number, 1 / shape.rate
            frame.pict_type = PictureType.NONE
            packets += context.encode(frame)
        packets += context.encode(None)
    except (OSError, FFmpegError) as error:
        raise DataError(f"{source.path} cannot be encoded: {error}. Encode it again yourself.") from error
    frames = tuple(_without_sei(bytes(packet)) for packet in packets)
    assert len(frames) == shape.frames
    return Coded(shape, bytes(context.extradata or b""), frames, tuple(packet.is_keyframe for packet in packets))


def set_up(context: VideoCodecContext, shape: ClipShape) -> None:
    """Makes an encoder ready for `shape`; two set up alike have the same parameter sets."""
    second = max(1, round(shape.rate))
    parameters = f"keyint={second}:min-keyint={second}:scenecut=0:bframes=0:mbtree=0:force-cfr=1"
    context.width, context.height, context.pix_fmt = shape.width, shape.height, "yuv420p"
    context.framerate, context.time_base = shape.rate, 1 / shape.rate
    context.options = {"preset": "veryfast", "crf": str(CRF), "x264-params": parameters}
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    context.flags |= int(Flags.global_header)
    context.open()


def _fitted(source: Source, shape: ClipShape) -> Iterator[av.VideoFrame]:
    """Pictures in `shape`'s size: the middle of what is too wide, scaled."""
    graph: Graph | None = None
    for frame in pictures(source, shape.rate, shape.frames):
        graph = graph or _graph(frame, source, shape)
        frame.pts = None
        graph.push(frame)
        yield cast(av.VideoFrame, graph.pull())


def _graph(frame: av.VideoFrame, source: Source, shape: ClipShape) -> Graph:
    kept = min(1.0, shape.width / shape.height * source.height / source.width)
    graph = Graph()
    steps = [
        graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base),
        graph.add("crop", f"w=floor(iw*{kept:.6f}/2+0.5)*2:h=ih:exact=1"),
        graph.add("scale", f"{shape.width}:{shape.height}:flags=bicubic:out_color_matrix=bt709:out_range=tv"),
        graph.add("setsar", "1"),
        graph.add("format", "yuv420p"),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*steps).configure()
    return graph


def _without_sei(frame: bytes) -> bytes:
    """The frame without SEI messages: x264 writes its version and options into the first."""
    return b"".join(START_CODES[0] + unit for unit in nal_units(frame) if unit[0] & 31 != SEI_NAL)


def nal_units(frame: bytes) -> Iterator[bytes]:
    """NAL units of an Annex B byte stream, without start codes (ITU-T H.264, B.1)."""
    at = frame.find(START_CODES[1])
    while at >= 0:
        end = frame.find(START_CODES[1], at + 3)
        unit = frame[at + 3 : end if end >= 0 else None]
        yield unit.rstrip(b"\x00") if end >= 0 else unit
        at = end


def filler(size: int) -> bytes:
    """A NAL unit with start code, `size` bytes in all (8 or more), that holds filler SEI (ITU-T H.264, D.1.4) alone.

    It begins the frame it is put in front of and means nothing to a decoder.
    """
    if size < 8:
        raise ValueError(f"the smallest filler is 8 bytes, not {size}")
    left = size - 6
    messages = b""
    if (left - 2) % 256 == 255:  # one message cannot be as long as this, since its own length takes bytes
        messages, left = b"\x03\x00", left - 2
    whole, rest = divmod(left - 2, 256)
    length = whole * 255 + rest
    messages += b"\x03" + b"\xff" * whole + bytes([rest]) + b"\xff" * length
    return START_CODES[0] + bytes([SEI_NAL]) + messages + bytes([SEI_END])
