"""Progress: something moves while nothing is counted, and the time left follows what was measured."""

import io
import re
import sys
import time

import pytest

from storyreel.cli.progress import PlainProgress, StageClock, TerminalProgress, duration, open_progress


class Clock:
    """A hand that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    hand = Clock()
    monkeypatch.setattr(time, "monotonic", hand)
    return hand


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (3700, "1 h 01 min")]
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_time_left_comes_from_the_first_measured_pass(clock: Clock) -> None:
    stage = StageClock("denoise", 5)
    assert stage.left() is None
    clock.now += 10
    stage.advance()
    assert stage.left() == pytest.approx(40)


def test_later_passes_replace_the_slow_first_one(clock: Clock) -> None:
    stage = StageClock("denoise", 5)
    clock.now += 10
    stage.advance()
    clock.now += 2
    stage.advance()
    assert stage.left() == pytest.approx(6)
    clock.now += 1.5
    assert stage.left() == pytest.approx(4.5)
    clock.now += 60
    assert stage.left() == 0


def test_a_stage_without_a_total_never_guesses(clock: Clock) -> None:
    stage = StageClock("load", None)
    stage.advance()
    clock.now += 3
    assert stage.left() is None
    assert "3 s" in stage.describe()


def test_a_long_silent_stage_still_prints_lines() -> None:
    stream = io.StringIO()
    with PlainProgress(stream, heartbeat_seconds=0.02) as progress:
        progress.stage("loading")
        time.sleep(0.15)
        progress.stage("denoising", 2)
        progress.advance()
        progress.note("a note")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "loading ..."
    beats = [line for line in lines if line.startswith("loading: ") and "done" not in line]
    assert len(beats) >= 3
    assert "a note" in lines
    assert re.fullmatch(r"denoising: done in 0 s( · peak \d+ MiB)?", lines[-1])


def test_nothing_is_printed_after_the_end_or_of_a_failed_stage() -> None:
    stream = io.StringIO()

    def stopped_work() -> None:
        with PlainProgress(stream, heartbeat_seconds=0.01) as progress:
            progress.stage("denoising", 4)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_work()
    before = stream.getvalue()
    time.sleep(0.05)
    assert stream.getvalue() == before
    assert "done" not in before


def test_a_terminal_gets_a_bar_and_a_file_gets_lines() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    progress = open_progress(terminal)
    assert isinstance(progress, TerminalProgress)
    with progress:
        progress.stage("denoising", 2)
        progress.advance()
        progress.note("[bold] stays as it is")
    assert "denoising" in terminal.getvalue()
    assert "[bold] stays as it is" in terminal.getvalue()
    assert isinstance(open_progress(io.StringIO()), PlainProgress)
    assert sys.stderr.isatty() or isinstance(open_progress(), PlainProgress)
