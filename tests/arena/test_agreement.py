"""Krippendorff's alpha against its author's example, and where it must be 1, about 0, and unknown."""

import numpy as np
import pytest

from storyreel.arena.agreement import agreement, krippendorff

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), part C: four observers, twelve units; a dot is not
# judged.
OBSERVERS = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")


def judgements(rows: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    unit, value = np.array([(at, int(own)) for row in rows for at, own in enumerate(row) if own != "."]).T
    return unit, value


def test_the_published_example() -> None:
    found = krippendorff(*judgements(OBSERVERS))
    assert round(found.alpha, 3) == 0.743
    assert found.units == 11
    assert found.low < found.alpha < found.high


def test_all_agree() -> None:
    found = krippendorff(np.repeat(np.arange(20), 3), np.repeat(np.arange(20) % 2, 3))
    assert (found.alpha, found.low, found.high) == (1, 1, 1)


def test_chance_is_about_nothing_and_the_interval_holds_it() -> None:
    random = np.random.default_rng(0)
    found = krippendorff(np.repeat(np.arange(500), 4), random.integers(0, 3, 2000))
    assert abs(found.alpha) < 0.05
    assert found.low < 0 < found.high
    assert krippendorff(np.repeat(np.arange(500), 4), random.integers(0, 3, 2000)).low == pytest.approx(
        found.low, abs=0.05
    )


def test_units_judged_once_say_nothing() -> None:
    found = krippendorff(np.arange(5), np.arange(5) % 2)
    assert found.units == 0
    assert np.isnan(found.alpha)


def test_sides_do_not_matter(make_ballots) -> None:
    """Both raters prefer method 0, which one saw on the left and the other on the right."""
    votes = make_ballots([(0, 1, 0, 0), (1, 0, 1, 1), (0, 1, 1, 0), (1, 0, 0, 1)], 2, 2)
    votes.unit[:] = [0, 0, 1, 1]
    assert agreement(votes).alpha == 1
