"""Training of the reader of actions: labels, the loop, what it leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from storyreel.evaluation.action_reader import CLASSES, load_action_reader
from storyreel.toons.truth import CharacterTruth
from storyreel.training.actions import (
    ACTIONS,
    CHARACTERS,
    IGNORED,
    Drawing,
    draw_labelled,
    labels_of,
    reader_loss,
)
from storyreel.training.config import ActionsRun, OptimiserConfig
from storyreel.training.run import run

OPTIMISER = OptimiserConfig(learning_rate=1e-3, warmup_steps=1, clip=1.0)
RUN = ActionsRun("actions", OPTIMISER, 2, 48, 72, 6_000_000, (4, 8, 8), first_stories=1, kept_stories=2, batch=2)


def one(species, box, fraction, action) -> CharacterTruth:
    return CharacterTruth("x", species, box is not None, box, fraction, action, None, {})


def test_labels_lie_in_the_middle_of_boxes() -> None:
    cat, dog = one("cat", (0, 0, 40, 40), 1.0, "run"), one("dog", (96, 64, 144, 96), 0.1, "sit")
    who, what = labels_of((cat, dog, one("duck", None, 0, "sit")), 96, 144)
    assert who.shape == what.shape == (12, 18)
    nobody = len(CHARACTERS)
    assert who[2, 2] == CHARACTERS.index("cat")
    assert what[2, 2] == ACTIONS.index("run")
    assert who[0, 0] == IGNORED
    assert what[0, 0] == IGNORED
    assert who[0, 10] == nobody
    assert set(np.unique(who[8:, 12:])) == {IGNORED}
    hidden, _ = labels_of((one("dog", (96, 64, 144, 96), 0.1, "hide"),), 96, 144)
    assert CHARACTERS.index("dog") in hidden


def test_a_story_is_drawn_with_its_labels_and_batches_are_mirrored_whole() -> None:
    segments = draw_labelled(6_000_001, 48, 72)
    assert len(segments) == 7
    frames, who, what = segments[0]
    assert frames.shape == (24, 96, 144, 3)
    assert frames.dtype == torch.uint8
    assert ((what == IGNORED) | (who < len(CHARACTERS))).all()
    assert (what >= 0).any()
    drawing = Drawing(RUN, 0)
    shown, who, what = drawing.batch(0)
    assert shown.shape == (2, 12, 3, 96, 144)
    assert who.shape == what.shape == (2, 12, 12, 18)
    again = Drawing(RUN, 0).batch(0)
    torch.testing.assert_close(again[0], shown)


def test_the_loss_is_small_for_what_is_right_alone() -> None:
    who, what = torch.tensor([[[[0, 5], [IGNORED, 5]]]]), torch.tensor([[[[3, IGNORED], [IGNORED, IGNORED]]]])
    right_who = 20 * torch.nn.functional.one_hot(who.clamp_min(0), 6).movedim(-1, 2).float()
    right_what = 20 * torch.nn.functional.one_hot(what.clamp_min(0), 20).movedim(-1, 2).float()
    assert reader_loss(right_who, right_what, who, what) < 0.5
    assert reader_loss(-right_who, right_what, who, what) > 5
    assert reader_loss(right_who, -right_what, who, what) > 5


def test_a_run_leaves_a_reader_that_loads(tmp_path: Path) -> None:
    run(RUN, tmp_path, device="cpu", workers=0)
    reader = load_action_reader(tmp_path / "actions" / "reader")
    assert sorted(action for own in reader.classes.values() for action in own) == sorted(ACTIONS)
    assert list(reader.config["actions"]) == list(ACTIONS)
    scores = reader.scores(torch.zeros(24, 48, 72, 3, dtype=torch.uint8))
    assert scores.shape == (len(CHARACTERS), len(CLASSES))
    assert torch.isfinite(scores).all()
