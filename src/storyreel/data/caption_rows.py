"""What a caption is to the steps that come after: rows of the step `captions`, joined by segment id.

CAPTIONS/rows.jsonl      a CaptionRow for each captioned segment; the manifest's source is the step `segments`
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from storyreel.data.manifest import Row, read_manifest, read_rows


class CaptionRow(Row):
    """The paragraph of a segment (`id` is the segment's). `provenance` says who or what wrote it; more may follow."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str
    provenance: Any = None


def read_captions(folder: Path) -> tuple[Path, dict[str, str]]:
    """(the folder of the step `segments`, text by segment id) of a finished step `captions`; blank texts are left out.

    DataError where the step is not finished.
    """
    manifest = read_manifest(folder, "captions")
    rows = read_rows(folder, CaptionRow)
    return (folder / manifest.source).resolve(), {row.id: row.text.strip() for row in rows if row.text.strip()}
