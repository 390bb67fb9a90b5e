"""Plots as SVG in a page. Text in them is escaped here, numbers are formatted here; nothing else gets in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from storyreel.arena.ratings import RaterInfluence, Ratings
from storyreel.arena.table import held_back
from storyreel.wording import counted

ROW, LABEL, WIDTH, EDGE = 28, 150, 500, 16
CELL = 46
SHOWN_RATERS = 20
LONGEST_LABEL = 20


def interval_plot(ratings: Ratings) -> str:
    """A row a method: a dot at its rating, a line over its interval, on a scale of round Elo."""
    rated = ratings.rated
    if not rated:
        return ""
    ends = [end for one in rated for end in (one.low, one.high, one.rating) if not math.isnan(end)]
    step = _round_step(max(ends) - min(ends))
    low, high = math.floor(min(ends) / step) * step, math.ceil(max(ends) / step) * step
    high = max(high, low + step)
    height = ROW * len(rated) + 34

    def across(value: float) -> str:
        return f"{LABEL + (value - low) / (high - low) * (WIDTH - LABEL - EDGE):.1f}"

    parts = []
    for number in range(round((high - low) / step) + 1):
        tick, x = low + number * step, across(low + number * step)
        parts.append(f"<line x1='{x}' x2='{x}' y1='4' y2='{height - 26}' stroke='#dde2ea'/>")
        parts.append(f"<text class='faint' x='{x}' y='{height - 10}' text-anchor='middle'>{tick:g}</text>")
    for place, one in enumerate(rated):
        y = 4 + ROW * place + ROW // 2
        parts.append(f"<text x='{LABEL - 12}' y='{y + 4}' text-anchor='end'>{_label(one.method)}</text>")
        if not math.isnan(one.low):
            ends_x = f"x1='{across(one.low)}' x2='{across(one.high)}'"
            parts.append(f"<line {ends_x} y1='{y}' y2='{y}' stroke='#2f6db5' stroke-width='3' stroke-linecap='round'/>")
        parts.append(f"<circle cx='{across(one.rating)}' cy='{y}' r='5' fill='#163f70'/>")
    return _svg(WIDTH, height, f"Ratings with intervals, {ratings.axis}", parts)


def win_rate_plot(ratings: Ratings, methods: Sequence[str]) -> str:
    """How often the method of a row beat that of a column, in percent, with the number of votes; best first."""
    best = [one.method for one in ratings.rated] + [name for name in methods if name in ratings.unrated]
    order = [methods.index(name) for name in best]
    width, top = LABEL + CELL * len(order) + EDGE, 26
    parts = []
    for row, own in enumerate(order):
        y = top + CELL * row
        name = f"{row + 1} {_label(methods[own], 2)}"
        parts.append(f"<text x='{LABEL - 12}' y='{y + CELL / 2 + 4:g}' text-anchor='end'>{name}</text>")
        middle = LABEL + CELL * row + CELL / 2
        parts.append(f"<text class='faint' x='{middle:g}' y='18' text-anchor='middle'>{row + 1}</text>")
        for column, other in enumerate(order):
            x = LABEL + CELL * column
            parts += _cell(x, y, float(ratings.win_rates[own, other]), int(ratings.counts[own, other]))
    return _svg(width, top + CELL * len(order) + 6, f"Win rates, {ratings.axis}", parts)


def _cell(x: int, y: int, rate: float, count: int) -> list[str]:
    if not count:
        return [f"<rect x='{x}' y='{y}' width='{CELL - 2}' height='{CELL - 2}' fill='#f3f5f8'/>"]
    middle = x + (CELL - 2) / 2
    return [
        f"<rect x='{x}' y='{y}' width='{CELL - 2}' height='{CELL - 2}' fill='{_colour(rate)}'/>",
        f"<text x='{middle:g}' y='{y + 20}' text-anchor='middle'>{rate * 100:.0f}</text>",
        f"<text class='faint' x='{middle:g}' y='{y + 36}' text-anchor='middle' style='font-size:9px'>{count}</text>",
    ]


def _colour(rate: float) -> str:
    """Blue above a half, orange below, white at it; light enough for dark text."""
    strength = min(1.0, abs(rate - 0.5) / 0.3)
    end = (143, 186, 232) if rate > 0.5 else (244, 190, 138)
    return "#" + "".join(f"{round(255 + (channel - 255) * strength):02x}" for channel in end)


def influence_plot(raters: Sequence[RaterInfluence]) -> str:
    """The most influential raters as bars, with the method that each moves most."""
    shown = raters[:SHOWN_RATERS]
    most = max(abs(one.most) for one in shown) or 1.0
    start, space = LABEL + 20, 240
    parts = []
    for place, one in enumerate(shown):
        y = 4 + 20 * place
        length = abs(one.most) / most * space
        colour = "#2f6db5" if one.most > 0 else "#c77724"
        text = f"{one.most:+.1f} {_label(one.method)}, {counted(one.votes, 'vote')}{held_back(one)}"
        parts.append(f"<text x='{start - 12}' y='{y + 14}' text-anchor='end'>{_label(one.rater)}</text>")
        parts.append(f"<rect x='{start}' y='{y + 3}' width='{length:.1f}' height='14' fill='{colour}'/>")
        parts.append(f"<text class='faint' x='{start + length + 8:.1f}' y='{y + 14}'>{text}</text>")
    return _svg(start + space + 260, 20 * len(shown) + 8, "Influence of raters, in Elo", parts)


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    box = f"viewBox='0 0 {width:g} {height:g}' width='{width:g}' height='{height:g}'"
    return f"<svg {box} role='img' aria-label='{escape(title)}'>{''.join(parts)}</svg>"


def _label(name: str, taken: int = 0) -> str:
    """The name, shortened to where `taken` letters stand before it."""
    most = LONGEST_LABEL - taken
    return escape(name if len(name) <= most else name[: most - 1] + "…")


def _round_step(span: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that divides `span` in about five."""
    rough = max(span, 1.0) / 5
    power = 10 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
