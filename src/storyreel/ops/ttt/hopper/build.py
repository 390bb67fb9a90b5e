"""Compiles the kernels: `python -m storyreel.ops.ttt.hopper.build`. It needs nvcc 12.4 or later, but no GPU.

What it writes is part of the package, so that users need no compiler: the machine code, and beside it what it was made
from; one pair forward, one backward. `--check` says whether they still go with the source. Kernels of other kinds are
no part of the package: `--dump` writes down what the forward ones compute (`emulation.Values`), for finding a defect,
and `--times` when (`Times` in plan.cuh), for finding what is slow.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from storyreel.errors import KernelUnavailable

FOLDER = Path(__file__).parent
SOURCE, BACKWARD_SOURCE = FOLDER / "kernel.cu", FOLDER / "backward.cu"
CUBIN, BACKWARD_CUBIN = FOLDER / "kernel.cubin", FOLDER / "backward.cubin"
DUMPING_CUBIN, TIMING_CUBIN = FOLDER / "kernel_dump.cubin", FOLDER / "kernel_times.cubin"
KINDS: dict[Path, tuple[Path, tuple[str, ...]]] = {
    CUBIN: (SOURCE, ()),
    BACKWARD_CUBIN: (BACKWARD_SOURCE, ()),
    DUMPING_CUBIN: (SOURCE, ("-DTTT_DUMP",)),
    TIMING_CUBIN: (SOURCE, ("-DTTT_TIMES",)),
}
"""What each is made from (with the headers beside it), and how."""
PROGRAMS = (CUBIN, BACKWARD_CUBIN)
"""Those that are part of the package."""
OPTIONS = ("-cubin", "-std=c++17", "-O3", "-gencode=arch=compute_90a,code=sm_90a")
REMEDY = "Run python -m storyreel.ops.ttt.hopper.build"


def build(kind: Path = CUBIN, to: Path | None = None) -> str:
    """Writes the machine code of a kind to `to`, and returns the compiler's report of registers and spills.

    kind: one of KINDS, which is also where it goes unless `to` says otherwise. Beside it goes a JSON file of the same
    name with what `trouble` looks at, and the version of nvcc. KernelUnavailable if there is no nvcc, or if it fails:
    then with its own words.
    """
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        raise KernelUnavailable(
            "The Hopper kernels need nvcc 12.4 or later to be compiled; none is on the PATH. Install the CUDA toolkit."
        )
    to, (source, definitions) = to or kind, KINDS[kind]
    sources, part = sources_sha256(), to.with_suffix(".part")
    command = [nvcc, *OPTIONS, "-Xptxas", "-v", *definitions, "-o", str(part), str(source)]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise KernelUnavailable(f"nvcc could not compile {source}:\n{run.stdout}{run.stderr}")
    content = part.read_bytes()
    facts = {
        "sources_sha256": sources,
        "cubin_sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "nvcc": nvcc_version(nvcc),
    }
    facts_of(to).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    part.replace(to)
    return run.stdout + run.stderr


def facts_of(cubin: Path) -> Path:
    """The file that says what a cubin was made from."""
    return cubin.with_suffix(".json")


def sources_sha256(folder: Path = FOLDER) -> str:
    """Of every .cu and .cuh file there, names included, and of the compiler's options."""
    digest = hashlib.sha256(" ".join(OPTIONS).encode())
    for path in sorted((*folder.glob("*.cu"), *folder.glob("*.cuh"))):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"\n{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def trouble(cubin: Path) -> str:
    """Why the cubin is not the one of the sources beside it, and what mends that; empty where it is."""
    try:
        facts = json.loads(facts_of(cubin).read_text(encoding="utf-8"))
        content = cubin.read_bytes()
    except OSError as error:
        return f"{error.filename} cannot be read: {error.strerror}. {REMEDY}."
    if hashlib.sha256(content).hexdigest() != facts["cubin_sha256"]:
        return f"{cubin} is not the file that {facts_of(cubin).name} tells of. {REMEDY}."
    if sources_sha256(cubin.parent) != facts["sources_sha256"]:
        return f"{cubin} was compiled from other sources than those beside it. {REMEDY}."
    return ""


def nvcc_version(nvcc: str = "nvcc") -> str:
    said = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"V(\d+\.\d+\.\d+)", said)
    return found[1] if found else "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--dump", action="store_true", help="forward kernels that write down what they compute")
    ways.add_argument("--times", action="store_true", help="forward kernels that write down when they compute it")
    ways.add_argument("--check", action="store_true", help="compile nothing; status 1 if the source has changed")
    options = parser.parse_args()
    if options.check:
        sys.exit("\n".join(filter(None, map(trouble, PROGRAMS))) or 0)
    others = {DUMPING_CUBIN: options.dump, TIMING_CUBIN: options.times}
    for kind in [kind for kind, wanted in others.items() if wanted] or PROGRAMS:
        try:
            print(build(kind), end="")
        except KernelUnavailable as error:
            sys.exit(str(error))
        print(f"{kind}: {kind.stat().st_size} bytes")


if __name__ == "__main__":
    main()
