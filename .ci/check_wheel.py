"""Fails unless the wheel named on the command line holds every file of src/storyreel, weights and kernels among them.

The compiled kernels must be those of the sources in the same wheel.
"""

import sys
import tempfile
import zipfile
from pathlib import Path

from storyreel.ops.ttt.hopper import build

source = Path(__file__).parent.parent / "src"
wheel = zipfile.ZipFile(sys.argv[1])
held = {entry.filename: entry.file_size for entry in wheel.infolist()}
others = {kind.stem for kind in build.KINDS if kind not in build.PROGRAMS}
wanted = {
    path.relative_to(source).as_posix(): path.stat().st_size
    for path in (source / "storyreel").rglob("*")
    if path.is_file()
    and "__pycache__" not in path.parts
    and not (path.stem in others and path.suffix in (".cubin", ".json"))
}
differing = [name for name, size in wanted.items() if held.get(name) != size]
weights = sum(size for name, size in held.items() if name.endswith(".safetensors"))
kernels = {name: size for name, size in held.items() if name.endswith(".cubin")}
needed = [path.relative_to(build.FOLDER.parents[3]).as_posix() for path in build.PROGRAMS]
print(f"{len(wanted)} files, weights {weights / 1e6:.1f} MB, kernels {sum(kernels.values()) / 1e3:.0f} kB")
if differing:
    sys.exit(f"not in the wheel as they are in src: {differing}")
if not 1e6 < weights <= 48e6:
    sys.exit(f"the demo weights are {weights / 1e6:.1f} MB, but must be there and at most 48 MB")
if sorted(kernels) != sorted(needed):
    sys.exit(f"compiled kernels in the wheel are {sorted(kernels)}, but must be {sorted(needed)}")
with tempfile.TemporaryDirectory() as folder:
    wheel.extractall(folder)
    if trouble := " ".join(filter(None, (build.trouble(Path(folder) / name) for name in needed))):
        sys.exit(trouble)
