"""What the command line asks the operating system: cores and memory."""

from __future__ import annotations

import os
from pathlib import Path

from storyreel.errors import ConfigError, refusal

CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_workers(workers: int | None) -> None:
    """ConfigError for a number of processes below 1; None stands for one a core."""
    if workers is not None and workers < 1:
        raise ConfigError(refusal("--workers", workers, "it must be at least 1", "Leave it out for one a core"))


def total_memory_bytes() -> int | None:
    """Memory of this machine, or of the container where that has less; None where the system does not tell."""
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    limit = _cgroup("memory.max")
    return physical if limit is None else min(physical, limit)


def available_memory_bytes() -> int | None:
    """Memory that a new program can have; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return total_memory_bytes()
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    free = kilobytes["MemAvailable"] * 1024
    limit, used = _cgroup("memory.max"), _cgroup("memory.current")
    return free if limit is None or used is None else min(free, limit - used + _file_cache())


def _file_cache() -> int:
    """Bytes of files that the container holds in memory and gives up when a program wants more; they count as used."""
    try:
        lines = (CGROUP / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))


def _cgroup(name: str) -> int | None:
    """A number from the container's own limits (cgroup v2), None without one."""
    try:
        text = (CGROUP / name).read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
