"""A step's items on the machines of a Ray cluster: tasks of paths and ids go out, records come back, never frames.

Every machine has the data set's folders under the same paths (a shared disk), this package, and its extras.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from storyreel.data.step import Each
from storyreel.errors import DataError, StoryreelError

LOCAL = "local"
ANSWER_SECONDS = 10
ANSWERS_BUT = (
    "Type the line on a machine of the cluster; where it asks for a token, set RAY_AUTH_MODE=token, with the same "
    "~/.ray/auth_token as on its other machines."
)
"""What helps where something listens at the address, but Ray cannot join it."""


def connect(address: str, cores: int | None = None) -> None:
    """Joins the cluster at `address`, or begins one on this machine alone for "local" (of so many cores).

    DataError where there is none.
    """
    import ray  # pyright: ignore[reportMissingImports]
    import ray.data  # pyright: ignore[reportMissingImports]
    from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]

    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "include_dashboard": False}
    remedy = "Give the address that ray start printed, or local."
    try:
        if address == LOCAL:
            ray.init(address=LOCAL, num_cpus=cores, **quiet)
        else:
            _check_answers(address)
            remedy = ANSWERS_BUT
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"there is no Ray cluster at {address}: {reason}. {remedy}") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False


def _check_answers(address: str) -> None:
    """OSError where nothing listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        with socket.create_connection((host.removeprefix("ray://"), int(port)), timeout=ANSWER_SECONDS):
            pass


def each_on_ray(gpus: int = 0) -> Each:
    """An `Each` on the cluster that `connect` joined; an item takes a core, or so many GPUs.

    `workers` limits how many run at a time. Ray begins an item again whose machine is lost.
    """

    import ray.data  # pyright: ignore[reportMissingImports]

    def each(function: Callable[[Any], Any], tasks: Sequence[Any], workers: int | None) -> Iterator[Any]:
        if not tasks:
            return
        # Ray declares functions of a row alone, and hands on what fn_args adds.
        told: Any = _told
        rows = [{"task": pickle.dumps(task)} for task in tasks]
        needs: dict[str, Any] = {"num_gpus": gpus} if gpus else {"num_cpus": 1}
        if workers:
            needs["compute"] = ray.data.TaskPoolStrategy(size=workers)
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            told, fn_args=(function, os.getcwd()), **needs
        )
        for row in done.iter_rows():
            result = pickle.loads(row["result"])
            if isinstance(result, StoryreelError):
                raise result
            yield result

    return each


def _told(row: dict[str, Any], function: Callable[[Any], Any], folder: str) -> dict[str, Any]:
    """On a worker: a user's mistake is handed back as a value, since Ray would wrap it and tell of its own code."""
    # Paths may be relative to where the command began.
    with suppress(OSError):
        os.chdir(folder)
    try:
        result = function(pickle.loads(row["task"]))
    except StoryreelError as error:
        result = error
    # Ray's tables hold bytes, and tell of anything else.
    return {"result": pickle.dumps(result)}
