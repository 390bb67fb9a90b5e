"""All formats by name, and a data set's segments in any of them."""

from __future__ import annotations

from pathlib import Path

from storyreel.data.caption_rows import read_captions
from storyreel.data.embeddings import Story
from storyreel.data.exchange import records, text_files, ttt_video
from storyreel.data.exchange.clip import Convention, PairedClip
from storyreel.data.manifest import read_manifest
from storyreel.data.segments import SegmentRow
from storyreel.data.step import OnItem, nobody
from storyreel.data.takes import take_frames, write_take
from storyreel.errors import ConfigError, DataError, refusal
from storyreel.geometry import FRAMES_PER_SECOND

EXPORT_CRF = 4
"""A clip is coded a second time, so that others can read it from its first frame to its last; little may be lost."""

CONVENTIONS: dict[str, Convention] = {
    own.name: own
    for own in (
        text_files.FINETRAINERS,
        text_files.PAIRS,
        records.MUSUBI,
        records.LTX,
        records.FASTVIDEO,
        records.OPENSORA,
        records.HUGGING_FACE,
        ttt_video.TTT_VIDEO,
    )
}


def convention(name: str) -> Convention:
    """ConfigError for a name that is none of them."""
    if name not in CONVENTIONS:
        raise ConfigError(refusal("format", name, f"there are {', '.join(CONVENTIONS)}", "Name one of them"))
    return CONVENTIONS[name]


def export(captions: Path, folder: Path, name: str, *, on_item: OnItem = nobody) -> list[PairedClip]:
    """Writes each captioned segment as FOLDER/videos/ID.mp4 (49 frames), and the texts as the format has them.

    `captions` is the folder of that step. Clips that are there already stay. DataError where there is no caption.
    """
    own = convention(name)
    segments, texts = read_captions(captions)
    story = Story.read(segments, texts)
    settings = read_manifest(segments, "segments").config
    rows = [row for row in story.rows if row.id in texts]
    if not rows:
        raise DataError(f"{captions} has no text of any segment. Write captions first.")
    clips = []
    on_item(0, len(rows))
    for number, row in enumerate(rows, start=1):
        clip = PairedClip(
            video=f"videos/{row.id}.mp4",
            text=texts[row.id],
            frames=row.frames,
            fps=float(FRAMES_PER_SECOND),
            height=settings["height"],
            width=settings["width"],
            starts=story.marks[row.id].starts,
            ends=story.marks[row.id].ends,
        )
        if not (folder / clip.video).is_file():
            _write_clip(segments, row, folder / clip.video, settings)
        clips.append(clip)
        on_item(number, len(rows))
    own.write(folder, clips)
    return clips


def _write_clip(segments: Path, row: SegmentRow, path: Path, settings: dict[str, int]) -> None:
    views = enumerate(take_frames(segments / row.take, row.first_frame, row.first_frame + row.frames - 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    if write_take(path, views, range(row.frames), settings["width"], settings["height"], EXPORT_CRF) < row.frames:
        raise DataError(f"{segments / row.take} cannot be decoded to its end. Run storyreel data segments again.")
