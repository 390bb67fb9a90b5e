"""An automatic judge: metrics of videos as votes, for the same ratings code as people's.

Each metric votes as a rater of its own, named "automatic:METRIC", on the axis that it is nearest to, on every story and
pair of methods for which both videos have a value. Such votes say nothing about what people see; whatever shows
ratings says so where they are among the votes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import combinations

from storyreel.arena.votes import AUTOMATIC, Vote, Winner
from storyreel.errors import DataError
from storyreel.evaluation.metrics.definition import Measured
from storyreel.evaluation.metrics.video import METRICS

JUDGES: dict[str, tuple[str, ...]] = {
    "text_following": ("cut_f1", "place_right", "characters_right", "colours_right", "actions_right"),
    "motion_naturalness": ("motion_smoothness", "duplicate_frames"),
    "aesthetics": ("sharpness", "flicker_static"),
    "temporal_consistency": ("scene_consistency", "place_colours", "place_visits", "character_visits"),
}
"""Which metrics vote on which axis."""
EVEN = 1e-9
_BETTER = {metric.name: metric.better for metric in METRICS}


def automatic_votes(videos: Mapping[tuple[str, str], Mapping[str, Measured]], tstamp: float) -> list[Vote]:
    """Votes from the metrics of each (method, story), each pair of methods mirrored on every second story.

    tstamp: seconds since 1970, the same for all. DataError with fewer than two methods, or no story that two have.
    """
    methods = sorted({method for method, _ in videos})
    if len(methods) < 2:
        raise DataError("votes compare two methods at least, but the videos are of one. Put each method's in a folder.")
    votes: list[Vote] = []
    for axis, names in JUDGES.items():
        for name in names:
            votes += _votes_of(name, axis, methods, videos, tstamp)
    if not votes:
        raise DataError("no story has videos of two methods. Videos of one story must have the same name.")
    return votes


def _votes_of(
    name: str, axis: str, methods: list[str], videos: Mapping[tuple[str, str], Mapping[str, Measured]], tstamp: float
) -> list[Vote]:
    votes: list[Vote] = []
    for row, story in enumerate(sorted({story for _, story in videos})):
        for column, (one, two) in enumerate(combinations(methods, 2)):
            values = [_value(videos.get((method, story)), name) for method in (one, two)]
            if None in values:
                continue
            left, right = (one, two) if (row + column) % 2 == 0 else (two, one)
            winner = _winner(*values, higher=_BETTER[name] == "higher", mirrored=left == two)
            digest = hashlib.blake2b(f"{name}\n{story}\n{one}\n{two}".encode(), digest_size=8)
            votes.append(
                Vote(
                    model_a=left, model_b=right, winner=winner, judge=f"{AUTOMATIC}{name}", tstamp=tstamp, axis=axis,
                    story=story, pair_id=digest.hexdigest(),
                )
            )  # fmt: skip
    return votes


def _value(metrics: Mapping[str, Measured] | None, name: str) -> float | None:
    return metrics[name].value if metrics else None


def _winner(one: float | None, two: float | None, *, higher: bool, mirrored: bool) -> Winner:
    assert one is not None
    assert two is not None
    if abs(one - two) <= EVEN:
        return "tie"
    return "model_a" if ((one > two) == higher) != mirrored else "model_b"
