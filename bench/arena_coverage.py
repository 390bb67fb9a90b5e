"""How often the ratings' 95% intervals hold the truth, by the raters' taste, and what taking votes as independent does.

    python bench/arena_coverage.py --studies 400

Five methods, two axes, 30 votes a rater and axis, side bias of 0.1 logit, ties; pairs from the arena's own choice.
Prints a
row for each taste (standard deviation of a rater's own liking, in Elo) and one JSON line. Right is 0.93 to 0.97.
"""

from __future__ import annotations

import argparse
import dataclasses
import json

from storyreel.arena.coverage import coverage

TASTES = (0.0, 61.0, 122.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--raters", type=int, nargs="+", default=[25, 60])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--unbounded", action="store_true", help="count every vote in full, however far it moves a method"
    )
    options = parser.parse_args()
    print("taste  raters    axis  overall  independent  half-width")
    rows = []
    for raters in options.raters:
        for taste in TASTES:
            row = coverage(taste, options.studies, raters=raters, seed=options.seed, bounded=not options.unbounded)
            rows.append(dataclasses.asdict(row))
            shares = f"{row.axis:6.3f}  {row.overall:7.3f}  {row.independent:11.3f}"
            print(f"{taste:5.0f}  {raters:6d}  {shares}  {row.half_width:6.1f} Elo", flush=True)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
