"""Calls of the store, one after another on a thread of their own.

Its transactions exclude one another anyway; threads that wait for their turn inside it would only take the processor
from each other and from the pages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Turns:
    """`await turns(function, ...)` runs the function when all before it are done."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "storyreel-store")

    async def __call__(
        self, function: Callable[Given, Result], /, *arguments: Given.args, **named: Given.kwargs
    ) -> Result:
        work = partial(function, *arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
