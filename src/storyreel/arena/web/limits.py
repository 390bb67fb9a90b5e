"""How many requests a visitor may make: buckets that fill up with time."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from storyreel.arena.web.sealed import Clock

MOST_KEYS = 50_000


@dataclass(frozen=True)
class Limit:
    """So many at once, and `per_second` more with time."""

    burst: int
    per_second: float


class Limiter:
    """Counts by any key. Of a key that was not used for long nothing is kept, nor of more than MOST_KEYS."""

    RATER: ClassVar[Limit] = Limit(60, 5)
    ADDRESS: ClassVar[Limit] = Limit(600, 50)
    ARRIVAL: ClassVar[Limit] = Limit(30, 1 / 60)
    ADMIN: ClassVar[Limit] = Limit(5, 1 / 60)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, Limit], tuple[float, float]] = OrderedDict()

    def wait_seconds(self, key: str, limit: Limit) -> float:
        """Takes one from the key's bucket and returns 0, or, where it is empty, returns how long to wait."""
        now = self._clock()
        level, then = self._buckets.pop((key, limit), (float(limit.burst), now))
        # A clock that is set back must not empty or fill a bucket.
        level = min(float(limit.burst), level + max(0.0, now - then) * limit.per_second)
        wait = 0.0 if level >= 1 else math.ceil((1 - level) / limit.per_second)
        self._buckets[key, limit] = (level - 1 if not wait else level), now
        while len(self._buckets) > MOST_KEYS:
            self._buckets.popitem(last=False)
        return wait


@lru_cache(1024)
def address_key(host: str | None) -> str:
    """What stands for a visitor's network: an IPv4 address, the first 64 bits of an IPv6 one."""
    try:
        address = ipaddress.ip_address((host or "").strip())
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
