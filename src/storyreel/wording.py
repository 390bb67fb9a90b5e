"""How counts are put into words."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun; `many` is the plural where it is more than an added s.

    >>> counted(1, "story", "stories"), counted(2, "story", "stories"), counted(0, "core")
    ('1 story', '2 stories', '0 cores')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"
