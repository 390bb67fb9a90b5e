import os
import signal
import subprocess
import sys
import time

import pytest

from storyreel.cli.toons import Toons, parse_size, run
from storyreel.errors import ConfigError


def test_draws_and_says_so(tmp_path, capsys):
    options = Toons(tmp_path / "out", stories=1, seconds=3, size="64x48", workers=1)
    assert run(options) == 0
    assert "1 story of 3 s, 1 drawn now\n" in capsys.readouterr().out
    assert run(options) == 0
    assert "0 drawn now (1 was there already)" in capsys.readouterr().out


@pytest.mark.parametrize("size", ["192", "192x", "axb", "192X128", "-1x5"])
def test_sizes_that_are_none(size):
    with pytest.raises(ConfigError, match="--size"):
        parse_size(size)


def test_no_workers(tmp_path):
    with pytest.raises(ConfigError, match="--workers is 0"):
        run(Toons(tmp_path, workers=0))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups to signal")
def test_ctrl_c_stops_all_processes_soon_and_keeps_whole_stories(tmp_path):
    code = (
        "import signal, sys\nfrom storyreel.cli.entry import main\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n    sys.exit(main())\n"
    )
    script, out = tmp_path / "run.py", tmp_path / "out"
    script.write_text(code)
    options = ["toons", out, "--stories", "3000", "--seconds", "3", "--size", "64x48", "--workers", "2"]
    with subprocess.Popen(
        [sys.executable, script, *options], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while not list(out.glob("*.mp4")) and time.monotonic() < deadline:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=30)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("storyreel: stopped. Whole stories stay")
    assert "Traceback" not in errors
    assert 0 < len(list(out.glob("*.mp4"))) < 3000
    assert not [path for path in out.iterdir() if ".part" in path.name]
