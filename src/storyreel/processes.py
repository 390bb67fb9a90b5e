"""Work on several processes, and Ctrl-C: it ends all of them, soon and without a word from any but the first."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait as wait_for_end
from typing import Any


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(
    function: Callable[[Any], Any], tasks: Sequence[Any], workers: int | None = None, *, tidy: bool = False
) -> Iterator[Any]:
    """`function` of each task as it is finished, on `workers` processes. When one fails, no other begins.

    At Ctrl-C a worker ends at once; what is half-made is to be swept by who comes next. tidy: KeyboardInterrupt is
    raised in the function instead, which cleans up after itself.
    """
    count = min(workers or cores(), len(tasks))
    if count <= 1:
        yield from map(function, tasks)
        return
    # Threads of the libraries do not survive a fork.
    context = multiprocessing.get_context("spawn")
    begin = functools.partial(_begin_work, tidy)
    with ProcessPoolExecutor(count, mp_context=context, initializer=begin) as pool:
        with ctrl_c_held_back():
            waiting = {pool.submit(_do, function, task) for task in tasks}
        try:
            while waiting:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        except BaseException:
            # Waits here: a second shutdown, that of the block's end, would take back the cancelling.
            pool.shutdown(wait=True, cancel_futures=True)
            raise


@contextmanager
def ctrl_c_held_back() -> Iterator[None]:
    """A Ctrl-C in here comes after it; processes started in here do not get it before they are ready."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # It would let Ctrl-C through when it starts with the first process.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Work:
    """Of this worker process."""

    busy = stopped = False


def _begin_work(tidy: bool) -> None:
    def stop(*_: Any) -> None:
        _Work.stopped = True
        if not tidy:
            os._exit(1)
        if _Work.busy:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _end_with_parent()


def _do(function: Callable[[Any], Any], task: Any) -> Any:
    if _Work.stopped:
        raise KeyboardInterrupt
    _Work.busy = True
    try:
        return function(task)
    finally:
        _Work.busy = False


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for ever, and might write into a folder that the next run has."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch(sentinel: int) -> None:
        wait_for_end([sentinel])
        os._exit(1)

    threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()
