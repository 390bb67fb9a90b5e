"""Compiles the kernels: `python -m storyreel.ops.ttt.hopper.build`. It needs nvcc 12.4 or later, but no GPU.

`--dump` compiles the kernels that also write down what they compute (`emulation.Values`), for finding a defect.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from storyreel.errors import KernelUnavailable

FOLDER = Path(__file__).parent
SOURCE, CUBIN, DUMPING_CUBIN = FOLDER / "kernel.cu", FOLDER / "kernel.cubin", FOLDER / "kernel_dump.cubin"
TARGET = "-gencode=arch=compute_90a,code=sm_90a"


def build(to: Path = CUBIN, dump: bool = False) -> str:
    """Writes the machine code of `kernel.cu` to `to`, and returns the compiler's report of registers and spills.

    KernelUnavailable if there is no nvcc, or if it fails: then with its own words.
    """
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        raise KernelUnavailable(
            "The Hopper kernels need nvcc 12.4 or later to be compiled; none is on the PATH. Install the CUDA toolkit."
        )
    part = to.with_suffix(".part")
    options = ["-cubin", "-std=c++17", "-O3", TARGET, "-Xptxas", "-v", *(["-DTTT_DUMP"] if dump else [])]
    run = subprocess.run([nvcc, *options, "-o", str(part), str(SOURCE)], capture_output=True, text=True)
    if run.returncode:
        raise KernelUnavailable(f"nvcc could not compile {SOURCE}:\n{run.stdout}{run.stderr}")
    part.replace(to)
    return run.stdout + run.stderr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dump", action="store_true", help="the kernels that write down what they compute")
    options = parser.parse_args()
    to = DUMPING_CUBIN if options.dump else CUBIN
    try:
        print(build(to, options.dump), end="")
    except KernelUnavailable as error:
        sys.exit(str(error))
    print(f"{to}: {to.stat().st_size} bytes")


if __name__ == "__main__":
    main()
