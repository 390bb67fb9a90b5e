"""A segment as a video file of its own, copied out of its take without being encoded again."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.container import OutputContainer

from storyreel.data.files import whole
from storyreel.data.segments import SegmentRow
from storyreel.geometry import FRAMES_PER_SECOND


def copy_clip(segments: Path, row: SegmentRow, path: Path) -> None:
    """Writes the segment's frames to `path`; it begins with a key frame, as every segment of a take does."""
    last = row.first_frame + row.frames - 1
    with av.open(str(segments / row.take)) as source, whole(path) as part:
        stream = source.streams.video[0]
        tick = stream.time_base or Fraction(1, FRAMES_PER_SECOND)
        start = round(Fraction(row.first_frame, FRAMES_PER_SECOND) / tick)
        source.seek(start, stream=stream)
        with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as opened:
            target = cast(OutputContainer, opened)
            copy: Any = target.add_stream_from_template(stream)
            for packet in source.demux(stream):
                if packet.pts is None or packet.dts is None:
                    continue
                number = round(packet.pts * tick * FRAMES_PER_SECOND)
                if number > last and packet.is_keyframe:
                    break
                if row.first_frame <= number <= last:
                    packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, copy
                    target.mux(packet)
