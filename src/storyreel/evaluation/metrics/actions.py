"""Do characters do what the text says: the actions told, looked for by the reader of actions, segment by segment."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from storyreel.evaluation.action_reader import ActionReader, load_action_reader, prepared
from storyreel.evaluation.metrics.definition import Measured, Metric, missing, share
from storyreel.evaluation.metrics.folder_features import hash_of_weights
from storyreel.evaluation.metrics.stories import Story
from storyreel.evaluation.metrics.told_actions import Told, told_actions
from storyreel.evaluation.share import Share
from storyreel.toons.grammar import make_story
from storyreel.toons.names import ROLE_OF

METRICS = (
    Metric(
        "actions_right",
        "share",
        "higher",
        "(segment, character, kind of action) told by the text that the reader of actions sees in the segment",
    ),
    Metric(
        "actions_by_chance",
        "share",
        "neither",
        "actions_right with the texts of other stories: what a reader that sees the wrong things gets",
    ),
)
OTHER_STORIES, OTHER_SEED, OTHER_SEGMENTS = 8, 8_000_000, 21
"""Stories whose texts say what is right by chance; segments beyond the last begin anew."""
Seen = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class ToldAction:
    """One thing that a text tells, its kind of action, and whether it was seen."""

    segment: int
    species: str
    action: str
    seen: bool

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


class ActionEyes:
    """The reader of actions, and the frames of the segment that it is about to look at."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        """WeightsError: the folder holds no reader."""
        self.reader: ActionReader = load_action_reader(folder)
        torch.nn.Module.to(self.reader, device)
        self.name = "storyreel's reader of actions"
        self.sha256 = hash_of_weights(folder)
        self.kinds: dict[str, str] = {
            action: kind for kind, actions in self.reader.classes.items() for action in actions
        }

    def see(self, frames: Sequence[np.ndarray]) -> Seen:
        """What each species does in a segment, of READ_FRAMES frames that `shrunk` made."""
        return self.reader.read(self.reader.scores(torch.from_numpy(np.stack(frames))))


def shrunk(frame: np.ndarray) -> np.ndarray:
    """A frame uint8 `[H, W, 3]` in the reader's size, to be kept until its segment is over."""
    pixels = (prepared(torch.from_numpy(frame)[None]) + 1) * 127.5
    return pixels[0].round().to(torch.uint8).permute(1, 2, 0).numpy()


def actions_of(story: Story) -> list[tuple[Told, ...]]:
    """What is told of each segment of a toon: by its record, or else by its text."""
    if story.truth is None:
        return [told_actions(own.text) for own in story.storyboard.segments]
    return [
        tuple((ROLE_OF[name].species, action) for name, action in own["actions"])
        for own in story.truth["story"]["segments"]
    ]


@functools.cache
def told_elsewhere() -> tuple[tuple[tuple[Told, ...], ...], ...]:
    """What each segment of OTHER_STORIES other stories tells."""
    stories = (make_story(OTHER_SEED + own, OTHER_SEGMENTS) for own in range(OTHER_STORIES))
    return tuple(
        tuple(tuple((ROLE_OF[name].species, action) for name, action in own.actions) for own in story.segments)
        for story in stories
    )


def measure_actions(
    story: Story | None, seen: Sequence[Seen], kinds: Mapping[str, str]
) -> tuple[dict[str, Measured], list[ToldAction]]:
    """The metrics above, and each thing told; `seen` is what was read in each whole segment of the video, `kinds` of
    which kind each action is."""
    if story is None or story.toon is None:
        return dict.fromkeys((metric.name for metric in METRICS), missing("the story is not told in toons' words")), []
    told = [
        ToldAction(segment, species, kind, kind in own.get(species, ()))
        for segment, (actions, own) in enumerate(zip(actions_of(story), seen, strict=False))
        for species, kind in in_kinds(actions, kinds)
    ]
    chance = by_chance(seen, kinds)
    metrics = {
        "actions_right": share(sum(own.seen for own in told), len(told), "no text of a whole segment tells an action"),
        "actions_by_chance": share(*chance, "no segment is whole"),
    }
    return metrics, told


def in_kinds(told: Sequence[Told], kinds: Mapping[str, str]) -> list[tuple[str, str]]:
    """(species, kind of action) of a segment, each once."""
    return list(dict.fromkeys((species, kinds[action]) for species, action in told))


def by_chance(seen: Sequence[Seen], kinds: Mapping[str, str]) -> tuple[int, int]:
    """(seen, told) of what other stories tell of the same segments."""
    right = count = 0
    for story in told_elsewhere():
        for segment, own in enumerate(seen):
            for species, kind in in_kinds(story[segment % OTHER_SEGMENTS], kinds):
                right += kind in own.get(species, ())
                count += 1
    return right, count


@dataclass(frozen=True)
class ActionRow:
    """Actions of several videos: `right` of all that are told, `floor` with other stories' texts, `ceiling` in drawn
    toons, and by action what is seen of it."""

    right: Share
    floor: float
    ceiling: Share | None
    by_action: dict[str, Share]

    @property
    def score(self) -> float | None:
        """(right - floor) / (ceiling - floor): 0 chance, 1 as well seen as in drawn toons."""
        if self.ceiling is None or self.ceiling.value <= self.floor:
            return None
        return (self.right.value - self.floor) / (self.ceiling.value - self.floor)


def action_row(
    told: Sequence[ToldAction], chance: Sequence[Measured], drawn: Sequence[ToldAction] = ()
) -> ActionRow | None:
    """The row of videos; `chance` are their actions_by_chance; None where nothing is told."""
    if not told:
        return None
    right, count = (sum(getattr(own, name) or 0 for own in chance) for name in ("right", "count"))
    kinds = sorted({own.action for own in told})
    return ActionRow(
        _share_of(told),
        right / count if count else 0.0,
        _share_of(drawn) if drawn else None,
        {kind: _share_of([own for own in told if own.action == kind]) for kind in kinds},
    )


def _share_of(told: Sequence[ToldAction]) -> Share:
    return Share(sum(own.seen for own in told), len(told))
