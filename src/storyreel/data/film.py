"""What is known of a film: its row in the manifest of `probe`, and the time of every frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from storyreel.data.fingerprint import hash_of
from storyreel.data.manifest import Row
from storyreel.errors import DataError

TIMES = "times"


class FilmRow(Row):
    """A film that can be read. `id` is the beginning of its SHA-256; sizes are coded pixels, before rotation.

    `rotation` is counter-clockwise, 0, 90, 180 or 270 degrees; `box` is (x, y, width, height) of the picture without
    black bars; `rate` is frames a second, measured over the whole film. Fractions are text, "24000/1001".
    """

    path: str
    sha256: str
    bytes: int
    container: str
    codec: str
    pix_fmt: str
    width: int
    height: int
    sample_aspect: str
    rotation: int
    interlaced: bool
    box: tuple[int, int, int, int]
    time_base: str
    frames: int
    seconds: str
    rate: str
    variable_rate: bool
    mended_times: int
    decode_errors: int
    audio_streams: int
    notes: tuple[str, ...]

    @property
    def content(self) -> str:
        """Hash of everything but the name: what depends on a film goes on when the file is moved."""
        return hash_of(self.model_dump(mode="json", exclude={"path"}))


def existing(root: str, film: FilmRow) -> Path:
    """The file of a film in the folder of films; DataError where it is gone or of another size than when probed."""
    path = Path(root) / film.path
    if not path.is_file() or path.stat().st_size != film.bytes:
        raise DataError(f"{path} is gone or has changed since it was probed. Run storyreel data probe again.")
    return path


class FrameTimes:
    """When each decoded frame is shown. `ticks` int64 `[frames + 1]` rise strictly; the last one ends the film.

    Seconds are exact fractions, counted from the first frame.
    """

    def __init__(self, ticks: np.ndarray, time_base: Fraction) -> None:
        self.ticks, self.time_base = ticks, time_base

    @classmethod
    def load(cls, folder: Path, film: FilmRow) -> FrameTimes:
        """Reads the times that `probe` left in its folder; DataError where they are not those of the film."""
        path = folder / TIMES / f"{film.id}.npy"
        try:
            ticks = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read: {error}. Run storyreel data probe again.") from error
        if ticks.shape != (film.frames + 1,):
            raise DataError(f"{path} is not of {film.path}. Run storyreel data probe again.")
        return cls(ticks, Fraction(film.time_base))

    @property
    def frames(self) -> int:
        return len(self.ticks) - 1

    def seconds(self, frame: int) -> Fraction:
        """When a frame begins; `frames` stands for the end of the film."""
        return int(self.ticks[frame] - self.ticks[0]) * self.time_base

    def frame_at(self, seconds: Fraction) -> int:
        """The frame that is shown at a time: the last one that has begun by then."""
        tick = int(self.ticks[0]) + seconds / self.time_base
        return min(max(int(np.searchsorted(self.ticks, int(tick // 1), side="right")) - 1, 0), self.frames - 1)
