"""What `storyreel bench block` times."""

import dataclasses
import subprocess
import sys

import pytest
import torch

from storyreel.errors import KernelUnavailable
from storyreel.geometry import TokenLayout
from storyreel.training import block_timing
from storyreel.training.block_timing import time_block

LAYOUT = TokenLayout.for_video(3, 32, 32)
CPU = torch.device("cpu")


def test_forward_keeps_no_gradients_and_a_training_step_computes_the_block_twice(monkeypatch):
    seen = []

    class Block(block_timing.StoryreelBlock):
        def forward(self, *arguments):
            seen.append(torch.is_grad_enabled())
            return super().forward(*arguments)

    monkeypatch.setattr(block_timing, "StoryreelBlock", Block)
    measured = time_block("mamba2", LAYOUT, 32, 2, batch=2, repeats=2, device=CPU)
    assert (measured.layer, measured.seconds, measured.tokens) == ("mamba2", 3, LAYOUT.total_tokens)
    # Once to warm up and twice for the median, of each; checkpoint's two passes are both with gradients.
    assert seen == [False] * 3 + [True] * 6


def test_what_cannot_run_is_a_row_with_the_reason(monkeypatch):
    def refuse(*arguments):
        raise KernelUnavailable("no such thing. Try another.\nmore")

    monkeypatch.setattr(block_timing, "_calls", refuse)
    measured = time_block("full", LAYOUT, 32, 2, batch=1, repeats=1, device=CPU)
    assert measured.refused == "no such thing. Try another."
    left = {name: value for name, value in dataclasses.asdict(measured).items() if name.endswith(("_ms", "_mib"))}
    assert set(left.values()) == {None}


def test_the_peak_is_that_of_one_layer_alone():
    """In a process of its own: another test may have told this one to keep what it frees."""
    if not (block_timing.PROCESS / "clear_refs").exists():
        pytest.skip("this system does not tell")
    code = """
import torch
from storyreel.training import block_timing
cpu = torch.device("cpu")
big = torch.ones(200 * 2**18)
block_timing.reset_peak(cpu)
held = block_timing.peak_mib(cpu)
assert held > 200
del big
block_timing.reset_peak(cpu)
assert block_timing.peak_mib(cpu) < held - 100
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
