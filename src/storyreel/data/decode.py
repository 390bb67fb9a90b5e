"""Frames of a film, decoded one by one: every frame in order, damage skipped and counted, and views of them.

A view is a frame as it is meant to be seen (deinterlaced, without bars, upright, square pixels) at a given size.
Decoding has one thread a process, so that damaged films give the same frames each time; processes share the films.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.filter import Graph
from av.filter.context import FilterContext
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from storyreel.data.film import FilmRow

UNSPECIFIED = 2
"""FFmpeg's number for a colour matrix that a film does not name."""
HIGH_DEFINITION_HEIGHT = 720
SEEK_MARGIN_SECONDS = 2
SCALE_FLAGS = "lanczos+accurate_rnd"
EXACT_COLOURS = "+full_chroma_int+full_chroma_inp"
"""Without these, FFmpeg's change from BT.601 to BT.709 or RGB darkens by 1 to 2 of 255. Detectors need no such care."""
LOOKED_AT = "bgr24"
_TRANSPOSE = {0: (), 90: ("cclock",), 180: ("clock", "clock"), 270: ("clock",)}
_NO_MORE = (BlockingIOError, EOFError)


class Decoder:
    """Decoded frames of the film at `path`; `errors` counts the packets that could not be decoded.

    A context manager. FFmpegError or OSError where the file cannot be opened, LookupError where it has no video.
    """

    def __init__(self, path: Path) -> None:
        self.errors = 0
        self.container = cast(InputContainer, av.open(os.path.abspath(path), metadata_errors="ignore"))
        try:
            self.stream = _video_stream(self.container)
        except LookupError:
            self.container.close()
            raise
        self.stream.codec_context.thread_count = 1

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def frames(self) -> Iterator[VideoFrame]:
        """Every frame that can be decoded, from where the container stands."""
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except FFmpegError:
                self.errors += 1
                return
            try:
                frames = packet.decode()
            except FFmpegError:
                self.errors += 1
                continue
            for frame in frames:
                if isinstance(frame, VideoFrame):
                    yield frame


def _video_stream(container: InputContainer) -> VideoStream:
    """The first stream of moving pictures; the cover of an album is none."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise LookupError("it has no video")


def time_of(frame: VideoFrame) -> int | None:
    """A frame's time stamp in ticks; None where the film gives it none."""
    return frame.dts if frame.pts is None else frame.pts


@dataclass(frozen=True)
class View:
    """How frames are to be seen: `box` (x, y, width, height) in coded pixels, scaled to `width` x `height`."""

    box: tuple[int, int, int, int]
    width: int
    height: int
    rotation: int = 0
    interlaced: bool = False
    format: str = "yuv420p"

    @classmethod
    def to_fill(cls, film: FilmRow, width: int, height: int) -> View:
        """The largest part of the picture, from its middle, that has the shape of `width` x `height`."""
        x, y, wide, high = film.box
        pixel = Fraction(film.sample_aspect)
        aspect = Fraction(height, width) if film.rotation % 180 else Fraction(width, height)
        if wide * pixel > high * aspect:
            new = min(wide, round(high * aspect / pixel / 2) * 2)
            x, wide = x + (wide - new) // 4 * 2, new
        else:
            new = min(high, round(wide * pixel / aspect / 2) * 2)
            y, high = y + (high - new) // 4 * 2, new
        return cls((x, y, wide, high), width, height, film.rotation, film.interlaced)

    @classmethod
    def to_enlarge(cls, film: FilmRow, width: int, height: int) -> View | None:
        """The part of `to_fill` in as many square pixels as the film has, RGB; None where those fill the size."""
        view = cls.to_fill(film, width, height)
        _, _, wide, high = view.box
        pixel = Fraction(film.sample_aspect)
        shown = [wide * max(pixel, Fraction(1)), high / min(pixel, Fraction(1))]
        if film.rotation % 180:
            shown.reverse()
        own_width, own_height = round(shown[0]), round(shown[1])
        if own_width >= width and own_height >= height:
            return None
        return replace(view, width=own_width, height=own_height, format="rgb24")

    @classmethod
    def to_look_at(cls, film: FilmRow, width: int) -> View:
        """The whole picture, BGR, at most `width` pixels wide and never enlarged."""
        _, _, wide, high = film.box
        shown = [wide * Fraction(film.sample_aspect), Fraction(high)]
        if film.rotation % 180:
            shown.reverse()
        scale = min(Fraction(1), width / shown[0])
        small = [max(2, round(side * scale / 2) * 2) for side in shown]
        return cls(film.box, small[0], small[1], film.rotation, film.interlaced, LOOKED_AT)

    def of(self, numbered: Iterator[tuple[int, VideoFrame]], time_base: Fraction) -> Iterator[tuple[int, VideoFrame]]:
        """Views of numbered frames, with the same numbers; the filters hold a frame or two, never the film."""
        waiting: deque[int] = deque()
        graph: Graph | None = None
        for number, frame in numbered:
            graph = graph or self._graph(frame, time_base)
            waiting.append(number)
            graph.vpush(frame)
            yield from _pulled(graph, waiting)
        if graph is not None:
            graph.vpush(None)
            yield from _pulled(graph, waiting)

    def _graph(self, frame: VideoFrame, time_base: Fraction) -> Graph:
        """Filters for frames like `frame`. Colours without a name are BT.709 from 720 lines on, BT.601 below."""
        graph = Graph()
        graph.threads = 1
        x, y, wide, high = self.box
        nodes: list[FilterContext] = [
            graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=time_base)
        ]
        if self.interlaced:
            nodes.append(graph.add("bwdif", "mode=send_frame:deint=interlaced"))
        nodes.append(graph.add("crop", f"{wide}:{high}:{x}:{y}"))
        nodes += [graph.add("transpose", direction) for direction in _TRANSPOSE[self.rotation]]
        flags = SCALE_FLAGS + ("" if self.format == LOOKED_AT else EXACT_COLOURS)
        nodes.append(graph.add("scale", f"{self.width}:{self.height}:flags={flags}{_colours(frame)}"))
        nodes += [graph.add("format", self.format), graph.add("buffersink")]
        graph.link_nodes(*nodes).configure()
        return graph


