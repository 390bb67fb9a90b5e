"""A step's items on the machines of a Ray cluster: tasks of paths and ids go out, records come back, never frames.

Every machine has the data set's folders under the same paths (a shared disk), this package, and its extras.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from storyreel.data.step import Each
from storyreel.errors import DataError, StoryreelError

LOCAL = "local"


def connect(address: str, cores: int | None = None) -> None:
    """Joins the cluster at `address`, or begins one on this machine alone for "local" (of so many cores).

    DataError where there is none.
    """
    import ray  # pyright: ignore[reportMissingImports]
    import ray.data  # pyright: ignore[reportMissingImports]

    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "include_dashboard": False}
    try:
        if address == LOCAL:
            ray.init(address=LOCAL, num_cpus=cores, **quiet)
        else:
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"there is no Ray cluster at {address}: {reason} Give the address that ray start printed, or local."
        ) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False


def each_on_ray(gpus: int = 0) -> Each:
    """An `Each` on the cluster that `connect` joined; an item takes a core, or so many GPUs.

    `workers` limits how many run at a time. Ray begins an item again whose machine is lost.
    """

    import ray.data  # pyright: ignore[reportMissingImports]

    def each(function: Callable[[Any], Any], tasks: Sequence[Any], workers: int | None) -> Iterator[Any]:
        if not tasks:
            return
        rows = [{"task": task} for task in tasks]
        needs: dict[str, Any] = {"num_gpus": gpus} if gpus else {"num_cpus": 1}
        if workers:
            needs["compute"] = ray.data.TaskPoolStrategy(size=workers)
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _told, fn_args=(function, os.getcwd()), **needs
        )
        for row in done.iter_rows():
            if isinstance(row["result"], StoryreelError):
                raise row["result"]
            yield row["result"]

    return each


def _told(row: dict[str, Any], function: Callable[[Any], Any], folder: str) -> dict[str, Any]:
    """On a worker: a user's mistake is handed back as a value, since Ray would wrap it and tell of its own code."""
    # Paths may be relative to where the command began.
    with suppress(OSError):
        os.chdir(folder)
    try:
        return {"result": function(row["task"])}
    except StoryreelError as error:
        return {"result": error}
