"""A report of ratings as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

from storyreel.arena.plots import influence_plot, interval_plot, win_rate_plot
from storyreel.arena.ratings import OVERALL, Ratings, Report
from storyreel.arena.table import FULL_WEIGHT, automatic_lines, number
from storyreel.wording import counted

_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:980px;margin:2em auto;padding:0 1em}"
    "body{color:#1d2430;background:#fff}"
    "h1{font-size:1.5em;margin:0 0 .2em}h2{font-size:1.15em;margin:2em 0 .3em}p{margin:.4em 0}"
    ".wide{overflow-x:auto}td{white-space:nowrap}:focus-visible{outline:3px solid #2f6db5;outline-offset:2px}"
    "table{border-collapse:collapse;margin:1em 0}th,td{padding:4px 14px 4px 0;border-bottom:1px solid #dde2ea}"
    "th{font-weight:600;text-align:right}td{text-align:right;font-variant-numeric:tabular-nums}"
    "th:first-child,td:first-child{text-align:left}.plots{display:flex;flex-wrap:wrap;gap:28px;align-items:flex-start}"
    "figure{margin:0;min-width:0}figcaption{font-size:12px;color:#5a6473;max-width:420px}svg{max-width:100%;height:auto}.state{color:#5a6473}.final{color:#17653a}.small{font-size:13px;color:#5a6473}"
    "svg text{font:12px system-ui,sans-serif;fill:#1d2430}svg .faint{fill:#5a6473}"
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def report_as_page(report: Report, title: str = "Ratings") -> str:
    """The page, complete and escaped."""
    sections = "".join(_section(ratings, report) for ratings in (report.overall, *report.axes))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(title)}</h1>{_automatic(report)}{_lead(report)}{_table(report)}{sections}{_raters(report)}</main></body></html>\n"
    )


def _automatic(report: Report) -> str:
    return "".join(f"<p role='note'><strong>{escape(line)}.</strong></p>" for line in automatic_lines(report))


def _lead(report: Report) -> str:
    votes = counted(report.overall.votes, "vote")
    raters = counted(report.overall.raters, "rater")
    return (
        f"<p>{votes} of {raters} on {counted(len(report.methods), 'method')}. Ratings are Bradley-Terry "
        "strengths with ties and a term for the side of the screen, on Elo's scale around 1000; &plusmn; is half of a "
        "95% interval, with raters, not votes, as what was sampled.</p>"
    )


def _table(report: Report) -> str:
    columns = [*report.axes, report.overall]
    heads = "".join(f"<th scope='col'>{_title(column.axis)}</th>" for column in columns)
    order = {one.method: place for place, one in enumerate(report.overall.rated)}
    known = [{one.method: one for one in column.rated} for column in columns]
    rows = []
    for method in sorted(report.methods, key=lambda name: order.get(name, len(order))):
        cells = []
        for own in known:
            one = own.get(method)
            cells.append(
                f"<td>{one.rating:.0f} &plusmn; {number(one.half_width)}</td>" if one else "<td>not rated</td>"
            )
        rows.append(f"<tr><td>{escape(method)}</td>{''.join(cells)}</tr>")
    head = f"<thead><tr><th scope='col'>Method</th>{heads}</tr></thead>"
    region = "class='wide' role='region' aria-label='Ratings of all axes' tabindex='0'"
    return f"<div {region}><table>{head}<tbody>{''.join(rows)}</tbody></table></div>"


def _section(ratings: Ratings, report: Report) -> str:
    state = f"Provisional: {escape('; '.join(ratings.pending))}." if ratings.pending else "Final."
    style = "state" if ratings.pending else "final"
    unrated = "".join(f"<p>{escape(name)}: not rated, {escape(why)}.</p>" for name, why in ratings.unrated.items())
    plots = (
        f"<figure>{interval_plot(ratings)}<figcaption>Ratings with 95% intervals, in Elo</figcaption></figure>"
        f"<figure>{win_rate_plot(ratings, report.methods)}<figcaption>Votes that the row's method won against the "
        "column's, in percent (ties half); below, how many there were</figcaption></figure>"
    )
    return (
        f"<section><h2>{_title(ratings.axis)}</h2><p class='{style}'>{state}</p>{unrated}"
        f"<div class='plots'>{plots}</div><p class='small'>{'. '.join(_facts(ratings))}.</p></section>"
    )


def _facts(ratings: Ratings) -> Iterable[str]:
    yield f"{counted(ratings.votes, 'vote')} of {counted(ratings.raters, 'rater')}, {ratings.ties} of them ties"
    if not math.isnan(ratings.side):
        yield f"Being on the left is worth {ratings.side:+.0f} &plusmn; {number(ratings.side_half_width)} Elo"
    agreed = ratings.agreement
    if not math.isnan(agreed.alpha):
        interval = f" ({agreed.low:.2f} to {agreed.high:.2f})" if not math.isnan(agreed.low) else ""
        yield (
            f"Krippendorff's alpha {agreed.alpha:.2f}{interval}, on {counted(agreed.units, 'pair')} "
            "with two votes or more"
        )
    if ratings.votes_needed:
        yield f"About {counted(ratings.votes_needed, 'vote')} more would bring every half-width to the wanted one"
    if ratings.flips is not None:
        yield f"Without {counted(ratings.flips, 'vote')}, rightly chosen, another method would be first"


def _raters(report: Report) -> str:
    if not report.raters:
        return ""
    return (
        "<section><h2>Influence of each rater</h2><p>By how much leaving a rater out would change the overall rating "
        "that it changes most. Whoever would move a method by more than the others can is counted at less than a vote "
        f"a vote: {_held_back(report)}.</p>{influence_plot(report.raters)}</section>"
    )


def _held_back(report: Report) -> str:
    number = sum(one.weight < FULL_WEIGHT for one in report.raters)
    return f"here {number} of {counted(len(report.raters), 'rater')}"


def _title(axis: str) -> str:
    return "Overall" if axis == OVERALL else escape(axis.replace("_", " ").capitalize())
