"""How the C library keeps memory that has been freed. Needs no large library."""

from __future__ import annotations

import ctypes
import os
import sys

KEPT_BYTES = 2**30
OWN_MAPPING_BYTES = 64 * 2**20
"""A block as large as this stays a mapping of its own, which goes back when it is freed."""
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt (malloc.h of the GNU C library)."""


def keep_freed_memory() -> bool:
    """Makes this process use freed memory again instead of giving it back to the system; whether it could.

    For programs of storyreel alone, as it holds for the whole process: temporary tensors come and go hundreds of times
    a step, and the system clears every page anew, a seventh of a step on the CPU. Only the GNU C library knows it;
    whoever has set MALLOC_TRIM_THRESHOLD_ or MALLOC_MMAP_THRESHOLD_ is left alone.
    """
    if sys.platform != "linux" or {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"} & os.environ.keys():
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(MMAP_THRESHOLD, OWN_MAPPING_BYTES)) and bool(mallopt(TRIM_THRESHOLD, KEPT_BYTES))
