"""Compiles the kernels: `python -m storyreel.ops.ttt.hopper.build`. It needs nvcc 12.4 or later, but no GPU.

`--dump` compiles the kernels that also write down what they compute (`emulation.Values`), for finding a defect, and
`--times` those that write down when they compute it (`Times` in plan.cuh), for finding what is slow.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from storyreel.errors import KernelUnavailable

FOLDER = Path(__file__).parent
SOURCE, CUBIN = FOLDER / "kernel.cu", FOLDER / "kernel.cubin"
DUMPING_CUBIN, TIMING_CUBIN = FOLDER / "kernel_dump.cubin", FOLDER / "kernel_times.cubin"
DEFINITIONS = {CUBIN: [], DUMPING_CUBIN: ["-DTTT_DUMP"], TIMING_CUBIN: ["-DTTT_TIMES"]}
TARGET = "-gencode=arch=compute_90a,code=sm_90a"


def build(kind: Path = CUBIN, to: Path | None = None) -> str:
    """Writes the machine code of `kernel.cu` to `to`, and returns the compiler's report of registers and spills.

    kind: CUBIN, DUMPING_CUBIN or TIMING_CUBIN, which is also where it goes unless `to` says otherwise.

    KernelUnavailable if there is no nvcc, or if it fails: then with its own words.
    """
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        raise KernelUnavailable(
            "The Hopper kernels need nvcc 12.4 or later to be compiled; none is on the PATH. Install the CUDA toolkit."
        )
    to = to or kind
    part = to.with_suffix(".part")
    options = ["-cubin", "-std=c++17", "-O3", TARGET, "-Xptxas", "-v", *DEFINITIONS[kind]]
    run = subprocess.run([nvcc, *options, "-o", str(part), str(SOURCE)], capture_output=True, text=True)
    if run.returncode:
        raise KernelUnavailable(f"nvcc could not compile {SOURCE}:\n{run.stdout}{run.stderr}")
    part.replace(to)
    return run.stdout + run.stderr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--dump", action="store_true", help="the kernels that write down what they compute")
    kinds.add_argument("--times", action="store_true", help="the kernels that write down when they compute it")
    options = parser.parse_args()
    to = DUMPING_CUBIN if options.dump else TIMING_CUBIN if options.times else CUBIN
    try:
        print(build(to), end="")
    except KernelUnavailable as error:
        sys.exit(str(error))
    print(f"{to}: {to.stat().st_size} bytes")


if __name__ == "__main__":
    main()
