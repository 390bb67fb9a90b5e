"""Writes the first segment of a storyboard (first argument) as a storyboard of its own (second argument)."""

import json
import sys
from pathlib import Path

whole = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
Path(sys.argv[2]).write_text(json.dumps({"segments": whole["segments"][:1]}), encoding="utf-8")
