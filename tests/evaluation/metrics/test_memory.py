"""The memory table: gaps, floor, ceiling, and what is not readable."""

from __future__ import annotations

import pytest

from storyreel.evaluation.metrics.memory import MemoryProbe, memory_table


def probe(gap: int, first: str | None, again: str | None, domain: str = "wall of a kitchen") -> MemoryProbe:
    return MemoryProbe("wall", gap, domain, 7, first, again)


def test_gaps_are_put_together_and_unreadable_probes_do_not_count() -> None:
    rows = memory_table([[probe(1, "mint", "mint"), probe(3, "mint", "sky"), probe(4, "sky", "sky")],
                         [probe(40, "rose", None)]])  # fmt: skip
    assert [(row.gap, row.asked) for row in rows] == [(1, 1), (4, 2), (16, 1)]
    assert [row.right and (row.right.right, row.right.count) for row in rows] == [(1, 1), (1, 2), None]
    assert rows[0].score is None


def test_the_floor_is_how_often_two_videos_agree() -> None:
    one = [probe(1, "mint", "mint"), probe(1, "sky", "sky")]
    two = [probe(1, "mint", "sky"), probe(1, "rose", None)]
    assert memory_table([one, two, [], [], []])[0].floor == pytest.approx(2 / 6)
    assert memory_table([one, two])[0].floor == pytest.approx(1 / 7)
    other = [probe(1, "mint", "mint", domain="wall of a bedroom")]
    assert memory_table([one, other, [], [], []])[0].floor == pytest.approx(1 / 7)
    assert memory_table([one])[0].floor == pytest.approx(1 / 7)


def test_the_score_lies_between_floor_and_ceiling() -> None:
    made = [[probe(2, "mint", "mint"), probe(2, "sky", "rose")]]
    drawn = [[probe(2, "mint", "mint")] * 9 + [probe(2, "mint", "sky")]]
    row = memory_table(made, drawn)[0]
    assert row.ceiling is not None
    assert row.ceiling.value == 0.9
    assert row.score == pytest.approx((0.5 - 1 / 7) / (0.9 - 1 / 7))
    assert memory_table([]) == []
