"""Step 1, `probe`: what each film is, by decoding every frame of it; what cannot be used is refused with the reason.

PROBE/rows.jsonl        a FilmRow a film
PROBE/times/ID.npy      int64 [frames + 1]: time stamp of each frame in ticks, and the end of the film
PROBE/seen.json         size and time of each file when it was hashed, so that hashing is not repeated
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame

from storyreel.data.decode import Decoder, time_of
from storyreel.data.files import whole, write_whole
from storyreel.data.film import TIMES, FilmRow
from storyreel.data.fingerprint import canonical, hash_of, hash_of_file
from storyreel.data.letterbox import BarMeter
from storyreel.data.manifest import ID_DIGITS, Account, Dropped, Manifest
from storyreel.data.step import Each, Job, OnItem, Outcome, Step, nobody, run_step
from storyreel.errors import DataError
from storyreel.wording import counted

SEEN = "seen.json"
NOT_FILMS = (
    *(".ass", ".csv", ".edl", ".gz", ".html", ".idx", ".json", ".jsonl", ".log", ".md", ".nfo", ".npy", ".otio"),
    *(".part", ".pdf", ".py", ".srt", ".sub", ".toml", ".tsv", ".txt", ".vtt", ".xml", ".yaml", ".yml", ".zip"),
    *(".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"),
)
"""Files of these endings lie beside films and are not counted as films."""
UNEVEN = Fraction(1, 10)
"""A frame that lasts this share longer or shorter than usual makes the rate variable, if 1% of all frames do."""


@dataclass(frozen=True)
class ProbeConfig:
    """How films are probed. Bars are measured on a frame each `sample_seconds`."""

    sample_seconds: float = 0.5
    measure_bars: bool = True


def run(
    films: Path,
    output: Path,
    config: ProbeConfig,
    *,
    workers: int | None = None,
    run_each: Each | None = None,
    on_item: OnItem = nobody,
) -> Manifest:
    """Probes every film under a folder (or one file) into the step's folder. DataError where there is no film.

    Rows are `FilmRow`s; refused films are in dropped.jsonl, of unit "film".
    """
    root, paths = find_films(films)
    jobs = [
        Job(digest[:ID_DIGITS], {"film": digest, "names": hash_of(names)}, _Payload(str(root), tuple(names), digest))
        for digest, names in sorted(_hashed(root, paths, output).items())
    ]
    return run_step(STEP, jobs, output, config, source=str(root), workers=workers, run_each=run_each, on_item=on_item)


def find_films(films: Path) -> tuple[Path, list[Path]]:
    """(folder, films in it), by name; DataError where there are none."""
    if not films.exists():
        raise DataError(f"there is no {films}. Give a folder of films, or one film.")
    if films.is_file():
        return films.resolve().parent, [films.resolve()]
    root = films.resolve()
    found = sorted(
        path
        for path in root.rglob("*")
        if path.is_file() and path.suffix.lower() not in NOT_FILMS and not path.name.startswith(".")
    )
    if not found:
        raise DataError(f"{films} holds no film. Give a folder with video files.")
    return root, found


def _hashed(root: Path, paths: Sequence[Path], output: Path) -> dict[str, list[str]]:
    """Names of the films by SHA-256, several for copies. A file of the same size and time is not read again."""
    cache = output / SEEN
    try:
        seen = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        seen = {}
    now: dict[str, list[object]] = {}
    names: dict[str, list[str]] = {}
    for path in paths:
        facts = path.stat()
        stamp = [facts.st_size, facts.st_mtime_ns]
        known = seen.get(str(path))
        digest = known[2] if known and known[:2] == stamp else hash_of_file(path)
        now[str(path)] = [*stamp, digest]
        names.setdefault(digest, []).append(path.relative_to(root).as_posix())
    write_whole(cache, canonical(now) + "\n")
    return names


@dataclass(frozen=True)
class _Payload:
    root: str
    names: tuple[str, ...]
    digest: str


class Refused(Exception):
    """A film that cannot be used: a short reason and a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def _work(payload: _Payload, config: ProbeConfig, output: Path) -> Outcome:
    first, *copies = payload.names
    film = payload.digest[:ID_DIGITS]
    outcome = Outcome()
    for name in copies:
        outcome.dropped.append(Dropped(id=film, unit="film", reason="copy", detail=f"{name} is a copy of {first}"))
    try:
        row, ticks = probe_film(Path(payload.root), first, payload.digest, config)
    except Refused as refused:
        detail = f"{first}: {refused.detail}"
        outcome.dropped.append(Dropped(id=film, unit="film", reason=refused.reason, detail=detail))
    else:
        times = f"{TIMES}/{film}.npy"
        with whole(output / times) as part, part.open("wb") as file:
            np.save(file, ticks, allow_pickle=False)
        outcome.rows.append(row.model_dump(mode="json"))
        outcome.artefacts.append(times)
    kept, seen = len(outcome.rows), len(payload.names)
    outcome.accounts.append(Account(unit="film", seen=seen, kept=kept, dropped=seen - kept))
    return outcome


