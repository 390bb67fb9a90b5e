"""One process a GPU: starts them, ends all with the first that fails, and hands Ctrl-C on. Needs no torch."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from storyreel import errors
from storyreel.errors import StoryreelError, TrainingError
from storyreel.processes import ctrl_c_held_back

STOP_SECONDS = 60.0
"""How long processes may take to finish their step and save after Ctrl-C; a second Ctrl-C waits no longer."""
LAST_WORDS_SECONDS = 1.0
"""How long to wait, after one process failed, for others to tell that they failed before it."""
OWN_ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StoryreelError)]
TOLD = {kind.__name__: kind for kind in (*OWN_ERRORS, KeyboardInterrupt, OSError, ModuleNotFoundError, ImportError)}
"""Exceptions that stay what they are from process to process, for the command line has a line for them."""


def is_launched() -> bool:
    """Whether `launch`, or torchrun, started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first() -> bool:
    """Whether this process is the one that talks: rank 0, or alone."""
    return not is_launched() or os.environ["RANK"] == "0"


@dataclass
class _Member:
    rank: int
    process: BaseProcess
    words: Connection
    """Where the process sends the exception that ended it."""

    def failure(self) -> BaseException | None:
        """Why the process, which is over, ended; None where all went well."""
        self.process.join()
        status = self.process.exitcode
        if status == 0:
            return None
        try:
            return _heard(self.words.recv_bytes())
        except (EOFError, OSError):
            how = f"signal {-status}" if status is not None and status < 0 else f"status {status}"
            return TrainingError(
                f"process {self.rank} of the training ended with {how}, without a word. "
                "If memory ran out, take a smaller batch or fewer --workers; the same line goes on."
            )


def launch(count: int, work: Callable[..., None], *arguments: Any, **options: Any) -> None:
    """Runs `work(*arguments, **options)` in `count` new processes with torchrun's variables, until all are done.

    The first failure of a process ends all of them and is raised here. After Ctrl-C every process gets one SIGINT, and
    KeyboardInterrupt is raised when all have stopped. The processes end with this one, however it ends.
    """
    context, port = get_context("spawn"), _free_port()
    members: list[_Member] = []
    try:
        with ctrl_c_held_back():
            for rank in range(count):
                words, theirs = context.Pipe(duplex=False)
                place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
                process = context.Process(target=_one, args=(place, port, theirs, work, arguments, options))
                process.start()
                theirs.close()
                members.append(_Member(rank, process, words))
        failure = _first_failure(members)
        if isinstance(failure, KeyboardInterrupt):
            # Only that process got Ctrl-C. It told the others after its last step, and they are saving.
            _join(members)
        if failure is not None:
            raise failure
    except KeyboardInterrupt:
        _stop(members)
        raise
    finally:
        _end(members)


def _one(place: dict[str, int], port: int, words: Connection, work: Callable[..., None], *given: Any) -> None:
    """What a new process does. It has a session of its own, so that Ctrl-C comes through `launch` alone."""
    try:
        if hasattr(os, "setsid"):
            os.setsid()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=_end_with_parent, daemon=True).start()
        os.environ |= {name: str(value) for name, value in place.items()}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        # That a partner is gone is told once, by the process that it was gone from, not with a stack of C++.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        if sys.platform == "linux":
            # Nothing leaves this host, whose name may not resolve.
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        arguments, options = given
        work(*arguments, **options)
    except BaseException as error:
        words.send_bytes(_told(error, place["RANK"]))
        words.close()
        sys.stdout.flush()
        sys.stderr.flush()
        # At once: an orderly end would wait for processes that wait for this one.
        os._exit(1)


def _told(error: BaseException, rank: int) -> bytes:
    """An exception as JSON, with its traceback where it is a fault of ours. Fits a pipe that nobody reads yet."""
    kind = next((base.__name__ for base in type(error).__mro__ if base in TOLD.values()), "")
    given: list[Any] = [str(error)[-16_000:]]
    if isinstance(error, OSError) and error.errno is not None:
        given = [error.errno, error.strerror, error.filename]
    told: dict[str, Any] = {"kind": kind, "given": given, "missing": getattr(error, "name", None), "trace": None}
    if not isinstance(error, StoryreelError | KeyboardInterrupt):
        told["trace"] = f"In process {rank}:\n{''.join(traceback.format_exception(error))[-16_000:]}"
    # Half a surrogate pair, as for a byte of a file's name, has no UTF-8; Python's escape of it is JSON's.
    return json.dumps(told, ensure_ascii=False, default=str).encode(errors="backslashreplace")


def _heard(words: bytes) -> BaseException:
    """The exception that `_told` tells of; RuntimeError with the traceback for one that is not in TOLD."""
    told = json.loads(words)
    if told["kind"] not in TOLD:
        return RuntimeError(told["trace"])
    error = TOLD[told["kind"]](*told["given"])
    if isinstance(error, ImportError):
        error.name = told["missing"]
    if told["trace"]:
        error.add_note(told["trace"])
    return error


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _first_failure(members: list[_Member]) -> BaseException | None:
    """Waits until all processes are done, or one fails. Of several failures a mistake that the user can mend counts
    most: that a partner is gone is a failure too, but not the cause."""
    running = {member.process.sentinel: member for member in members}
    failures: list[BaseException] = []
    while running:
        over = connection.wait(running, LAST_WORDS_SECONDS if failures else None)
        if not over:
            break
        found = [running.pop(sentinel).failure() for sentinel in over if isinstance(sentinel, int)]
        failures += [failure for failure in found if failure is not None]
    mendable = [failure for failure in failures if isinstance(failure, StoryreelError | KeyboardInterrupt)]
    return next(iter(mendable + failures), None)


def _stop(members: list[_Member]) -> None:
    """One SIGINT to each process, and time to save."""
    for member in members:
        if member.process.is_alive() and member.process.pid is not None:
            os.kill(member.process.pid, signal.SIGINT)
    _join(members)


def _join(members: list[_Member]) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    for member in members:
        member.process.join(max(0.0, deadline - time.monotonic()))


def _end(members: list[_Member]) -> None:
    """Ends what still runs, with the processes that it started: each has a session, so a group, of its own."""
    for member in members:
        member.process.terminate()
        if hasattr(os, "killpg") and member.process.pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(member.process.pid, signal.SIGTERM)
    for member in members:
        member.process.join(5)
        member.process.kill()
        member.process.join()
        member.words.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
