"""What the mixer slot is for: a symbol of the first segment reaches the last, 16 segments on (bench/copy_task.py)."""

import runpy
from pathlib import Path

import pytest

BENCH = runpy.run_path(str(Path(__file__).parents[2] / "bench" / "copy_task.py"))
CHANCE = 1 / BENCH["SYMBOLS"]


# Mamba 2 is the slowest to find it, as it is to find anything in values without a norm in front.
@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("full", 200),
        ("sliding_window", 200),
        ("mamba2", 400),
        ("gated_deltanet", 200),
        ("ttt_linear", 200),
        ("ttt_mlp", 200),
    ],
)
def test_a_layer_that_sees_all_copies_it(name, steps):
    assert BENCH["learned"](name, 0, steps) > 0.9


@pytest.mark.parametrize(("name", "window"), [("local", 49), ("sliding_window", 8)])
def test_what_sees_less_can_only_guess(name, window):
    assert BENCH["learned"](name, 0, 200, window) < CHANCE + 0.1