def probe_film(root: Path, name: str, digest: str, config: ProbeConfig) -> tuple[FilmRow, np.ndarray]:
    """The row of a film and its ticks, int64 `[frames + 1]`; Refused with the reason where it cannot be used."""
    path = root / name
    size = path.stat().st_size
    if not size:
        raise Refused("empty", "the file is empty")
    try:
        decoder = Decoder(path)
    except LookupError:
        raise Refused("no video", "it has no video, only sound or subtitles") from None
    except (FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Refused("unreadable", f"FFmpeg cannot read it: {reason}; it is damaged or no film") from error
    with decoder:
        survey = _survey(decoder, config)
        stream, container = decoder.stream, decoder.container
        time_base = stream.time_base or Fraction(1, 1000)
        rate = stream.average_rate or stream.guessed_rate
        ticks, mended = frame_ticks(survey.stamps, survey.last_duration, time_base, rate)
        seconds = int(ticks[-1] - ticks[0]) * time_base
        row = FilmRow(
            id=digest[:ID_DIGITS],
            path=name,
            sha256=digest,
            bytes=size,
            container=container.format.name,
            codec=stream.codec_context.name,
            pix_fmt=survey.pix_fmt,
            width=survey.width,
            height=survey.height,
            sample_aspect=str(stream.sample_aspect_ratio or Fraction(1)),
            rotation=survey.rotation,
            interlaced=survey.interlaced,
            box=survey.box,
            time_base=str(time_base),
            frames=len(survey.stamps),
            seconds=str(seconds),
            rate=str(_rate(len(survey.stamps), seconds, time_base, rate)),
            variable_rate=_is_uneven(ticks),
            mended_times=mended,
            decode_errors=decoder.errors,
            audio_streams=len(container.streams.audio),
            notes=_notes(len(survey.stamps), stream.frames, decoder.errors, mended),
        )
    return row, ticks


@dataclass(frozen=True)
class _Survey:
    width: int
    height: int
    pix_fmt: str
    rotation: int
    interlaced: bool
    box: tuple[int, int, int, int]
    stamps: list[int | None]
    last_duration: int


def _survey(decoder: Decoder, config: ProbeConfig) -> _Survey:
    """What all frames together say."""
    stamps: list[int | None] = []
    first: VideoFrame | None = None
    interlaced, last_duration = 0, 0
    meter, next_sample = None, 0.0
    for frame in decoder.frames():
        if first is None:
            first = frame
            meter = BarMeter(frame.height, frame.width)
        if (frame.width, frame.height) != (first.width, first.height):
            sizes = f"{first.width}x{first.height} to {frame.width}x{frame.height}"
            raise Refused("size changes", f"its picture changes from {sizes} at frame {len(stamps)}")
        if meter and config.measure_bars and (frame.time or len(stamps) / 25) >= next_sample:
            meter.look(frame.to_ndarray(format="rgb24"))
            next_sample = (frame.time or len(stamps) / 25) + config.sample_seconds
        interlaced += frame.interlaced_frame
        last_duration = frame.duration or 0
        stamps.append(time_of(frame))
    if first is None or meter is None:
        raise Refused("no frames", f"no frame can be decoded ({counted(decoder.errors, 'error')}); it is damaged")
    if decoder.errors > len(stamps):
        raise Refused("damaged", f"{counted(decoder.errors, 'error')}, and only {len(stamps)} frames can be decoded")
    whole_frame = (0, 0, first.width // 2 * 2, first.height // 2 * 2)
    return _Survey(
        first.width,
        first.height,
        first.format.name,
        first.rotation % 360 // 90 * 90,
        2 * interlaced > len(stamps),
        meter.box() if config.measure_bars else whole_frame,
        stamps,
        last_duration,
    )


def frame_ticks(
    stamps: Sequence[int | None], last_duration: int, time_base: Fraction, rate: Fraction | None
) -> tuple[np.ndarray, int]:
    """(ticks `[frames + 1]`, how many were mended): time stamps that rise strictly, the last one the film's end.

    A stamp that is missing, or not after the one before, becomes that one plus the usual duration: the median of the
    film's steps, or 1 / `rate` (25 a second where even that is unknown) where stamps are too few to have one.
    """
    pairs = itertools.pairwise(stamps)
    rising = [late - early for early, late in pairs if early is not None and late is not None and late > early]
    usual = int(np.median(rising)) if rising else round(1 / (rate or 25) / time_base)
    usual = max(1, usual)
    ticks, mended = [], 0
    for stamp in stamps:
        if stamp is None or (ticks and stamp <= ticks[-1]):
            stamp = ticks[-1] + usual if ticks else 0
            mended += 1
        ticks.append(stamp)
    ticks.append(ticks[-1] + (last_duration if last_duration > 0 else usual))
    return np.array(ticks, np.int64), mended


def _rate(frames: int, seconds: Fraction, time_base: Fraction, named: Fraction | None) -> Fraction:
    """Frames a second as measured; what the container names where that fits to 0.1%, or to two ticks."""
    if named and abs(seconds - frames / named) <= max(2 * time_base, seconds / 1000):
        return named
    return (frames / seconds).limit_denominator(100_000)


def _is_uneven(ticks: np.ndarray) -> bool:
    steps = np.diff(ticks)
    usual = float(np.median(steps))
    # Containers that count milliseconds round each step.
    return float(np.mean(np.abs(steps - usual) > max(1.0, usual * float(UNEVEN)))) > 0.01


def _notes(frames: int, named: int, errors: int, mended: int) -> tuple[str, ...]:
    notes = []
    if named > frames:
        notes.append(f"{frames} of the {named} frames that the file names can be decoded")
    if errors:
        notes.append(f"{counted(errors, 'packet')} cannot be decoded")
    if mended:
        notes.append(f"{counted(mended, 'time stamp')} mended")
    return tuple(notes)


STEP = Step("probe", 1, "film", (TIMES,), ("av", "numpy"), _work)
