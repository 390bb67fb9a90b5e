"""What the annotation page shows and keeps: segments in order, drafts, and what people wrote."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from storyreel.data.caption_texts import EDITED, GivenText, check_ids, read_edited, to_vtt, write_edited
from storyreel.data.captions import CaptionRow
from storyreel.data.film import FilmRow
from storyreel.data.film_sheet import clock
from storyreel.data.manifest import MANIFEST, read_manifest, read_rows
from storyreel.data.segments import SegmentRow
from storyreel.data.shots import ShotRow

PERSON = "person"


@dataclass(frozen=True)
class Place:
    """A segment in its film: the number of its scene, the time of its beginning, its neighbours on the page."""

    row: SegmentRow
    film: str
    scene: int
    time: str
    before: str | None
    after: str | None


class Desk:
    """Segments of the step `segments`, with drafts of `captions` (a folder that need not be there); thread-safe.

    `by` is who writes, "" for nobody's name.
    """

    def __init__(self, segments: Path, captions: Path, by: str = "") -> None:
        manifest = read_manifest(segments, "segments")
        scenes = (segments / manifest.source).resolve()
        probed = (scenes / read_manifest(scenes, "scenes").source).resolve()
        films = {film.id: film.path for film in read_rows(probed, FilmRow)}
        numbers = {shot.id: shot.scene for shot in read_rows(scenes, ShotRow)}
        self.segments, self.captions, self.by = segments, captions, by
        rows = sorted(read_rows(segments, SegmentRow), key=lambda row: (films[row.film], Fraction(row.start_seconds)))
        names = [None, *(row.id for row in rows), None]
        self.places = {
            row.id: Place(
                row, films[row.film], numbers[row.shot], clock(Fraction(row.start_seconds)), names[i], names[i + 2]
            )
            for i, row in enumerate(rows)
        }
        self.drafts = _drafts(captions)
        self._lock = threading.Lock()
        self._edited = read_edited(captions)
        check_ids(self._edited, self.places, str(captions / EDITED))

    @property
    def films(self) -> dict[str, list[Place]]:
        """Places by film id, in order."""
        found: dict[str, list[Place]] = {}
        for place in self.places.values():
            found.setdefault(place.row.film, []).append(place)
        return found

    def edited(self, segment: str) -> GivenText | None:
        """What a person wrote for a segment."""
        with self._lock:
            return self._edited.get(segment)

    def text(self, segment: str) -> GivenText | None:
        """What a person wrote, else the draft."""
        return self.edited(segment) or self.drafts.get(segment)

    def written(self) -> int:
        """How many segments have a person's text."""
        with self._lock:
            return len(self._edited)

    def write(self, segment: str, text: str, accepted: bool = False) -> GivenText | None:
        """Keeps a person's text on the disk; no text, or the draft's unless it is `accepted`, takes it back."""
        line = " ".join(text.split())
        draft = self.drafts.get(segment)
        same = draft is not None and line == draft.text
        how = f", {'accepted' if same else 'from'} {draft.provenance}" if draft else ""
        with self._lock:
            if not line or (same and not accepted):
                self._edited.pop(segment, None)
                (self.captions / EDITED / f"{segment}.json").unlink(missing_ok=True)
                return None
            return self._keep(segment, GivenText(line, self._who + how))

    def take_in(self, texts: Mapping[str, GivenText]) -> int:
        """Keeps the texts of a file that are not those shown as people's; how many. DataError for unknown segments.

        A file's provenance stays where it says that a person wrote; a model's does not hold for a text that differs.
        """
        check_ids(texts, self.places, "the file")
        with self._lock:
            new = {own: given for own, given in texts.items() if given.text and self._shown(own) != given.text}
            for segment, given in new.items():
                whose = given.provenance if given.provenance.startswith(PERSON) else f"{self._who}, by file"
                self._keep(segment, GivenText(given.text, whose))
        return len(new)

    def vtt(self, film: str) -> str:
        """A film's texts as WebVTT, people's before drafts."""
        places = self.films[film]
        texts = {place.row.id: self.text(place.row.id) for place in places}
        return to_vtt([place.row for place in places], {own: given for own, given in texts.items() if given})

    @property
    def _who(self) -> str:
        return f"{PERSON}: {self.by}" if self.by else PERSON

    def _shown(self, segment: str) -> str:
        shown = self._edited.get(segment) or self.drafts.get(segment)
        return shown.text if shown else ""

    def _keep(self, segment: str, given: GivenText) -> GivenText:
        write_edited(self.captions, segment, given)
        self._edited[segment] = given
        return given


def _drafts(captions: Path) -> dict[str, GivenText]:
    """Texts of a finished step `captions` that no person wrote; none where it has not run."""
    if not (captions / MANIFEST).exists():
        return {}
    read_manifest(captions, "captions")
    rows: Sequence[CaptionRow] = read_rows(captions, CaptionRow)
    return {row.id: GivenText(row.text, row.provenance) for row in rows if not row.provenance.startswith(PERSON)}
