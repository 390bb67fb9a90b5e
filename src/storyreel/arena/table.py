"""A report of ratings as JSON and as lines for a terminal."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from storyreel.arena.ratings import RaterInfluence, Ratings, Report
from storyreel.wording import counted

BAR_CELLS = 41
_INFLUENTIAL = 5
FULL_WEIGHT = 0.995
"""Votes that count for more than this are told as whole ones."""


def report_as_json(report: Report) -> str:
    """The whole report; what is not known is null."""
    return json.dumps(_plain(dataclasses.asdict(report)), indent=1, allow_nan=False)


def _plain(value: Any) -> Any:
    """Arrays as lists, NaN and infinities as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return _plain(value.tolist()) if hasattr(value, "tolist") else value


def report_as_lines(report: Report) -> list[str]:
    """The table of all axes, then each axis with its intervals, then what the numbers rest on."""
    return [
        *automatic_lines(report),
        *_summary(report),
        *(line for ratings in (report.overall, *report.axes) for line in _axis(ratings)),
    ] + [
        "",
        "most influential raters (Elo that leaving one out would change overall):",
        *(
            f"  {printable(one.rater)}: {one.most:+.1f} on {printable(one.method)}, {counted(one.votes, 'vote')}"
            f"{held_back(one)}"
            for one in report.raters[:_INFLUENTIAL]
        ),
    ]


def held_back(one: RaterInfluence) -> str:
    """What a rater's votes count for, where that is less than a vote each; else nothing."""
    return f" at {one.weight:.2f} each" if one.weight < FULL_WEIGHT else ""


def automatic_lines(report: Report) -> list[str]:
    """A line that says how many of the votes are not people's; none where all are."""
    if not report.automatic:
        return []
    judges = ", ".join(map(printable, report.automatic))
    are = "is" if report.automatic_votes == 1 else "are"
    return [
        f"{report.automatic_votes} of {counted(report.overall.votes, 'vote')} {are} automatic, not people's: {judges}"
    ]


def printable(name: str) -> str:
    """A name without what could steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def _summary(report: Report) -> list[str]:
    columns = [*report.axes, report.overall]
    names = [printable(name) for name in report.methods]
    width = max([len(name) for name in names] + [6])
    order = {one.method: place for place, one in enumerate(report.overall.rated)}
    known = [{one.method: one.rating for one in column.rated} for column in columns]
    lines = ["  ".join([" " * width, *(f"{printable(column.axis)[:20]:>20}" for column in columns)])]
    for method in sorted(report.methods, key=lambda name: order.get(name, len(order))):
        cells = (f"{own[method]:20.0f}" if method in own else f"{'-':>20}" for own in known)
        lines.append("  ".join([f"{printable(method):{width}}", *cells]))
    return lines


def _axis(ratings: Ratings) -> list[str]:
    state = "final" if not ratings.pending else f"provisional: {'; '.join(map(printable, ratings.pending))}"
    lines = ["", f"{printable(ratings.axis)}: {state}"]
    lines += [f"  {line}" for line in _intervals(ratings)]
    lines += [f"  {printable(method)}: not rated, {printable(why)}" for method, why in ratings.unrated.items()]
    facts = [counted(ratings.votes, "vote"), counted(ratings.raters, "rater"), f"{ratings.ties} ties"]
    if not math.isnan(ratings.side):
        facts.append(f"left side {ratings.side:+.0f} ± {number(ratings.side_half_width)} Elo")
    agreed = ratings.agreement
    if not math.isnan(agreed.alpha):
        interval = f" [{agreed.low:.2f}, {agreed.high:.2f}]" if not math.isnan(agreed.low) else ""
        facts.append(f"alpha {agreed.alpha:.2f}{interval} on {counted(agreed.units, 'pair')} judged twice or more")
    if ratings.votes_needed:
        facts.append(f"about {counted(ratings.votes_needed, 'vote')} more to the wanted half-width")
    if ratings.flips is not None:
        facts.append(f"without {counted(ratings.flips, 'vote')} another method is first")
    return lines + [f"  {'; '.join(facts)}"]


def number(value: float) -> str:
    """A whole number, or a question mark for one that is not known."""
    return "?" if math.isnan(value) else f"{value:.0f}"


def _intervals(ratings: Ratings) -> list[str]:
    """A line a method: rating, interval, and a bar that shows both on the axis's own scale."""
    rated = ratings.rated
    if not rated:
        return []
    width = max(len(printable(one.method)) for one in rated)
    low = min(one.rating if math.isnan(one.low) else one.low for one in rated)
    high = max(one.rating if math.isnan(one.high) else one.high for one in rated)

    def place(value: float) -> int:
        return round((value - low) / ((high - low) or 1) * (BAR_CELLS - 1))

    lines = []
    for one in rated:
        bar = [" "] * BAR_CELLS
        if not math.isnan(one.low):
            bar[place(one.low) : place(one.high) + 1] = ["-"] * (place(one.high) - place(one.low) + 1)
        bar[place(one.rating)] = "o"
        spread = f"[{number(one.low):>4}, {number(one.high):>4}]"
        votes = f"{one.votes:6d} votes"
        lines.append(f"{printable(one.method):{width}}  {one.rating:5.0f} {spread} {''.join(bar)} {votes}")
    return lines
