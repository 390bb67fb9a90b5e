"""Actions that texts tell, and the reader that looks for them."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from storyreel.assets import ACTION_READER
from storyreel.errors import WeightsError
from storyreel.evaluation.action_reader import (
    ActionReader,
    load_action_reader,
    prepared,
    segment_scores,
)
from storyreel.evaluation.metrics.actions import (
    OTHER_STORIES,
    ToldAction,
    action_row,
    actions_of,
    by_chance,
    in_kinds,
    measure_actions,
    shrunk,
    told_elsewhere,
)
from storyreel.evaluation.metrics.definition import Measured
from storyreel.evaluation.metrics.stories import story_of
from storyreel.evaluation.metrics.told_actions import told_actions
from storyreel.toons.grammar import make_story
from storyreel.toons.names import ROLE_OF
from storyreel.toons.script import Action


def test_texts_are_read_back_as_they_were_meant() -> None:
    right = asked = 0
    for seed in range(9_000_100, 9_000_112):
        for segment in make_story(seed, 7).segments:
            meant = tuple((ROLE_OF[name].species, action) for name, action in segment.actions)
            right += told_actions(segment.text) == meant
            asked += 1
    assert right >= 0.96 * asked


def test_cameras_and_whom_it_is_done_to_do_nothing() -> None:
    text = "Waddle the duck gives the pie to Bruno and then waves to the cat. The camera keeps still and looks on."
    assert told_actions(text) == (("duck", "give"), ("duck", "wave"))
    assert told_actions("Pip is on the left, Clover sits down while he sleeps. She cries.") == (
        ("rabbit", "sit"),
        ("mouse", "sleep"),
        ("rabbit", "cry"),
    )
    assert told_actions("Nobody is here. The camera rests.") == ()


def test_a_record_and_its_texts_tell_the_same(drawn: Path) -> None:
    story = story_of(drawn)
    assert story is not None
    texts = [told_actions(own.text) for own in story.storyboard.segments]
    assert sum(a == b for a, b in zip(actions_of(story), texts, strict=True)) >= len(texts) - 1


def test_scores_are_the_longest_lasting_share_of_who_is_there() -> None:
    who, what = torch.full((24, 3, 2, 2), -20.0), torch.full((24, 4, 2, 2), -20.0)
    who[:, 2] = 0  # nobody
    who[:, 0, 0, 0] = 20  # the first character, all the time in one corner
    what[:12, 1, 0, 0] = 20
    what[12:15, 2, 0, 0] = 20
    what[15:, 3, 0, 0] = 20
    scores = segment_scores(who, what, [[0], [1], [2], [2, 3]])
    assert scores.shape == (2, 4)
    torch.testing.assert_close(scores[0], torch.tensor([0.0, 1.0, 3 / 9, 1.0]), atol=1e-3, rtol=0)
    assert scores[1].max() < 1e-3


def test_only_what_is_told_is_asked_and_chance_is_what_other_stories_tell(drawn: Path) -> None:
    story = story_of(drawn)
    assert story is not None
    told = actions_of(story)
    kinds = {action: action for action in get_args(Action)}
    names = [dict.fromkeys(own) for own in told]
    everything = [{species: frozenset(a for s, a in own if s == species) for species, _ in own} for own in names]
    metrics, found = measure_actions(story, everything, kinds)
    assert metrics["actions_right"].value == 1
    assert len(found) == sum(map(len, names))
    half, _ = measure_actions(story, [*everything[:3], *({} for _ in everything[3:])], kinds)
    assert half["actions_right"].right == sum(map(len, names[:3]))
    right, count = by_chance(everything, kinds)
    other = [dict.fromkeys(own[segment]) for own in told_elsewhere() for segment in range(len(told))]
    assert count == sum(map(len, other))
    assert 0 < right < 0.3 * count
    assert len(told_elsewhere()) == OTHER_STORIES
    assert in_kinds((("cat", "walk"), ("cat", "run")), {"walk": "go", "run": "go"}) == [("cat", "go")]
    nothing, none = measure_actions(None, [], kinds)
    assert nothing["actions_right"].value is None
    assert none == []


def test_rows_have_floor_ceiling_and_score() -> None:
    told = [ToldAction(0, "cat", "walk", True), ToldAction(0, "dog", "sit", False)]
    drawn = [ToldAction(0, "cat", "walk", True)] * 9 + [ToldAction(0, "cat", "sit", False)]
    row = action_row(told, [Measured(0.1, "", 10, 100)], drawn)
    assert row is not None
    assert row.score == pytest.approx((0.5 - 0.1) / (0.9 - 0.1))
    assert {name: own.value for name, own in row.by_action.items()} == {"sit": 0, "walk": 1}
    alone = action_row(told, [])
    assert alone is not None
    assert alone.score is None
    assert action_row([], []) is None


def test_what_ships_sees_more_in_a_drawing_than_chance(eyes, drawn: Path) -> None:
    from storyreel.evaluation.metrics.frames import Frames

    story, frames = story_of(drawn), list(Frames(drawn))
    followed = [[shrunk(frames[48 * s + 2 * (own + 1)]) for own in range(24)] for s in range(7)]
    seen = [eyes.actions.see(own) for own in followed]
    metrics, _ = measure_actions(story, seen, eyes.actions.kinds)
    right, chance = metrics["actions_right"].value, metrics["actions_by_chance"].value
    assert right is not None
    assert chance is not None
    assert right > 0.4
    assert right > 2 * chance


def test_the_reader_looks_at_changes_and_at_moments_before_and_after() -> None:
    torch.manual_seed(0)
    reader = ActionReader(("cat", "dog"), ("sit", "run"), (4, 8, 8)).eval()
    frames = torch.rand(2, 9, 3, 96, 144)
    who, what = reader(frames)
    assert who.shape == (2, 9, 3, 12, 18)
    assert what.shape == (2, 9, 2, 12, 18)
    torch.testing.assert_close(reader(frames[:1])[1], what[:1], atol=1e-4, rtol=1e-4)
    other = frames.clone()
    other[0, 8] = 0
    changed = (reader(other)[1] - what).abs().amax((2, 3, 4))
    # Seven frames to either side are seen: dilations of 1, 2 and 4.
    assert changed[0, 1:].min() > 1e-6
    assert changed[0, 0] == 0
    assert changed[1].max() < 1e-5


def test_weights_come_back_from_half_precision(tmp_path: Path) -> None:
    reader = ActionReader(
        ("cat",), ("sit", "run"), (4, 8, 8), {"stay": ("sit",), "go": ("run",)}, {"stay": 0.3, "go": 0.6}
    )
    torch.nn.Module.to(reader, torch.float16).save_pretrained(tmp_path / "reader")
    again = load_action_reader(tmp_path / "reader")
    assert again.stem.weight.dtype == torch.float32
    torch.testing.assert_close(again.stem.weight, reader.stem.weight.float())
    scores = torch.tensor([[{"stay": 0.4, "go": 0.5}[kind] for kind in again.classes]])
    assert again.read(scores) == {"cat": frozenset({"stay"})}
    (tmp_path / "reader" / "config.json").unlink()
    with pytest.raises(WeightsError, match="holds no reader of actions"):
        load_action_reader(tmp_path / "reader")


def test_shrunk_frames_are_what_the_reader_was_trained_on() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (128, 192, 3), np.uint8)
    small = shrunk(frame)
    assert small.shape == (96, 144, 3)
    wanted = prepared(torch.from_numpy(frame)[None])[0].permute(1, 2, 0)
    np.testing.assert_allclose(small / 127.5 - 1, wanted.numpy(), atol=0.6 / 127.5)


def test_the_reader_that_ships_is_small() -> None:
    weights = ACTION_READER / "diffusion_pytorch_model.safetensors"
    assert weights.stat().st_size < 600_000
