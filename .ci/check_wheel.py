"""Fails unless the wheel named on the command line holds every file of src/storyreel, the demo weights among them."""

import sys
import zipfile
from pathlib import Path

source = Path(__file__).parent.parent / "src"
held = {entry.filename: entry.file_size for entry in zipfile.ZipFile(sys.argv[1]).infolist()}
wanted = {
    path.relative_to(source).as_posix(): path.stat().st_size
    for path in (source / "storyreel").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
}
differing = [name for name, size in wanted.items() if held.get(name) != size]
weights = sum(size for name, size in held.items() if name.endswith(".safetensors"))
print(f"{len(wanted)} files, weights {weights / 1e6:.1f} MB")
if differing:
    sys.exit(f"not in the wheel as they are in src: {differing}")
if not 1e6 < weights <= 48e6:
    sys.exit(f"the demo weights are {weights / 1e6:.1f} MB, but must be there and at most 48 MB")
