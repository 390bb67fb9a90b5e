"""Borders between shots, from a film's looks: cuts without flashes, fades through a blank screen, dissolves.

A flash is a change that is taken back at once: the picture after it is the picture before it. A blank screen has one
colour all over. In a dissolve every frame is nearly a blend of the shot before and the shot after, with a share that
only grows; a camera that moves makes no blends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

BLOCK_FRAMES = 4096
"""A film is worked through in blocks of so many frames, lest a long one fill the memory."""
Kind = Literal["start", "cut", "fade", "dissolve", "edit"]


@dataclass(frozen=True)
class BorderConfig:
    """Thresholds of the borders. Differences are means of 255 over thumbnails of 16 x 9.

    adaptive_threshold, least_change: of PySceneDetect's AdaptiveDetector.
    cut_change: the difference of the frames before and after a cut, at least.
    flash_seconds: a change that is taken back within this time is a flash.
    flash_share: how much of the change may be left for it to be taken back.
    blank_deviation: standard deviation over a blank screen, at most.
    blank_seconds: a blank screen of this length parts shots even if the same picture comes back.
    ramp_seconds: how long a fade to or from a blank screen may be.
    dissolve_seconds: half-lengths of the windows in which dissolves are looked for.
    dissolve_change: the difference of two shots that dissolve, at least.
    dissolve_residual: what a blend may leave of that difference, root mean square.
    """

    adaptive_threshold: float = 3.0
    least_change: float = 15.0
    cut_change: float = 10.0
    flash_seconds: float = 0.3
    flash_share: float = 0.35
    blank_deviation: float = 3.0
    blank_seconds: float = 0.3
    ramp_seconds: float = 2.0
    dissolve_seconds: tuple[float, ...] = (0.35, 0.5, 0.7, 1.0)
    dissolve_change: float = 12.0
    dissolve_residual: float = 0.35


@dataclass(frozen=True)
class Border:
    """Frames `start` to `stop` (excluded) are neither shot's; a cut has none, its `start` begins the new shot."""

    start: int
    stop: int
    kind: Kind


def find_borders(
    thumbs: np.ndarray,
    candidates: list[int],
    rate: float,
    config: BorderConfig,
    gradual: Sequence[tuple[int, int]] | None = None,
) -> list[Border]:
    """All borders of a film in order, none overlapping; `thumbs` uint8 `[N, 9, 16, 3]`, `rate` in frames a second.

    `gradual` are (start, stop) of the dissolves where another detector knows them.
    """
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    fades = find_fades(flat, rate, config)
    cuts = [Border(cut, cut, "cut") for cut in real_cuts(flat, candidates, rate, config)]
    taken = fades + [cut for cut in cuts if not any(_touches(cut, own) for own in fades)]
    blends = find_dissolves(flat, rate, config) if gradual is None else [Border(*own, "dissolve") for own in gradual]
    dissolves = [own for own in blends if not any(_touches(own, one) for one in taken)]
    return sorted(taken + dissolves, key=lambda own: own.start)


def _touches(a: Border, b: Border) -> bool:
    return a.start <= b.stop and b.start <= a.stop


def real_cuts(flat: np.ndarray, candidates: list[int], rate: float, config: BorderConfig) -> list[int]:
    """Candidates that stay: not those of a change that is taken back, nor its taking back, nor of a small change.

    The detector counts hues, and those of nearly grey pixels jump with no change that one could see.

    `flat` float32 `[N, values]`, a thumbnail a frame.
    """
    most = max(1, round(config.flash_seconds * rate))
    cuts: list[int] = []
    until = 0
    for cut in candidates:
        if cut < until or float(np.abs(flat[cut] - flat[cut - 1]).mean()) < config.cut_change:
            continue
        back = _return(flat[cut - 1], flat[cut : cut + most + 1], config.flash_share)
        if back is not None:
            until = cut + back + 1
        elif _return(flat[cut], flat[max(0, cut - 1 - most) : cut][::-1], config.flash_share) is None:
            cuts.append(cut)
    return cuts


def _return(picture: np.ndarray, following: np.ndarray, share: float) -> int | None:
    """How many frames after a change the picture is there again; None where it stays away."""
    change = np.abs(following - picture).mean(axis=1)
    back = np.flatnonzero(change < share * change.max())
    # Only a return counts: the change must come first.
    back = back[back > int(change.argmax())]
    return int(back[0]) if len(back) else None


