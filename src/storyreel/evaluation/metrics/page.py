"""An evaluation as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import math
from html import escape

from storyreel.evaluation.metrics.memory import MemoryRow
from storyreel.evaluation.metrics.report import action_rows, features_line, memory_rows
from storyreel.evaluation.metrics.run import Evaluation
from storyreel.evaluation.metrics.summary import Summary, summarise
from storyreel.evaluation.metrics.video import METRICS, VideoResult
from storyreel.wording import counted

_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#1d2430;"
    "background:#fff}h1{font-size:1.5em;margin:0 0 .2em}h2{font-size:1.15em;margin:2em 0 .3em}"
    "h3{font-size:1em;margin:1.4em 0 .3em;overflow-wrap:anywhere}p{margin:.4em 0}.wide{overflow-x:auto}"
    "table{border-collapse:collapse;margin:.6em 0}th,td{padding:4px 14px 4px 0;border-bottom:1px solid #dde2ea;"
    "text-align:right;font-variant-numeric:tabular-nums;vertical-align:top}th{font-weight:600}"
    "th:first-child,td:first-child{text-align:left}td{white-space:nowrap}td.text{white-space:normal;text-align:left;font-size:13px;color:#5a6473;"
    "min-width:16em}.small{font-size:13px;color:#5a6473}.broken{color:#9b1c1c}"
    ".strip{display:flex;flex-wrap:wrap;gap:3px}.strip figure{margin:0}.strip img{display:block;width:120px}"
    ".strip figcaption{font-size:11px;color:#5a6473}dl{display:grid;gap:2px 20px;font-size:13px;margin:.5em 0;"
    "grid-template-columns:repeat(auto-fill,minmax(230px,1fr))}dl div{display:flex;justify-content:space-between}"
    "dt{color:#5a6473}dd{margin:0;font-variant-numeric:tabular-nums}"
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_ARROWS = {"higher": "&uarr;", "lower": "&darr;", "neither": ""}
_BETTER = {"higher": "more is better", "lower": "less is better", "neither": "no direction"}


def evaluation_as_page(evaluation: Evaluation, drawn: Evaluation | None = None, title: str = "Evaluation") -> str:
    """The page, complete and escaped."""
    videos = "".join(
        f"<section><h2>Videos of {escape(method)}</h2>"
        f"{''.join(_video(name, own) for name, own in results.items())}</section>"
        for method, results in evaluation.methods().items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main><h1>{escape(title)}</h1>"
        f"{_lead(evaluation)}{_broken(evaluation)}{_table(evaluation)}{_actions(evaluation, drawn)}"
        f"{_memory(evaluation, drawn)}{videos}"
        "</main></body></html>\n"
    )


def _lead(evaluation: Evaluation) -> str:
    return (
        f"<p>{counted(len(evaluation.videos), 'video')}, {escape(features_line(evaluation))}. Means over videos with "
        "95% bootstrap intervals over videos, from five videos on.</p>"
    )


def _broken(evaluation: Evaluation) -> str:
    if not evaluation.broken:
        return ""
    rows = "".join(f"<li>{escape(why)}</li>" for why in evaluation.broken.values())
    return f"<section class='broken'><h2>Left out</h2><ul>{rows}</ul></section>"


def _table(evaluation: Evaluation) -> str:
    summaries = {method: summarise(videos) for method, videos in evaluation.methods().items()}
    heads = "".join(f"<th scope='col'>{escape(method)}</th>" for method in summaries)
    rows = []
    for metric in METRICS:
        if any(metric.name in own for own in summaries.values()):
            cells = "".join(_cell(own.get(metric.name)) for own in summaries.values())
            arrow = f"<span title='{_BETTER[metric.better]}'>{_ARROWS[metric.better]}</span>"
            told = f"{escape(metric.definition)}. <i>{escape(metric.unit)}; {escape(metric.source)}</i>"
            rows.append(f"<tr><td>{escape(metric.name)} {arrow}</td>{cells}<td class='text'>{told}</td></tr>")
    head = f"<thead><tr><th scope='col'>Metric</th>{heads}<th></th></tr></thead>"
    return f"<div class='wide'><table>{head}<tbody>{''.join(rows)}</tbody></table></div>"


def _cell(own: Summary | None) -> str:
    if own is None:
        return "<td>&ndash;</td>"
    interval = "" if math.isnan(own.low) else f"<br>[{own.low:.4g}, {own.high:.4g}]"
    pooled = f"<br>{own.pooled.right} of {own.pooled.count}" if own.pooled else ""
    return f"<td>{own.mean:.4g}<span class='small'>{interval}<br>n {own.videos}{pooled}</span></td>"


def _actions(evaluation: Evaluation, drawn: Evaluation | None) -> str:
    rows = action_rows(evaluation, drawn)
    if not rows:
        return ""
    kinds = sorted({kind for row in rows.values() for kind in row.by_action})
    heads = "".join(f"<th scope='col'>{escape(method)}</th>" for method in rows)
    all_of = [
        ("all", [f"{row.right.right} of {row.right.count}" for row in rows.values()]),
        (
            "95% (Wilson)",
            ["{:.0f} to {:.0f}%".format(*(100 * x for x in row.right.interval())) for row in rows.values()],
        ),
        ("floor: other stories' texts", [f"{100 * row.floor:.0f}%" for row in rows.values()]),
        ("ceiling: drawn toons", [f"{100 * row.ceiling.value:.0f}%" if row.ceiling else "" for row in rows.values()]),
        ("score", ["" if row.score is None else f"{row.score:.2f}" for row in rows.values()]),
    ]
    for kind in kinds:
        shares = [row.by_action.get(kind) for row in rows.values()]
        all_of.append((kind.replace("_", " "), [f"{own.right} of {own.count}" if own else "" for own in shares]))
    dash = "&ndash;"
    body = "".join(
        f"<tr><td>{escape(name)}</td>{''.join(f'<td>{cell or dash}</td>' for cell in cells)}</tr>"
        for name, cells in all_of
    )
    return (
        "<section><h2>Actions</h2><p>What the texts say that characters do: does the reader of actions see it?</p>"
        f"<div class='wide'><table><thead><tr><th scope='col'>Action</th>{heads}</tr></thead>"
        f"<tbody>{body}</tbody></table></div></section>"
    )


def _percent(low: float, high: float) -> str:
    return f"{100 * low:.0f} to {100 * high:.0f}%"


def _memory(evaluation: Evaluation, drawn: Evaluation | None) -> str:
    tables = memory_rows(evaluation, drawn)
    if not tables:
        return ""
    names = ("Method", "What", "Gap", "Asked", "Right of readable", "95% (Wilson)", "Floor", "Ceiling", "Score")
    heads = "".join(f"<th scope='col'>{name}</th>" for name in names)
    rows = "".join(_memory_row(method, row) for method, own in tables.items() for row in own)
    return (
        "<section><h2>Memory by gap</h2><p>What no text tells and the video chose itself: is it the same when it is "
        "seen again after so many segments out of view? Floor: two different videos agree so often "
        "(blind guessing, with fewer than five). Ceiling: drawn toons.</p>"
        f"<div class='wide'><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _memory_row(method: str, row: MemoryRow) -> str:
    right = interval = "&ndash;"
    if row.right:
        right, interval = f"{row.right.right} of {row.right.count}", _percent(*row.right.interval())
    ceiling = f"{100 * row.ceiling.value:.0f}%" if row.ceiling else "&ndash;"
    score = "&ndash;" if row.score is None else f"{row.score:.2f}"
    cells = (escape(method), escape(row.family), row.gap, row.asked, right, interval, f"{100 * row.floor:.0f}%")
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in (*cells, ceiling, score))}</tr>"


def _video(name: str, result: VideoResult) -> str:
    strip = "".join(
        f"<figure><img alt='' src='data:image/jpeg;base64,{escape(picture)}'><figcaption>{number}</figcaption></figure>"
        for number, picture in enumerate(result.strip, 1)
    )
    values = "".join(
        f"<div><dt>{escape(metric)}</dt><dd>{own.value:.4g}</dd></div>"
        for metric, own in result.metrics.items()
        if own.value is not None
    )
    missing = "; ".join(f"{metric}: {own.why}" for metric, own in result.metrics.items() if own.value is None)
    shape = result.shape
    facts = f"{shape.width} x {shape.height}, {counted(shape.frames, 'frame')}, {float(shape.rate):g} a second"
    without = f"<p class='small'>Not measured: {escape(missing)}.</p>" if missing else ""
    return (
        f"<article><h3>{escape(name)}</h3><p class='small'>{facts}</p><div class='strip'>{strip}</div>"
        f"<dl>{values}</dl>{without}</article>"
    )
