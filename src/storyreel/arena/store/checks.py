"""What a rater's votes say of how they were given. Every check passes, fails, or could not be made: "unknown".

A check that fails takes the rater's votes out of the ratings; whether the rater is paid is another question.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import comb

from storyreel.arena.store.records import Finding
from storyreel.arena.study import Gold, Study
from storyreel.arena.votes import Vote

GOLD_VIEWINGS, GOLD_SHARE = 6, (5, 6)
"""From six hidden checks on, five sixths of the answers must be right."""
CHANCE = 0.001
"""A side test fails when evenly tossed coins would be as one-sided with less than this chance: 24 of 30 on one side."""
LEAST_FOR_A_TEST = 10
"""Viewings from which a test can fail at all."""
LEAST_SPREAD, LEAST_SPREAD_SECONDS = 0.1, 0.05
"""A rater whose times from the clips' end to the answer have a standard deviation below this share of their mean, or
below this many seconds, is taken for a machine."""
ALARM_SHARE, ALARM_RATERS = 0.2, 5
"""Share of the raters of the last hour that must not be exceeded; of fewer raters nothing is said."""


def findings(votes: Sequence[Vote], study: Study | None) -> dict[str, Finding]:
    """Of one rater's votes, in the order given: gold pairs, side of the screen, mirrored repeats, pace."""
    viewings: dict[str, list[Vote]] = {}
    for vote in votes:
        viewings.setdefault(vote.pair_id, []).append(vote)
    shown = list(viewings.values())
    return {
        "gold": _gold([viewing for viewing in shown if viewing[0].kind == "gold"], study),
        "side": _one_sided([_side(viewing) for viewing in shown if viewing[0].kind == "pair"]),
        "repeats": _repeats(shown),
        "pace": _pace(shown),
    }


def alarms(by_rater: Mapping[str, Mapping[str, Finding]], excluded: Iterable[str]) -> list[str]:
    """A line for each of: too many raters excluded, a check that could not be made for too many.

    `by_rater` has the findings of the raters of the last hour; the store's own checks are unknown at the
    beginning of every session, so only those from outside count as not made.
    """
    active = len(by_rater)
    if active < ALARM_RATERS:
        return []
    lines = []
    out = set(excluded) | {rater for rater, found in by_rater.items() if "fail" in found.values()}
    share = len(out & set(by_rater)) / active
    if share > ALARM_SHARE:
        failed = Counter(name for found in by_rater.values() for name, what in found.items() if what == "fail")
        most = f", most by the check {failed.most_common(1)[0][0]}" if failed else ""
        lines.append(f"{share:.0%} of the {active} raters of the last hour are excluded{most}: look at the checks.")
    unknown = Counter(
        name
        for found in by_rater.values()
        for name, what in found.items()
        if what == "unknown" and name not in ("gold", "side", "repeats", "pace")
    )
    for name, count in sorted(unknown.items()):
        if count > ALARM_SHARE * active:
            lines.append(f"the check {name} could not be made for {count} of the {active} raters of the last hour.")
    return lines


def _gold(viewings: Sequence[Sequence[Vote]], study: Study | None) -> Finding:
    if study is None or len(viewings) < GOLD_VIEWINGS:
        return "unknown"
    answers = [vote for viewing in viewings for vote in viewing]
    right = sum(_is_right(vote, study) for vote in answers)
    return "pass" if right * GOLD_SHARE[1] >= len(answers) * GOLD_SHARE[0] else "fail"


def _is_right(vote: Vote, study: Study) -> bool:
    left_is_better = Gold(vote.story, vote.model_a, vote.model_b) in study.gold
    return vote.winner == ("model_a" if left_is_better else "model_b")


def _side(viewing: Iterable[Vote]) -> int:
    """1 for the left, -1 for the right, 0 for neither: answers to one viewing go together, so they count once."""
    balance = sum({"model_a": 1, "model_b": -1}.get(vote.winner, 0) for vote in viewing)
    return (balance > 0) - (balance < 0)


def _one_sided(sides: Iterable[int]) -> Finding:
    counts = Counter(sides)
    return _coin(max(counts[1], counts[-1]), counts[1] + counts[-1])


def _repeats(viewings: Sequence[Sequence[Vote]]) -> Finding:
    """Fails for one who picks the same side of a pair and of its mirror image more often than a coin would."""
    first: dict[tuple[str, str, frozenset[str]], int] = {}
    same: list[bool] = []
    for viewing in viewings:
        vote = viewing[0]
        shown = (vote.story, vote.axis, frozenset((vote.model_a, vote.model_b)))
        side = _side(viewing)
        if vote.kind == "pair":
            first[shown] = side
        elif vote.kind == "repeat" and side and first.get(shown):
            same.append(side == first[shown])
    return _coin(sum(same), len(same))


def _coin(hits: int, tosses: int) -> Finding:
    """Whether `hits` or more of `tosses` have a chance of CHANCE or more with an even coin."""
    if tosses < LEAST_FOR_A_TEST:
        return "unknown"
    chance = sum(comb(tosses, at) for at in range(hits, tosses + 1)) / 2**tosses
    return "fail" if chance < CHANCE else "pass"


def _pace(viewings: Sequence[Sequence[Vote]]) -> Finding:
    """Fails where the time between the end of play and the answer hardly varies."""
    times: list[float] = []
    for viewing in viewings:
        vote = viewing[0]
        if vote.viewing_seconds is not None and vote.left_seconds is not None and vote.right_seconds is not None:
            times.append(vote.viewing_seconds - max(vote.left_seconds, vote.right_seconds))
    if len(times) < LEAST_FOR_A_TEST:
        return "unknown"
    mean = math.fsum(times) / len(times)
    spread = math.sqrt(math.fsum((time - mean) ** 2 for time in times) / (len(times) - 1))
    return "fail" if spread < max(LEAST_SPREAD * mean, LEAST_SPREAD_SECONDS) else "pass"