def _colours(frame: VideoFrame) -> str:
    out = ":out_color_matrix=bt709:out_range=tv"
    if frame.format.is_rgb:
        return out
    full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
    known = "" if frame.colorspace != UNSPECIFIED else _usual_matrix(frame.height)
    return f"{known}:in_range={'pc' if full else 'tv'}{out}"


def _usual_matrix(height: int) -> str:
    return f":in_color_matrix={'bt709' if height >= HIGH_DEFINITION_HEIGHT else 'bt601'}"


def _pulled(graph: Graph, waiting: deque[int]) -> Iterator[tuple[int, VideoFrame]]:
    while True:
        try:
            frame = graph.vpull()
        except _NO_MORE:
            return
        yield waiting.popleft(), frame


def all_views(path: Path, film: FilmRow, view: View) -> Iterator[tuple[int, VideoFrame]]:
    """Every frame of a film as `view` shows it, with its number."""
    with Decoder(path) as decoder:
        numbered = enumerate(itertools.islice(decoder.frames(), film.frames))
        yield from view.of(numbered, Fraction(film.time_base))


def some_views(
    path: Path, film: FilmRow, view: View, ticks: np.ndarray, first: int, last: int
) -> Iterator[tuple[int, VideoFrame]]:
    """Frames `first` to `last`, both included, as `view` shows them, with their numbers.

    Goes near the first one by its time stamp (`ticks`, int64, one a frame); where that does not lead to it, or time
    stamps had to be mended, it decodes from the beginning.
    """
    time_base = Fraction(film.time_base)
    if not film.mended_times and not film.decode_errors and first > 0:
        numbered = _from_time(path, time_base, ticks, first, last)
        head = next(numbered, None)
        if head is not None and head[0] <= first:
            for number, frame in _wanted(view.of(itertools.chain([head], numbered), time_base), first, last):
                yield number, frame
                first = number + 1
    if first > last:
        return
    with Decoder(path) as decoder:
        start = max(0, first - 2)
        numbered = itertools.islice(enumerate(decoder.frames()), start, last + 3)
        yield from _wanted(view.of(numbered, time_base), first, last)


def _from_time(
    path: Path, time_base: Fraction, ticks: np.ndarray, first: int, last: int
) -> Iterator[tuple[int, VideoFrame]]:
    """Frames numbered by their time stamps, from a key frame before `first` to two frames after `last`."""
    with Decoder(path) as decoder:
        margin = int(SEEK_MARGIN_SECONDS / time_base)
        decoder.container.seek(max(int(ticks[0]), int(ticks[first]) - margin), stream=decoder.stream, backward=True)
        expected = None
        for frame in decoder.frames():
            tick = time_of(frame)
            number = -1 if tick is None else int(np.searchsorted(ticks, tick))
            if number < 0 or number >= len(ticks) or ticks[number] != tick or (expected or number) != number:
                return
            expected = number + 1
            if number > last + 2:
                return
            if number >= first - 2:
                yield number, frame


def _wanted(numbered: Iterator[tuple[int, VideoFrame]], first: int, last: int) -> Iterator[tuple[int, VideoFrame]]:
    for number, frame in numbered:
        if first <= number <= last:
            yield number, frame
