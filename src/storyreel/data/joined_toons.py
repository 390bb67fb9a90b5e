"""Films joined from drawn cartoons, with borders known to the frame, and how well borders are found in them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from storyreel.data.transitions import Border
from storyreel.toons.grammar import make_story
from storyreel.toons.renderer import StoryRenderer

SLACK_FRAMES = 2
"""A gradual border is found where one reported, with so many frames added at both ends, overlaps it."""


@dataclass(frozen=True)
class JoinedFilm:
    """`frames` uint8 `[N, H, W, 3]` RGB, its true borders, and the first frame of each flash."""

    frames: np.ndarray
    borders: tuple[Border, ...]
    flashes: tuple[int, ...]


def joined_film(
    seed: int, shots: int, height: int, width: int, *, joins: Sequence[str] = ("cut",), flash_share: float = 0.0
) -> JoinedFilm:
    """So many shots of 40 to 49 frames, each of a story of its own, joined at random by `joins`.

    `joins` are "cut", "dissolve" (6 to 14 frames) and "fade" (6 to 12 frames out, 2 to 6 black, as many in);
    `flash_share` of the shots have a flash of 1 to 3 frames, white or a negative, in their middle.
    """
    chance = random.Random(f"joined {seed}")
    frames: list[np.ndarray] = []
    borders: list[Border] = []
    flashes: list[int] = []
    for number in range(shots):
        clip = _clip(seed * 10_000 + number, chance.randint(40, 49), height, width)
        kind = chance.choice(joins)
        if frames:
            start = len(frames)
            if kind == "dissolve":
                length = chance.randint(6, 14)
                late, clip = clip[:length], clip[length:]
                early = frames[-length:]
                del frames[-length:]
                start = len(frames)
                frames += _mixed(early, late, [(i + 1) / (length + 1) for i in range(length)])
                borders.append(Border(start, start + length, "dissolve"))
            elif kind == "fade":
                ramp, black = chance.randint(6, 12), chance.randint(2, 6)
                falling = [1 - (i + 1) / (ramp + 1) for i in range(ramp)]
                dark = [np.zeros_like(clip[0])] * ramp
                tail, head = frames[-ramp:], clip[:ramp]
                del frames[-ramp:]
                start = len(frames)
                frames += [*_mixed(dark, tail, falling), *dark[:1] * black, *_mixed(dark, head, falling[::-1])]
                clip = clip[ramp:]
                borders.append(Border(start, len(frames), "fade"))
            else:
                borders.append(Border(start, start, "cut"))
        if chance.random() < flash_share and len(clip) > 16:
            at, length = len(clip) // 2, chance.randint(1, 3)
            flashes.append(len(frames) + at)
            negative = chance.random() < 0.5
            for i in range(at, at + length):
                clip[i] = 255 - clip[i] if negative else np.full_like(clip[i], 250)
        frames += clip
    return JoinedFilm(np.stack(frames), tuple(borders), tuple(flashes))


def _clip(seed: int, length: int, height: int, width: int) -> list[np.ndarray]:
    return list(StoryRenderer(make_story(seed, 1), height, width).render(0, length))


def _mixed(early: Sequence[np.ndarray], late: Sequence[np.ndarray], shares: Sequence[float]) -> list[np.ndarray]:
    """Blends: `share` of the late picture, the rest of the early one."""
    return [
        np.rint(a * (1 - share) + b * share).astype(np.uint8) for a, b, share in zip(early, late, shares, strict=True)
    ]


@dataclass(frozen=True)
class Score:
    """True borders found, borders missed, and borders reported where there is none."""

    found: int
    missed: int
    false: int

    @property
    def recall(self) -> float:
        return self.found / max(1, self.found + self.missed)

    @property
    def precision(self) -> float:
        return self.found / max(1, self.found + self.false)

    @property
    def f1(self) -> float:
        return 2 * self.found / max(1, 2 * self.found + self.missed + self.false)

    def __add__(self, other: Score) -> Score:
        return Score(self.found + other.found, self.missed + other.missed, self.false + other.false)


def score_cuts(film: JoinedFilm, reported: Sequence[Border]) -> Score:
    """Hard cuts, to the frame. A cut reported within a dissolve or fade is false."""
    true = {own.start for own in film.borders if own.kind == "cut"}
    said = {own.start for own in reported if own.kind == "cut"}
    return Score(len(true & said), len(true - said), len(said - true))


def score_gradual(film: JoinedFilm, reported: Sequence[Border], kind: str) -> Score:
    """Dissolves or fades, found where any border that is no cut overlaps; false ones are those of this kind."""
    true = [own for own in film.borders if own.kind == kind]
    said = [own for own in reported if own.kind != "cut"]
    found = sum(any(_meet(own, one) for one in said) for own in true)
    gradual = [own for own in film.borders if own.kind != "cut"]
    false = sum(own.kind == kind and not any(_meet(own, one) for one in gradual) for own in said)
    return Score(found, len(true) - found, false)


def flashes_taken_for_borders(film: JoinedFilm, reported: Sequence[Border]) -> int:
    """How many flashes have a border, that is no true one, in the six frames from their first."""
    false = [own for own in reported if not any(_meet(own, one) for one in film.borders)]
    return sum(any(own.start < at + 6 and own.stop >= at for own in false) for at in film.flashes)


def _meet(a: Border, b: Border) -> bool:
    return a.start - SLACK_FRAMES < b.stop and b.start < a.stop + SLACK_FRAMES
