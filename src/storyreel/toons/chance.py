"""Randomness without state: numbers from hashes of a seed and the names of what they are for."""

from __future__ import annotations

import hashlib


def chance(*keys: object) -> float:
    """A number in [0, 1) that depends on the keys alone, on every machine."""
    digest = hashlib.blake2b("\0".join(map(str, keys)).encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / (1 << 48)


def spread(low: float, high: float, *keys: object) -> float:
    """A number in [low, high) that depends on the keys alone."""
    return low + (high - low) * chance(*keys)
