"""How much memory this process has held, without importing torch."""

from __future__ import annotations

import sys


def process_peak_mib() -> int | None:
    """The most memory that this process has held so far in MiB, None where the system does not tell (Windows)."""
    if sys.platform == "win32":
        return None
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