def find_fades(flat: np.ndarray, rate: float, config: BorderConfig) -> list[Border]:
    """Blank screens with the ramps that lead to and from them. One at either end of the film counts too."""
    deviation = np.concatenate([_deviation(flat[at : at + BLOCK_FRAMES]) for at in range(0, len(flat), BLOCK_FRAMES)])
    fades = []
    for start, stop in runs(deviation < config.blank_deviation):
        most = round(config.ramp_seconds * rate)
        first, last = _ramp(deviation, start, -1, most), _ramp(deviation, stop - 1, 1, most) + 1
        # What goes slowly to a blank screen and back is meant; a flash jumps.
        sudden = start > 0 and stop < len(flat) and max(start - first, last - stop) < 3
        if sudden and stop - start < config.blank_seconds * rate and _returns(flat, start, stop, config):
            continue
        if fades and first <= fades[-1].stop:
            first = fades.pop().start
        fades.append(Border(first, last, "fade"))
    return fades


def _deviation(flat: np.ndarray) -> np.ndarray:
    """Standard deviation over the screen of each frame, in the channel where it is largest."""
    return flat.reshape(len(flat), -1, 3).std(axis=1).max(axis=1)


def _returns(flat: np.ndarray, start: int, stop: int, config: BorderConfig) -> bool:
    """Whether the picture after a blank screen is that before it."""
    before = flat[start - 1]
    change = np.abs(flat[start] - before).mean()
    return float(np.abs(flat[stop] - before).mean()) < config.flash_share * float(change)


def _ramp(deviation: np.ndarray, frame: int, direction: int, most: int) -> int:
    """The outermost frame, going from a blank one, up to which contrast rises without a jump."""
    reach = deviation[frame : frame + most + 1] if direction > 0 else deviation[max(0, frame - most) : frame + 1]
    highest = float(reach.max())
    for _ in range(most):
        following = frame + direction
        if not 0 <= following < len(deviation):
            break
        rise = deviation[following] - deviation[frame]
        # Half of the contrast in one step is a cut to or from the blank screen, no ramp.
        if rise < 0.015 * deviation[frame] + 0.05 or rise > highest / 2:
            break
        frame = following
    return frame


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """(start, stop) of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def find_dissolves(flat: np.ndarray, rate: float, config: BorderConfig) -> list[Border]:
    """Spans in which one picture becomes another by blending, each by the window that fits it best."""
    found: list[tuple[float, Border]] = []
    for seconds in config.dissolve_seconds:
        half = max(2, round(seconds * rate))
        if len(flat) < 2 * half + 1:
            continue
        for start in _blended(flat, half, config):
            residual, span = _blend(flat[start : start + 2 * half + 1])
            if residual < config.dissolve_residual and span is not None:
                found.append((residual, Border(start + span[0], start + span[1], "dissolve")))
    chosen: list[Border] = []
    for _, own in sorted(found, key=lambda pair: (pair[0], pair[1].start)):
        if not any(_touches(own, one) for one in chosen):
            chosen.append(own)
    return sorted(chosen, key=lambda own: own.start)


def _blended(flat: np.ndarray, half: int, config: BorderConfig) -> Iterator[int]:
    """Starts of windows of 2 `half` + 1 frames whose ends differ and whose middle is about a blend of them."""
    for at in range(0, len(flat) - 2 * half, BLOCK_FRAMES):
        block = flat[at : at + BLOCK_FRAMES + 2 * half]
        before, after, middle = block[: -2 * half], block[2 * half :], block[half:-half]
        change = np.abs(after - before).mean(axis=1)
        rms = np.sqrt(np.square(after - before).mean(axis=1)) + 1e-6
        left = np.sqrt(np.square(middle - (before + after) / 2).mean(axis=1)) / rms
        for start in np.flatnonzero((change > config.dissolve_change) & (left < config.dissolve_residual)):
            yield at + int(start)


def _blend(window: np.ndarray) -> tuple[float, tuple[int, int] | None]:
    """(largest residual, frames of the blend) of a window as a blend of its ends; None where the share jumps or falls,
    or the ends are alike but for their light."""
    first, last = window[0], window[-1]
    way = last - first
    share = (window - first) @ way / (way @ way)
    rest = window - first - share[:, None] * way
    residual = float(np.sqrt(np.square(rest).mean(axis=1)).max() / np.sqrt(np.square(way).mean()))
    steps = np.diff(share)
    if steps.min() < -0.06 or steps.max() > 0.45 or _alike(first, last):
        return residual, None
    mixed = np.flatnonzero((share > 0.04) & (share < 0.96))
    # Three frames at least: fewer are a cut with a blended frame of a converted frame rate. And the shots must be seen
    # before and after: what changes all the time is a camera that moves.
    if len(mixed) < 3 or mixed[0] < 3 or mixed[-1] > len(window) - 4 or mixed[-1] - mixed[0] + 1 != len(mixed):
        return residual, None
    return residual, (int(mixed[0]), int(mixed[-1]) + 1)


def _alike(first: np.ndarray, last: np.ndarray) -> bool:
    a, b = first - first.mean(), last - last.mean()
    return float(a @ b) > 0.85 * float(np.sqrt((a @ a) * (b @ b)) + 1e-6)
