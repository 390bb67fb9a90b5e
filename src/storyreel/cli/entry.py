"""Where the command `storyreel` begins, so that Ctrl-C is no error even while the command line itself loads."""

from __future__ import annotations

import sys


def main() -> int:
    """`storyreel.cli.main.main`, imported here; its exit status, 130 after Ctrl-C."""
    try:
        from storyreel.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        print("storyreel: stopped.", file=sys.stderr)
        return 130
