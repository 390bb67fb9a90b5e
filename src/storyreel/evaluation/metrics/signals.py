"""Numbers of each frame that the metrics of picture and motion are made of, computed while the frames go by.

Only two small frames and one whole one are kept, so a video of any length takes the same memory, but for some
numbers a frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

SMALL_WIDTH = 96
"""Motion and static regions are looked at in frames of this width."""
BLOCK = 8
REACH = 4
"""How many pixels a frame, at SMALL_WIDTH, a block may move: at 16 frames a second two thirds of the width a second."""
CHANGE_BLOCK = 16
TEXTURE = 4.0
"""Standard deviation of a block's brightness, of 255, above which its pattern would show a motion."""


@dataclass(frozen=True)
class Signals:
    """Arrays float64 `[N]`, one number a frame; those that compare frame k with k - 1 are NaN at 0.

    change: mean absolute difference to the frame before, all channels, of 255. most_change: that of the block of
    16 x 16 pixels that changed most. brightness, sharpness: mean, and standard deviation of the Laplacian, of the
    grey picture. still_change: mean absolute change of brightness of textured blocks whose pattern stayed where it
    was; still_share: how many of the blocks they are. residual: what no motion at constant speed through frames
    k - 1, k, k + 1 explains, of 255 (NaN at both ends); motion: pixels a frame, in percent of the width.
    """

    change: np.ndarray
    most_change: np.ndarray
    brightness: np.ndarray
    sharpness: np.ndarray
    still_change: np.ndarray
    still_share: np.ndarray
    residual: np.ndarray
    motion: np.ndarray


class SignalMeter:
    """Takes the frames of a video in order."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, ...]] = []
        self._through: list[tuple[float, float]] = []
        self._before: np.ndarray | None = None
        self._small: list[np.ndarray] = []

    def add(self, frame: np.ndarray) -> None:
        """The next frame, uint8 `[H, W, 3]` RGB."""
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        small = small_of(grey)
        change = most = still_change = still_share = np.nan
        if self._before is not None:
            difference = cv2.absdiff(frame, self._before)
            change = float(np.mean(cv2.mean(difference)[:3]))
            most = _most(difference)
            still_change, still_share = still_regions(self._small[-1], small)
        sharpness = float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_32F))[1][0, 0])
        self._rows.append((change, most, float(cv2.mean(grey)[0]), sharpness, still_change, still_share))
        self._before = frame
        self._small = [*self._small[-2:], small]
        if len(self._small) == 3:
            self._through.append(through_motion(*self._small))

    def signals(self) -> Signals:
        """Of the frames so far."""
        columns = np.array(self._rows, np.float64).reshape(-1, 6).T
        through = np.full((2, len(self._rows)), np.nan)
        if self._through:
            through[:, 1:-1] = np.array(self._through).T
        return Signals(*columns, *through)


def small_of(grey: np.ndarray) -> np.ndarray:
    """float32, SMALL_WIDTH wide, sides multiples of BLOCK."""
    height, width = grey.shape
    rows = max(2, round(SMALL_WIDTH * height / width / BLOCK)) * BLOCK
    return cv2.resize(grey, (SMALL_WIDTH, rows), interpolation=cv2.INTER_AREA).astype(np.float32)


def _most(difference: np.ndarray) -> float:
    height, width = difference.shape[:2]
    blocks = cv2.resize(
        difference.astype(np.float32),
        (max(1, width // CHANGE_BLOCK), max(1, height // CHANGE_BLOCK)),
        interpolation=cv2.INTER_AREA,
    )
    return float(blocks.mean(axis=2).max())


def _blocks(picture: np.ndarray) -> np.ndarray:
    """`[rows, columns, BLOCK * BLOCK]` of a picture `[H, W]`."""
    rows, columns = picture.shape[0] // BLOCK, picture.shape[1] // BLOCK
    return picture.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(rows, columns, -1)


def still_regions(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """(mean absolute change of brightness of the still blocks, NaN without one; their share) of two small frames.

    A block is still when it has a pattern (standard deviation above TEXTURE) and its change is nearly the same all
    over it: a pattern that moves changes here up and there down.
    """
    own, change = _blocks(before), _blocks(after - before)
    texture = own.std(axis=2)
    still = (texture > TEXTURE) & (change.std(axis=2) < 1 + 0.15 * texture)
    found = float(still.mean())
    return (float(np.abs(change.mean(axis=2))[still].mean()) if found else np.nan), found


def through_motion(before: np.ndarray, middle: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """(residual, motion) of three small frames.

    Each block of the middle one is compared with the mean of the blocks that lie as far behind in the frame before as
    ahead in the frame after, for every displacement up to REACH; the least difference is the residual, its displacement
    the motion.
    """
    height, width = middle.shape
    one, two = (cv2.copyMakeBorder(x, REACH, REACH, REACH, REACH, cv2.BORDER_REPLICATE) for x in (before, after))
    least = np.full((height // BLOCK, width // BLOCK), np.inf, np.float32)
    length = np.zeros_like(least)
    for down, across in DISPLACEMENTS:
        behind = one[REACH - down : REACH - down + height, REACH - across : REACH - across + width]
        ahead = two[REACH + down : REACH + down + height, REACH + across : REACH + across + width]
        error = cv2.absdiff(middle, cv2.addWeighted(behind, 0.5, ahead, 0.5, 0))
        own = cv2.resize(error, (least.shape[1], least.shape[0]), interpolation=cv2.INTER_AREA)
        # A tie goes to the shorter way, so that flat blocks do not seem to move.
        better = own < least - 1e-3
        least[better] = own[better]
        length[better] = np.hypot(down, across)
    return float(least.mean()), float(length.mean()) * 100 / width


DISPLACEMENTS = sorted(
    ((down, across) for down in range(-REACH, REACH + 1) for across in range(-REACH, REACH + 1)),
    key=lambda way: way[0] ** 2 + way[1] ** 2,
)
