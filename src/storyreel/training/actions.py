"""Training of the reader of actions (evaluation/action_reader.py) on stories drawn meanwhile."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from storyreel.evaluation.action_reader import CELL, CLASSES, READ_FRAMES, READ_SIZE, ActionReader, prepared
from storyreel.toons.grammar import make_story
from storyreel.toons.renderer import StoryRenderer
from storyreel.toons.script import Action, Species
from storyreel.toons.truth import CharacterTruth
from storyreel.training import parallel
from storyreel.training.config import ActionsRun
from storyreel.training.loop import Clock, Report, train_steps
from storyreel.training.optimiser import MasterOptimiser

CHARACTERS: tuple[str, ...] = get_args(Species)
ACTIONS: tuple[str, ...] = get_args(Action)
SEGMENTS = 7
IGNORED = -1
LEAST_SEEN = 0.25
"""Characters of whom less is seen teach nothing, but for those who hide, of whom little is ever seen."""
Labelled = tuple[Tensor, Tensor, Tensor]


def draw_labelled(seed: int, height: int, width: int) -> list[Labelled]:
    """The segments of story `seed`: frames uint8 `[24, 96, 144, 3]`, who int64 `[24, 12, 18]` (nobody is
    len(CHARACTERS)) and what they do, both IGNORED where they teach nothing."""
    story = make_story(seed, SEGMENTS)
    renderer = StoryRenderer(story, height, width)
    found = []
    for segment in range(SEGMENTS):
        numbers = [48 * segment + 2 * (own + 1) for own in range(READ_FRAMES)]
        drawn = torch.from_numpy(np.stack([renderer.frame(number) for number in numbers]))
        pixels = ((prepared(drawn) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        labels = [labels_of(renderer.truth(number).characters, height, width) for number in numbers]
        who, what = (torch.from_numpy(np.stack(own)) for own in zip(*labels, strict=True))
        found.append((pixels, who, what))
    return found


def labels_of(characters: tuple[CharacterTruth, ...], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(who, what) int64 `[12, 18]` of a frame's cells: a character in the middle of its box, the rest of it teaches
    nothing."""
    rows, columns = (side // CELL for side in READ_SIZE)
    who = np.full((rows, columns), len(CHARACTERS), np.int64)
    what = np.full((rows, columns), IGNORED, np.int64)
    for own in characters:
        if own.box is None:
            continue
        x0, y0, x1, y1 = own.box
        left, right = x0 * columns / width, x1 * columns / width
        top, foot = y0 * rows / height, y1 * rows / height
        who[int(top) : int(np.ceil(foot)), int(left) : int(np.ceil(right))] = IGNORED
    for own in sorted(characters, key=lambda one: one.fraction):
        if own.box is None or own.action is None or (own.fraction < LEAST_SEEN and own.action not in ("hide", "peek")):
            continue
        x0, y0, x1, y1 = own.box
        x, y = (x0 + x1) / 2 * columns / width, (y0 + y1) / 2 * rows / height
        across, down = (x1 - x0) * columns / width / 4, (y1 - y0) * rows / height / 4
        part = (
            slice(max(0, int(y - down)), max(int(y), int(y + down)) + 1),
            slice(max(0, int(x - across)), max(int(x), int(x + across)) + 1),
        )
        who[part] = CHARACTERS.index(own.species)
        what[part] = ACTIONS.index(own.action)
    return who, what


class Drawing:
    """Batches of segments of which some are drawn anew all the time, and most are shown several times."""

    def __init__(self, run: ActionsRun, seed: int) -> None:
        self._run = run
        self._next = run.first_seed + 100_000 * parallel.rank()
        self._kept: deque[Labelled] = deque(maxlen=run.kept_stories * SEGMENTS)
        self._generator = torch.Generator().manual_seed(seed)

    def batch(self, step: int) -> Labelled:
        """Halves of segments, float32 `[B, 12, 3, 96, 144]` in [-1, 1], blurred, lit and noisy by chance; who, what."""
        while step % self._run.steps_a_story == 0 or len(self._kept) < self._run.first_stories * SEGMENTS:
            self._kept.extend(draw_labelled(self._next, self._run.height, self._run.width))
            self._next += 1
            if len(self._kept) >= self._run.first_stories * SEGMENTS:
                break
        picks = torch.randint(len(self._kept), (self._run.batch // parallel.size(),), generator=self._generator)
        starts = torch.randint(READ_FRAMES // 2 + 1, picks.shape, generator=self._generator)
        halves = [
            [part[start : start + READ_FRAMES // 2] for part in self._kept[pick]]
            for pick, start in zip(picks.tolist(), starts.tolist(), strict=True)
        ]
        frames, who, what = zip(*halves, strict=True)
        shown = torch.stack([augmented(prepared(own), self._generator) for own in frames])
        mirrored = torch.rand(len(shown), generator=self._generator) < 0.5
        who, what = torch.stack(who), torch.stack(what)
        for tensor in (shown, who, what):
            tensor[mirrored] = tensor[mirrored].flip(-1)
        return shown, who, what


def augmented(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Frames `[F, 3, H, W]` as a smaller or softer video might show them: blurred, with other light and noise."""
    blur, gain, lift, noise = torch.rand(4, generator=generator).tolist()
    if blur > 0.5:
        size = [round(side * (1.25 - 0.5 * blur)) for side in READ_SIZE]
        small = F.interpolate(frames, size, mode="bilinear", antialias=True)
        frames = F.interpolate(small, READ_SIZE, mode="bilinear")
    frames = frames * (0.85 + 0.3 * gain) + 0.2 * (lift - 0.5)
    return frames + 0.08 * noise * torch.randn(frames.shape, generator=generator)


def reader_loss(who: Tensor, what: Tensor, true_who: Tensor, true_what: Tensor) -> Tensor:
    """Cross-entropy of who is where, nobody counting little, plus that of what they do where somebody is.

    Logits `[B, F, classes, h, w]`, truth int64 `[B, F, h, w]`.
    """
    weights = torch.ones(who.shape[2], device=who.device)
    weights[-1] = 0.1
    people = F.cross_entropy(who.flatten(0, 1), true_who.flatten(0, 1), weights, ignore_index=IGNORED)
    deeds = F.cross_entropy(what.flatten(0, 1), true_what.flatten(0, 1), ignore_index=IGNORED, label_smoothing=0.02)
    return people + deeds


def train_actions(run: ActionsRun, root: Path, *, device: torch.device, clock: Clock, report: Report) -> None:
    """Trains, and writes the moving average in half precision to ROOT/NAME/reader."""
    torch.manual_seed(run.seed)
    reader = ActionReader(CHARACTERS, ACTIONS, run.widths, CLASSES)
    nn.Module.to(reader, device, torch.bfloat16)
    torch.nn.utils.convert_conv2d_weight_memory_format(reader, torch.channels_last)
    optimiser = MasterOptimiser(reader.named_parameters(), run.optimiser)
    drawing = Drawing(run, parallel.own_seed(run.seed))

    def one_step(step: int) -> dict[str, Tensor]:
        frames, who, what = (own.to(device) for own in drawing.batch(step))
        people, deeds = (own.float() for own in reader(frames.bfloat16()))
        loss = reader_loss(people, deeds, who, what)
        for parameter in optimiser.working:
            parameter.grad = None
        loss.backward()
        known = what != IGNORED
        right = (deeds.argmax(2) == what)[known].float().mean(), (people.argmax(2) == who)[known].float().mean()
        return {"loss": loss.detach(), "action": right[0], "character": right[1]}

    train_steps(run, root / run.name, optimiser, one_step, steps=run.steps, clock=clock, report=report)
    if parallel.is_first():
        optimiser.use_average()
        nn.Module.to(reader, torch.float16)
        reader.save_pretrained(root / run.name / "reader")
