"""The command line as a user meets it: help, mistakes, exit statuses."""

import errno
import os
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import storyreel
from storyreel.cli import main as entry
from storyreel.cli.main import COMMANDS, Command, main
from storyreel.errors import ConfigError

STORYREEL = [sys.executable, "-c", "import sys; from storyreel.cli.main import main; sys.exit(main())"]


def test_help_lists_every_command_and_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n  {name} " in text
    assert "Example: storyreel generate" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_describes_and_exemplifies_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert f"usage: storyreel {name}" in text
    assert COMMANDS[name].summary[:40] in text
    assert f"Example: storyreel {name}" in text


def test_a_group_lists_its_own_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--help"]) == 0
    text = capsys.readouterr().out
    assert "\n  bench block " in text
    assert "\n  doctor " not in text
    assert main(["bench"]) == 2
    assert main(["bench", "blok"]) == 2
    assert 'there is no command "bench blok". Did you mean "storyreel bench block"?' in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["generate", "--help"], ["bench", "block", "--help"]])
def test_help_answers_within_half_a_second(arguments: list[str]) -> None:
    def seconds_of_work() -> float:
        before = os.times()
        subprocess.run([*STORYREEL, *arguments], check=True, capture_output=True)
        after = os.times()
        return sum(after[2:4]) - sum(before[2:4])

    # Processor time, and the best of three: what else the machine does is not ours to judge.
    assert min(seconds_of_work() for _ in range(3)) < 0.5


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"storyreel {storyreel.__version__}\n"


def test_no_command_is_a_usage_error_with_the_overview(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ("generat", 'there is no command "generat". Did you mean "storyreel generate"?'),
        ("docter", 'Did you mean "storyreel doctor"?'),
        ("xyzzy", 'there is no command "xyzzy". See storyreel --help.'),
        ("--out", "there is no option --out in front of a command. See storyreel --help."),
    ],
)
def test_an_unknown_command_gets_the_nearest(given: str, answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([given]) == 2
    assert answer in capsys.readouterr().err


def test_an_unknown_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--jsn"]) == 2
    assert "--json" in capsys.readouterr().err


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit status of a command that ends with `error`."""

    def run(options: object) -> None:
        raise error

    command = Command(COMMANDS["doctor"].options, run, "Go on so.")
    monkeypatch.setitem(entry.COMMANDS, "doctor", command)
    return main(["doctor"])


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ConfigError("steps is 0. Try 20."), 1, "storyreel: steps is 0. Try 20.\n"),
        (KeyboardInterrupt(), 130, "storyreel: stopped. Go on so.\n"),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.mp4"),
            1,
            "storyreel: a.mp4: No space left on device. Make room there or choose another place.\n",
        ),
        (
            ModuleNotFoundError("No module named 'skia'", name="skia"),
            1,
            "storyreel: skia is not installed, and this command needs it. "
            'Try: pip install -c constraints.txt ".[toons]"\n',
        ),
        (
            PackageNotFoundError("scenedetect-headless"),
            1,
            "storyreel: scenedetect-headless is not installed, and this command needs it. "
            'Try: pip install -c constraints.txt ".[data]"\n',
        ),
        (
            ImportError("libEGL.so.1: cannot open shared object file", name="skia"),
            1,
            "storyreel: skia cannot be imported: libEGL.so.1: cannot open shared object file. "
            "Try: apt-get install libegl1 libgl1\n",
        ),
    ],
)
def test_a_users_mistake_is_one_line(
    error: BaseException, status: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail_with(error, monkeypatch) == status
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ImportError("a bug", name="storyreel.nope"), OSError(0, "a")])
def test_a_bug_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(type(error)):
        fail_with(error, monkeypatch)


def test_a_reader_that_has_seen_enough_ends_the_command_quietly() -> None:
    process = subprocess.Popen([*STORYREEL, "doctor"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    complaint = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 1
    assert complaint == ""


def test_ctrl_c_during_work_exits_with_130(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time; from storyreel.cli import main as entry\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a parent in the background ignores it
        "def run(options): print('at work', flush=True); time.sleep(60)\n"
        "old = entry.COMMANDS['doctor']\n"
        "entry.COMMANDS['doctor'] = entry.Command(old.options, run, 'Go on so.')\n"
        "sys.exit(entry.main(['doctor']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert complaint == "storyreel: stopped. Go on so.\n"
