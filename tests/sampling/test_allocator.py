"""Memory that is freed and used again, each time in a process of its own."""

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from storyreel.sampling.allocator import keep_freed_memory
kept = keep_freed_memory()
import torch
faults = []
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensors = [torch.zeros(2**20) for _ in range(12)]
    del tensors
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(kept, faults[-1])
"""


def told(**environment):
    own = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | environment
    made = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=own, check=True)
    kept, faults = made.stdout.split()
    return kept == "True", int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the GNU C library alone can be told")
def test_pages_are_cleared_once():
    kept, faults = told()
    assert kept
    assert faults < 100  # 12,288 pages of 4 KiB


def test_who_has_said_otherwise_is_left_alone():
    assert not told(MALLOC_TRIM_THRESHOLD_="0")[0]
