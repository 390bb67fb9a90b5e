"""Contact sheets: an HTML page a film, with a picture of each segment that plays its 3 s, and what was dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from storyreel.data.files import write_whole
from storyreel.data.film import FilmRow
from storyreel.data.manifest import Dropped, ItemRecord
from storyreel.data.shots import ShotRow
from storyreel.geometry import FRAMES_PER_SECOND, SEGMENT_SECONDS
from storyreel.wording import counted

SHEETS = "sheets"
_STYLE = (
    "body{font:14px/1.4 sans-serif;margin:1.2em;background:#fafafa;color:#222;overflow-wrap:anywhere}"
    "h1{font-size:22px;margin:0 0 .3em}h2{margin:1.2em 0 .4em;font-size:15px}p{margin:.2em 0}.how{color:#555}"
    "section{display:flex;flex-wrap:wrap;gap:8px}figure{margin:0;width:192px}figcaption{color:#555}"
    "video{width:100%;display:block;background:#000;object-fit:cover}"
    "figcaption{font-size:12px;margin-top:2px;padding-left:5px;border-left:3px solid transparent}"
    ".shot figcaption{border-color:#c60}"
    "table{border-collapse:collapse;font-size:13px}th,td{padding:3px 14px 3px 0;text-align:left;vertical-align:top;"
    "border-bottom:1px solid #ddd}td:first-child{font-family:monospace;white-space:nowrap}"
)

# A browser's own controls would hide most of a picture of this size.
_SCRIPT = """<script>
for (const video of document.querySelectorAll("video")) {
  const [start, stop] = video.dataset.span.split(",").map(Number);
  for (const name of ["mouseenter", "focus"]) video.addEventListener(name, () => video.play().catch(() => {}));
  for (const name of ["mouseleave", "blur"]) video.addEventListener(name, () => video.pause());
  video.addEventListener("timeupdate", () => {
    if (video.currentTime >= stop - 0.02) {
      video.currentTime = start;
      if (video.matches(":hover, :focus")) video.play().catch(() => {});
    }
  });
}
</script>"""


def write_sheets(
    output: Path, films: Sequence[FilmRow], shots: Sequence[ShotRow], records: Sequence[ItemRecord]
) -> list[str]:
    """Writes a page for each film; returns their paths relative to `output`."""
    scenes = {shot.id: shot.scene for shot in shots}
    paths = []
    for film in films:
        rows = [row for own in records for row in own.rows if row["film"] == film.id]
        dropped = [one for own in records for one in own.dropped if one.id.startswith(film.id)]
        path = f"{SHEETS}/{film.id}.html"
        write_whole(output / path, _page(film, rows, scenes, dropped))
        paths.append(path)
    return paths


def _page(film: FilmRow, rows: list[dict[str, Any]], scenes: Mapping[str, int], dropped: list[Dropped]) -> str:
    title = escape(film.path)
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>",
        f"<p>{film.id}: {clock(Fraction(film.seconds))}, {film.width}x{film.height}, {film.rate} frames a second. "
        f"{counted(len(rows), 'segment')} of {SEGMENT_SECONDS} s, {len(dropped)} dropped.</p>",
        '<p class="how">A picture plays while it is pointed at or has the focus. At a coloured bar a shot begins.</p>',
    ]
    for scene, own in groupby(sorted(rows, key=lambda row: row["id"]), key=lambda row: scenes[row["shot"]]):
        parts += [f"<h2>Scene {scene}</h2>", "<section>", *map(_figure, own), "</section>"]
    if dropped:
        lines = (
            f"<tr><td>{one.id}</td><td>{escape(one.reason)}</td><td>{escape(one.detail)}</td></tr>" for one in dropped
        )
        head = "<tr><th>what</th><th>reason</th><th>detail</th></tr>"
        parts += ["<h2>Dropped</h2><table>", head, *lines, "</table>"]
    return "\n".join([*parts, _SCRIPT, "</body></html>"]) + "\n"


def _figure(row: dict[str, Any]) -> str:
    start = row["first_frame"] / FRAMES_PER_SECOND
    span = f"{start:g},{start + SEGMENT_SECONDS:g}"
    source = escape(f"../{row['take']}#t={span}")
    mark = "" if row["follows"] else ' class="shot"'
    times = " to ".join(clock(Fraction(row[name])) for name in ("start_seconds", "stop_seconds"))
    return (
        f'<figure id="{row["id"]}"{mark}>'
        f'<video src="{source}" poster="../{escape(row["thumb"])}" preload="none" data-span="{span}" tabindex="0" '
        f"muted playsinline>"
        f"</video><figcaption>{times}</figcaption></figure>"
    )


def clock(seconds: Fraction) -> str:
    """A time as hours, minutes, seconds and hundredths.

    >>> clock(Fraction(7325, 2))
    '1:01:02.50'
    """
    hundredths = round(seconds * 100)
    return f"{hundredths // 360000}:{hundredths // 6000 % 60:02d}:{hundredths // 100 % 60:02d}.{hundredths % 100:02d}"
