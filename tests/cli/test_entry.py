"""Ctrl-C at any moment of the start, real signals sent to a real process."""

import subprocess
import sys

import pytest

# Sends SIGINT to itself the moment that a module is about to be imported.
INTERRUPTED = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == MODULE:
            os.kill(os.getpid(), signal.SIGINT)
MODULE = sys.argv[1]
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupt())
from storyreel.cli.entry import main
sys.argv = ["storyreel", "doctor"]
sys.exit(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
@pytest.mark.parametrize("module", ["tyro", "storyreel.cli.doctor", "storyreel.errors"])
def test_ctrl_c_while_the_command_line_loads(module: str) -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, module], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "storyreel: stopped.\n")


def test_the_entry_is_the_command_line() -> None:
    code = "import sys; from storyreel.cli.entry import main; sys.argv = ['storyreel', 'nonsense']; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "there is no command" in done.stderr
