"""How many votes adaptive sampling saves: five close methods, until as many pairs are misordered as by even sampling.

    python bench/arena_adaptive.py --studies 400

Prints, for numbers of votes sampled evenly, the mean of misordered pairs and the votes that adaptive sampling needs
for it; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from storyreel.arena.adaptive import REFIT_EVERY
from storyreel.arena.coverage import STRENGTHS
from storyreel.arena.saving import misordered

SHOWN = (1000, 2000, 3000, 4000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    strengths = np.array(STRENGTHS)
    even = misordered(strengths, SHOWN[-1], options.studies, adaptive=False, seed=options.seed)
    adaptive = misordered(strengths, SHOWN[-1], options.studies, adaptive=True, seed=options.seed + 1)
    print(" even  misordered  adaptive  saved")
    rows = []
    for votes in SHOWN:
        wrong = float(even[votes // REFIT_EVERY - 1])
        needed = (int(np.flatnonzero(adaptive <= wrong)[0]) + 1) * REFIT_EVERY if (adaptive <= wrong).any() else None
        saved = f"{1 - needed / votes:5.0%}" if needed else "    -"
        print(f"{votes:5d}  {wrong:10.2f}  {needed or '-':>8}  {saved}")
        rows.append({"even": votes, "misordered": wrong, "adaptive": needed})
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
