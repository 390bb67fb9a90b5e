"""By how much one of 67 raters who cheats moves a method at 2,010 votes on an axis, with and without bounded influence.

    python bench/arena_malicious.py --studies 200

Five methods, 30 votes a rater, side bias of 0.1 logit; pairs from the arena's own choice. A row for each electorate and
strategy, then one JSON line. Right is a largest move of at most 5 Elo.
"""

from __future__ import annotations

import argparse
import json

from storyreel.arena.coverage import SCHEDULES
from storyreel.arena.malicious import STRATEGIES, Electorate, moves, schedules

SPREAD = (880.0, 950.0, 1000.0, 1040.0, 1130.0)
ELECTORATES = {
    "close": Electorate(),
    "close, ties": Electorate(tie=-1.5),
    "close, no taste": Electorate(taste=0.0),
    "close, taste 122, ties": Electorate(taste=122.0, tie=-1.5),
    "250 Elo apart, ties": Electorate(SPREAD, tie=-1.5),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--electorates", nargs="+", choices=ELECTORATES, default=list(ELECTORATES))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{'raters':24} {'strategy':16}  bounded: mean, most   in full: mean, most   above 5")
    rows, shown = [], schedules(SCHEDULES, options.seed)
    for name in options.electorates:
        electorate = ELECTORATES[name]
        for strategy in STRATEGIES:
            found = moves(strategy, options.studies, electorate, shown, seed=options.seed)
            row = {"raters": name, "strategy": strategy.__name__, "studies": options.studies}
            for kind, values in (("bounded", found.bounded), ("in_full", found.unbounded)):
                row |= {f"{kind}_mean": round(values.mean(), 3), f"{kind}_most": round(values.max(), 3)}
            above = int((found.unbounded > 5).sum())
            rows.append(row)
            print(
                f"{name:24} {strategy.__name__:16}  {row['bounded_mean']:13.2f}  {row['bounded_most']:5.2f}"
                f"  {row['in_full_mean']:13.2f}  {row['in_full_most']:5.2f}  {above:8d}",
                flush=True,
            )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
